"""A quick look at JSON text: it tells what surely holds no secret from what must be read. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

_GAP = r"(?:[^a-z0-9]|\\[bfnrt])*"
"""What may stand between the words of a key, as it is written inside a JSON string."""

_USERINFO = re.compile(r"://[^\s/?#@:\"']*:[^\s/?#\"']*@")
_SCHEMES = ("bearer", "basic")
_ODD_ESCAPES = ("\\u", "\\/")


class Glance:
    """Knows texts that hold none of `forms` (of secrets) and none of `names` (of sensitive keys).

    It looks for less than a secret is made of, in the text as it is written: what it lets pass holds none.
    Words in lower case, joined by `_`, are the names.
    """

    def __init__(self, forms: Iterable[str], names: Iterable[str]) -> None:
        self._forms = {json.dumps(form, ensure_ascii=False)[1:-1] for form in forms}
        self._names = [
            (words, re.compile(_GAP.join(words)))
            for words in (name.split("_") for name in _shortest(names))
        ]

    def is_clean(self, text: str) -> bool:
        """Return whether the JSON `text` surely holds nothing to hide.

        Plain ASCII only: elsewhere letters have more than one spelling.
        """
        if not text.isascii() or any(escape in text for escape in _ODD_ESCAPES):
            return False
        if any(form in text for form in self._forms) or _USERINFO.search(text):
            return False
        lower = text.lower()
        return not (any(word in lower for word in _SCHEMES) or self._names_one(lower))

    def _names_one(self, lower: str) -> bool:
        return any(
            all(word in lower for word in words) and pattern.search(lower)
            for words, pattern in self._names
        )


def _shortest(names: Iterable[str]) -> list[str]:
    """Return those of `names` that hold no other of them: who finds these finds all."""
    every = sorted(set(names), key=len)
    return [name for at, name in enumerate(every) if not any(other in name for other in every[:at])]
