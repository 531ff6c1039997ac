"""A configuration file's bytes as text, and the refusals that come before any syntax."""

from __future__ import annotations

import codecs
from pathlib import Path

from openbell.sdk.errors import Problem, SettingsError

LARGEST_FILE_BYTES = 16 * 1024 * 1024
_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_bytes(path: Path) -> bytes:
    """Return the file's content; raises SettingsError when it is not a readable file."""
    try:
        if path.is_dir():
            raise refusal(path, "is a directory", "name the configuration file in it")
        if path.stat().st_size > LARGEST_FILE_BYTES:
            megabytes = LARGEST_FILE_BYTES // 1024**2
            raise refusal(path, f"is larger than {megabytes} MiB", "is this a configuration?")
        return path.read_bytes()
    except FileNotFoundError:
        raise refusal(path, "does not exist", "") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise refusal(path, f"cannot be read: {reason}", "") from None


def decode(content: bytes, file: str) -> str:
    """Return `content` as text; raises SettingsError at the first byte that is not UTF-8."""
    if content.startswith(_MARKS):
        raise SettingsError(
            [Problem(message="the file is not UTF-8 but UTF-16 or UTF-32", file=file, line=1)]
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        raise SettingsError(
            [
                Problem(
                    message=f"byte 0x{content[error.start]:02x} is not UTF-8",
                    file=file,
                    line=line,
                    column=column,
                    hint="save the file as UTF-8",
                )
            ]
        ) from None


def refusal(path: Path, message: str, hint: str) -> SettingsError:
    """Return the error for a file that cannot be used at all."""
    return SettingsError(
        [Problem(message=f"the configuration {message}", file=str(path), hint=hint)]
    )
