"""Secrets do not leave the daemon: not in log lines, errors or answers. Pure.

A secret is recognised by the key it stands under, by its value wherever it stands, and by its
place in a text (the password of a URL, `api_key=...`, an Authorization header).
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import quote, quote_plus

from openbell.telemetry.glance import Glance

MASK = "[redacted]"
MAX_DEPTH = 12
MAX_KNOWN_KEYS = 4096
_DONE = {MASK, MASK[:-1], f'"{MASK}"', f"'{MASK}'"}
WHOLE_WORD_BELOW = 4
"""Shorter secrets are replaced only where they stand alone, or every text would be shredded.

So short a secret is none: who wants it guesses it. Under a sensitive key it is hidden all the same.
"""

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
_KEY = re.compile(
    r"(?<![\w.-])(?P<key>(?:(?:api|access|private|secret) )?[\w.-]++)[\"']?\s*+[=:]\s*+",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|[^\s&,;\"'}\])]++",
)
_WHOLE_LINE = re.compile(
    r"(?P<key>\b(?:authorization|cookie)\s*[:=]\s*)[^\s\"'][^\r\n\"']*",
    re.IGNORECASE,
)


class Redactor:
    """Replaces secrets by `[redacted]`. Immutable; `secrets` are values, `keys` further names.

    `own` are whole texts that are shown even where a secret is the same word, such as the names of
    states and fields: hiding them would hide nothing and break who reads them. A key is sensitive when one of the names stands in it as whole words: `api_key`, `X-Api-Key`
    and `vendorApiKey` are, `monkey` is not; `token_file` holds a path and is shown.
    """

    def __init__(
        self,
        secrets: Iterable[str] = (),
        *,
        keys: Iterable[str] = (),
        own: Container[str] = frozenset(),
    ) -> None:
        self._own = own
        self._secrets = frozenset(secret for secret in secrets if secret)
        self._keys = SENSITIVE_KEYS | {_words(key) for key in keys}
        self._forms = _spellings(self._secrets)
        self._values = _value_pattern(self._forms)
        self._glance = Glance((form for form, _ in self._forms), self._keys)
        self._known_keys: dict[str, tuple[str, bool]] = {}

    def with_secrets(self, secrets: Iterable[str]) -> Redactor:
        """Return a redactor that knows `secrets` too; old ones stay secret."""
        return Redactor(self._secrets | set(secrets), keys=self._keys, own=self._own)

    def is_sensitive(self, key: str) -> bool:
        """Return whether a value under `key` is hidden whatever it is."""
        words = _words(key)
        if words.endswith(_HARMLESS_ENDINGS):
            return False
        padded = f"_{words}_"
        return any(f"_{name}_" in padded for name in self._keys)

    def may_hold(self, json_text: str) -> bool:
        """Return whether a JSON text could hold a secret; far quicker than to look for it."""
        return not self._glance.is_clean(json_text)

    def text(self, text: str) -> str:
        """Return `text` without secrets. Applying it twice changes nothing more."""
        if any(form in text for form, _ in self._forms):
            text = self._values.sub(MASK, text)
        if "://" in text:
            text = _USERINFO.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
        if " " in text:
            text = _SCHEME.sub(rf"\g<kind>\g<gap>{MASK}", text)
        if "=" in text or ":" in text:
            text = _WHOLE_LINE.sub(rf"\g<key>{MASK}", text)
            text = self._without_pairs(text)
        return text

    def value(self, value: Any, _depth: int = 0) -> Any:  # noqa: ANN401 - any JSON-like value
        """Return a copy of `value` without secrets, in mappings, sequences and sets too.

        Mappings and dataclasses become dicts with text as keys, other collections lists, exceptions their text;
        what is nested deeper than `MAX_DEPTH` is hidden as a whole. Other values stay.
        """
        match value:
            case str():
                shown: Any = value if value in self._own else self.text(value)
            case None | bool() | int() | float():
                shown = value
            case bytes() | bytearray():
                shown = self.text(value.decode("utf-8", "replace"))
            case BaseException():
                shown = self.text(str(value))
            case Mapping() | list() | tuple() | AbstractSet() if _depth >= MAX_DEPTH:
                shown = MASK
            case Mapping():
                shown = self._entries(value, _depth)
            case list() | tuple() | AbstractSet():
                shown = [self.value(item, _depth + 1) for item in value]
            case _ if is_dataclass(value) and not isinstance(value, type):
                shown = self.value(
                    {each.name: getattr(value, each.name) for each in fields(value)}, _depth
                )
            case _:
                shown = value
        return shown

    def _key(self, key: object) -> tuple[str, bool]:
        """Return `key` as it may be shown, and whether it is sensitive."""
        text = str(key)
        known = self._known_keys.get(text)
        if known is None:
            known = (text if text in self._own else self.text(text), self.is_sensitive(text))
            if len(self._known_keys) < MAX_KNOWN_KEYS:
                self._known_keys[text] = known
        return known

    def _entries(self, mapping: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for key, entry in mapping.items():
            name, is_sensitive = self._key(key)
            is_plain = entry is None or isinstance(entry, bool)
            hidden = is_sensitive and not is_plain
            shown[name] = MASK if hidden else self.value(entry, depth + 1)
        return shown

    def _without_pairs(self, text: str) -> str:
        """Return `text` with the values of `password=...`, `"token": ...` and their like hidden."""
        pieces, done = [], 0
        for found in _KEY.finditer(text):
            if found.start() < done or not self._key(found["key"])[1]:
                continue
            value = _VALUE.match(text, found.end())
            if value is None or value[0] in _DONE:
                continue
            quote_mark = value[0][0] if value[0][0] in "\"'" else ""
            pieces += [text[done : found.end()], quote_mark, MASK, quote_mark]
            done = value.end()
        return "".join([*pieces, text[done:]])


def _words(key: str) -> str:
    """Return `key` in lower case with `_` between its words."""
    return _NOT_WORD.sub("_", _CAMEL.sub("_", key).lower()).strip("_")


def _spellings(secrets: frozenset[str]) -> tuple[tuple[str, bool], ...]:
    """Return every secret as it is, in a URL, and inside a JSON or Python string, longest first.

    With each goes whether it counts only where it stands alone.
    """
    forms = {
        (form, len(secret) < WHOLE_WORD_BELOW)
        for secret in secrets
        for form in (
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
        )
    }
    return tuple(sorted(forms, key=lambda form: (-len(form[0]), form)))


def _value_pattern(forms: tuple[tuple[str, bool], ...]) -> re.Pattern[str]:
    return re.compile(
        "|".join(
            rf"(?<!\w){re.escape(form)}(?!\w)" if is_word else re.escape(form)
            for form, is_word in forms
        )
    )
