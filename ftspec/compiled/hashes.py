"""64-bit hashes in groups, and how they are mixed: what words, shingles and MinHash share."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST = 64
"""Bytes of a word that are hashed by eights. Longer ones are few: hashlib takes them one by one."""

MULTIPLIER = 0xD6E8FEB86659FD93
"""Of the mixing function (rrmxmx's relative by Pelle Evensen and Degski): odd, and tried by avalanche tests."""
RADIX = 0x9E3779B97F4A7C15
"""A shingle is a number in this base, whose digits are the words. 2**64 over the golden ratio, odd."""


class Hashes(NamedTuple):
    """64-bit hashes in groups: group i has `values[offsets[i]:offsets[i + 1]]`."""

    values: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def mix(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of the result depends on every bit of the hash; in place."""
    import numpy as np

    turned = np.empty_like(hashes)
    for _ in range(2):
        np.right_shift(hashes, np.uint64(32), out=turned)
        hashes ^= turned
        hashes *= np.uint64(MULTIPLIER)
    np.right_shift(hashes, np.uint64(32), out=turned)
    hashes ^= turned
    return hashes


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The values sorted, each once: np.unique's hash table takes ten times as long for numbers that are mostly so."""
    import numpy as np

    values = np.sort(values)
    new: NDArray[np.bool_] = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return values[new]


def salt(name: str) -> int:
    """64 bits of a name."""
    return of_bytes(name.encode())


def of_bytes(data: bytes) -> int:
    """64 bits of some bytes."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
