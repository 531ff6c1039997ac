"""A counter-based generator: the n-th number of a key, without the ones before it.

SplitMix64 (Steele, Lea, Flood 2014) in wrapping uint64 arithmetic: integers only, so the same
bits on every machine, Python and numpy.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MUL_1 = np.uint64(0xBF58476D1CE4E5B9)
_MUL_2 = np.uint64(0x94D049BB133111EB)


def mix_inplace(words: Words, scratch: Words) -> Words:
    """Scramble `words` in place and return them; `scratch` has their shape and is overwritten."""
    np.right_shift(words, np.uint64(30), out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    np.multiply(words, _MUL_1, out=words)
    np.right_shift(words, np.uint64(27), out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    np.multiply(words, _MUL_2, out=words)
    np.right_shift(words, np.uint64(31), out=scratch)
    np.bitwise_xor(words, scratch, out=words)
    return words


def numbers(keys: Words, counters: npt.NDArray[Any]) -> Words:
    """Return 64 random bits for each pair of a key and a counter (broadcast against each other)."""
    steps = (counters.astype(np.uint64) + np.uint64(1)) * _GAMMA
    words = np.add(keys, steps)
    return mix_inplace(words, np.empty_like(words))


def derive(keys: Words, salt: int) -> Words:
    """Return other keys, one for each of `keys`, that have nothing to do with them."""
    return numbers(keys, np.full(1, salt & 0xFFFFFFFFFFFFFFFF, dtype=np.uint64))


def text_key(text: str, seed: int) -> int:
    """Return the 64-bit key of `text` under `seed`."""
    data = seed.to_bytes(8, "little") + text.encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
