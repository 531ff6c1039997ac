"""Secrets do not leave the daemon: not in log lines, errors or answers. Pure.

A secret is recognised by the key it stands under, by its value wherever it stands, and by its
place in a text (the password of a URL, `api_key=...`, an Authorization header).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
MAX_DEPTH = 12
_DONE = {MASK, MASK[:-1], f'"{MASK}"', f"'{MASK}'"}
WHOLE_WORD_BELOW = 4
"""Shorter secrets are replaced only where they stand alone, or every text would be shredded."""

SENSITIVE_KEYS = frozenset(
    {
        "access_key",
        "api_key",
        "apikey",
        "authorization",
        "auth_token",
        "client_secret",
        "cookie",
        "credential",
        "credentials",
        "passphrase",
        "passwd",
        "password",
        "private_key",
        "proxy_authorization",
        "pwd",
        "secret",
        "secret_key",
        "set_cookie",
        "token",
    }
)
_HARMLESS_ENDINGS = ("_file", "_path", "_name", "_env", "_dir", "_count", "_type")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_USERINFO = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s/?#@:\"']*):[^\s/?#\"']*@"
)
_SCHEME = re.compile(
    r"\b(?P<kind>Bearer|Basic|Token)(?P<gap>\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE
)
_WHOLE_LINE = re.compile(
    r"(?P<key>\b(?:authorization|cookie)\s*[:=]\s*)[^\s\"'][^\r\n\"']*",
    re.IGNORECASE,
)


class Redactor:
    """Replaces secrets by `[redacted]`. Immutable; `secrets` are values, `keys` further names.

    A key is sensitive when one of the names stands in it as whole words: `api_key`, `X-Api-Key`
    and `vendorApiKey` are, `monkey` is not; `token_file` holds a path and is shown.
    """

    def __init__(self, secrets: Iterable[str] = (), *, keys: Iterable[str] = ()) -> None:
        self._secrets = frozenset(secret for secret in secrets if secret)
        self._keys = SENSITIVE_KEYS | {_words(key) for key in keys}
        self._values = _value_pattern(self._secrets)
        names = "|".join(
            name.replace("_", "[-_ .]?") for name in sorted(self._keys, key=len, reverse=True)
        )
        self._pairs = re.compile(
            rf"(?P<key>(?<![a-z])[\w.-]*(?:{names})[\"']?\s*[=:]\s*)"
            r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s&,;\"'}\])]+)",
            re.IGNORECASE,
        )

    def with_secrets(self, secrets: Iterable[str]) -> Redactor:
        """Return a redactor that knows `secrets` too; old ones stay secret."""
        return Redactor(self._secrets | set(secrets), keys=self._keys)

    def is_sensitive(self, key: str) -> bool:
        """Return whether a value under `key` is hidden whatever it is."""
        words = _words(key)
        if words.endswith(_HARMLESS_ENDINGS):
            return False
        padded = f"_{words}_"
        return any(f"_{name}_" in padded for name in self._keys)

    def text(self, text: str) -> str:
        """Return `text` without secrets. Applying it twice changes nothing more."""
        if self._values is not None:
            text = self._values.sub(MASK, text)
        if "://" in text:
            text = _USERINFO.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
        text = _SCHEME.sub(rf"\g<kind>\g<gap>{MASK}", text)
        if "=" in text or ":" in text:
            text = _WHOLE_LINE.sub(rf"\g<key>{MASK}", text)
            text = self._pairs.sub(self._hide_pair, text)
        return text

    def value(self, value: Any, _depth: int = 0) -> Any:  # noqa: ANN401 - any JSON-like value
        """Return a copy of `value` without secrets, in mappings, sequences and sets too.

        Mappings and dataclasses become dicts with text as keys, other collections lists, exceptions their text;
        what is nested deeper than `MAX_DEPTH` is hidden as a whole. Other values stay.
        """
        match value:
            case str():
                shown: Any = self.text(value)
            case bytes() | bytearray():
                shown = self.text(value.decode("utf-8", "replace"))
            case BaseException():
                shown = self.text(str(value))
            case Mapping() | list() | tuple() | AbstractSet() if _depth >= MAX_DEPTH:
                shown = MASK
            case Mapping():
                shown = {
                    self._key(key): self._entry(key, item, _depth) for key, item in value.items()
                }
            case list() | tuple() | AbstractSet():
                shown = [self.value(item, _depth + 1) for item in value]
            case _ if is_dataclass(value) and not isinstance(value, type):
                shown = self.value(
                    {each.name: getattr(value, each.name) for each in fields(value)}, _depth
                )
            case _:
                shown = value
        return shown

    def _key(self, key: object) -> str:
        return self.text(str(key))

    def _entry(self, key: object, entry: Any, depth: int) -> Any:  # noqa: ANN401 - any value
        if entry is None or isinstance(entry, bool):
            return entry
        if isinstance(key, str) and self.is_sensitive(key):
            return MASK
        return self.value(entry, depth + 1)

    def _hide_pair(self, match: re.Match[str]) -> str:
        key, value = match["key"], match["value"]
        if not self.is_sensitive(key.rstrip(" \t=:\"'")) or value in _DONE:
            return match[0]
        quote_mark = value[0] if value[0] in "\"'" else ""
        return f"{key}{quote_mark}{MASK}{quote_mark}"


def _words(key: str) -> str:
    """Return `key` in lower case with `_` between its words."""
    return _NOT_WORD.sub("_", _CAMEL.sub("_", key).lower()).strip("_")


def _value_pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """Return what finds every secret as it is, in a URL, and inside a JSON or Python string."""
    forms = set()
    for secret in secrets:
        spellings = {
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
        }
        forms |= {(form, len(secret) < WHOLE_WORD_BELOW) for form in spellings}
    if not forms:
        return None
    longest_first = sorted(forms, key=lambda form: (-len(form[0]), form))
    return re.compile(
        "|".join(
            rf"(?<!\w){re.escape(form)}(?!\w)" if is_word else re.escape(form)
            for form, is_word in longest_first
        )
    )
