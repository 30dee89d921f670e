"""Machine code for near-duplicates, where the extra `fast` (Numba) is installed and there is text enough for it to pay.

Where it cannot be had, for whatever reason, `words` and `minhash` do the same work in NumPy: the results are equal bit
for bit, so nothing depends on when, or whether, the one takes the other's place.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

from ftspec import rows
from ftspec.builtin.near import characters, hashes, kernels, objects
from ftspec.builtin.near.hashes import LONGEST, Hashes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOADED = 8 << 20
"""Bytes of text after which a process looks for object code. To load it takes as long as it saves on so many."""
COMPILED = 128 << 20
"""Bytes of text after which one compiles, where there is none: as with hiring and buying, when as much was lost."""


class Native:
    """The kernels, called as the functions of `words` and `minhash` are that they stand for."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine  # frees the code when it goes
        self._words, self._shingles, self._minima = (self._function(name) for name in kernels.SIGNATURES)

    def _function(self, name: str) -> Any:
        import ctypes

        kinds: dict[str, Any] = {"number": ctypes.c_int64, "nothing": None}
        result, *arguments = (kinds.get(kind, ctypes.c_void_p) for kind in kernels.SIGNATURES[name].split())
        return ctypes.CFUNCTYPE(result, *arguments)(self._engine.get_function_address(name))

    def words(self, data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> Hashes:
        """Of texts that stand one behind the other, in upper and lower case; no word spans two texts."""
        import numpy as np

        texts, longest = len(bounds) - 1, int(np.diff(bounds).max(initial=0)) + kernels.BEHIND
        tables = (_at(characters.lowered()), _at(characters.kinds_of_all()))
        low: NDArray[np.uint8] = np.empty(longest, np.uint8)
        edges: NDArray[np.int64] = np.empty(longest, np.int64)
        values: NDArray[np.uint64] = np.empty(len(data), np.uint64)
        offsets: NDArray[np.int64] = np.empty(texts + 1, np.int64)
        long: NDArray[np.int64] = np.empty((len(data) // LONGEST * 2 + 1, 3), np.int64)
        room = (_at(low), _at(edges), _at(values), _at(offsets), _at(long))
        found = self._words(_at(data), _at(bounds), texts, *tables, *room)
        for index, start, end in long[:found].tolist():
            values[index] = _hashed(data[start:end].tobytes())
        return Hashes(values[: offsets[-1]], offsets)

    def shingles(self, words: Hashes, size: int) -> Hashes:
        """The shingles of each group of words, in the order of the text, repeated ones too."""
        import numpy as np

        values, offsets = words
        made: NDArray[np.uint64] = np.empty(len(values), np.uint64)
        starts: NDArray[np.int64] = np.empty(len(offsets), np.int64)
        self._shingles(_at(values), _at(offsets), len(offsets) - 1, size, _at(made), _at(starts))
        return Hashes(made[: starts[-1]], starts)

    def minima(self, shingles: Hashes, factors: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Signatures, (permutations, groups): one for each factor."""
        import numpy as np

        values, offsets = shingles
        groups = len(offsets) - 1
        made: NDArray[np.uint32] = np.empty((len(factors), groups), np.uint32)
        narrow: NDArray[np.uint32] = np.empty(int(np.diff(offsets).max(initial=0)) + kernels.LANES, np.uint32)
        inputs = (_at(values), _at(offsets), groups, _at(factors), len(factors))
        self._minima(*inputs, _at(narrow), _at(made))
        return made


def _hashed(word: bytes) -> int:
    import pyarrow.compute as pc

    low: str = pc.utf8_lower(rows.strings([word.decode()]))[0].as_py()
    return hashes.of_bytes(low.encode())


def _at(values: NDArray[Any]) -> int:
    assert values.flags.c_contiguous
    address: int = values.ctypes.data
    return address


def loaded(more: int = 0) -> Native | None:
    """The kernels, if this process has them, or should have them now that it has seen `more` bytes of text."""
    return _process().native(more)


class Process:
    """What a process knows of the kernels. One thread loads or compiles them while the others go on without."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._native: Native | None = None
        self._seen, self._next = 0, LOADED

    def native(self, more: int) -> Native | None:
        if self._native is not None or not more:
            return self._native
        self._seen += more
        if self._seen >= self._next and self._lock.acquire(blocking=False):
            try:
                compiles = self._seen >= COMPILED
                self._next = 1 << 62 if compiles else COMPILED
                self._native = _native(compiles)
            finally:
                self._lock.release()
        return self._native


@cache
def _process() -> Process:
    return Process()


def _native(compiles: bool) -> Native | None:
    try:
        engine = objects.engine(compiles)
    except Exception:  # whatever ails it: there is another way
        return None
    return Native(engine) if engine else None
