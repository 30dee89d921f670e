"""Machine code to read lines, for near-duplicates and for what texts are searched for, where the extra `fast` (Numba)
is installed and there is text enough for it to pay.

Where it cannot be had, for whatever reason, Arrow, `words` and `minhash` do the same work: the results are equal bit
for bit, so nothing depends on when, or whether, the one takes the other's place.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec.compiled import characters, chatkernels, hashes, linekernels, objects, setkernels, wordkernels
from ftspec.compiled.hashes import LONGEST, Hashes

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

LOADED = 3 << 20
"""Bytes of text after which a process looks for object code. To load it takes as long as it saves on so many."""
COMPILED = 128 << 20
"""Bytes of text after which one compiles, where there is none: as with hiring and buying, when as much was lost."""
SEARCHED, READ, SIFTED = 6, 3, 2
"""A text that is only searched counts as a sixth of its bytes, a line that is read as a third, and a text in which
entities are looked for as half of them: machine code saves so much less there."""


class Lines(NamedTuple):
    """JSON lines: the texts under each name, by its place among the names, and where each row's messages begin."""

    texts: dict[int, pa.Array]
    offsets: NDArray[np.int32]


class Native:
    """The kernels, called as the functions of `words` and `minhash` are that they stand for."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine  # frees the code when it goes
        functions = (self._function(name) for name in objects.signatures())
        self._words, self._shingles, self._sketch, self._sets, self._shared, self._banded, *others = functions
        self._marks, self._telling, self._lines, self._decoded, self._controlled, self._spoken, self._joined = others

    def _function(self, name: str) -> Any:
        import ctypes

        kinds: dict[str, Any] = {"number": ctypes.c_int64, "nothing": None}
        result, *arguments = (kinds.get(kind, ctypes.c_void_p) for kind in objects.signatures()[name].split())
        return ctypes.CFUNCTYPE(result, *arguments)(self._engine.get_function_address(name))

    def words(self, data: NDArray[np.uint8], bounds: NDArray[np.int64]) -> Hashes:
        """Of texts that stand one behind the other, in upper and lower case; no word spans two texts."""
        import numpy as np

        texts = len(bounds) - 1
        low: NDArray[np.uint8] = np.empty(_most(bounds) + wordkernels.BEHIND, np.uint8)
        # Words of one byte have another between them, or a character of two at least that is a word by itself.
        values: NDArray[np.uint64] = np.empty((2 * len(data) + texts) // 3, np.uint64)
        offsets: NDArray[np.int64] = np.empty(texts + 1, np.int64)
        long: NDArray[np.int64] = np.empty((len(data) // LONGEST * 2 + 1, 3), np.int64)
        room = (_at(low), _at(values), _at(offsets), _at(long))
        found = self._words(_at(data), _at(bounds), texts, *room)
        for index, start, end in long[:found].tolist():
            values[index] = _hashed(data[start:end].tobytes())
        return Hashes(values[: offsets[-1]], offsets)

    def shingles(self, words: Hashes, size: int, salt: int) -> Hashes:
        """The shingles of each group of words, in the order of the text, repeated ones too."""
        import numpy as np

        values, offsets = words
        made: NDArray[np.uint64] = np.empty(len(values), np.uint64)
        starts: NDArray[np.int64] = np.empty(len(offsets), np.int64)
        self._shingles(_at(values), _at(offsets), len(offsets) - 1, size, salt, _at(made), _at(starts))
        return Hashes(made[: starts[-1]], starts)

    def sketch(
        self, shingles: Hashes, factors: NDArray[np.uint32], least: NDArray[np.uint32], totals: NDArray[np.uint64]
    ) -> None:
        """`least` is (permutations, groups), each group's permutations one behind the other."""
        import numpy as np

        values, offsets = shingles
        inputs = (_at(values), _at(offsets), len(offsets) - 1, _at(factors), len(factors))
        narrow: NDArray[np.uint32] = np.empty(setkernels.EIGHT, np.uint32)
        self._sketch(*inputs, _at(narrow), _at(least.T), _at(totals))

    def sets(self, shingles: Hashes) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """(the upper halves of each group's values, sorted, each once; where each group's begin)."""
        import numpy as np

        values, offsets = shingles
        made: NDArray[np.uint32] = np.empty(len(values) + 1, np.uint32)
        starts: NDArray[np.int64] = np.empty(len(offsets), np.int64)
        counts: NDArray[np.int64] = np.empty(1024, np.int64)
        room: NDArray[np.uint32] = np.empty((2, _most(offsets)), np.uint32)
        inputs = (_at(values), _at(offsets), len(offsets) - 1)
        self._sets(*inputs, _at(counts), _at(room[0]), _at(room[1]), _at(made), _at(starts))
        return made[: starts[-1]], starts

    def shared(
        self,
        values: NDArray[np.uint32],
        offsets: NDArray[np.int64],
        one: NDArray[np.int64],
        other: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """How many elements sets one[i] and other[i] have in common."""
        import numpy as np

        made: NDArray[np.int64] = np.empty(len(one), np.int64)
        self._shared(_at(values), _at(offsets), _at(one), _at(other), len(one), _at(made))
        return made

    def banded(self, least: NDArray[np.uint32], rows: int) -> NDArray[np.uint32]:
        """(groups, bands): see `minhash.band_keys`; `least` is (groups, permutations)."""
        import numpy as np

        made: NDArray[np.uint32] = np.empty((len(least), least.shape[1] // rows), np.uint32)
        self._banded(_at(least), made.size, rows, _at(made))
        return made

    def marks(
        self,
        data: NDArray[np.uint8],
        bounds: NDArray[np.int64],
        begins: NDArray[np.uint32],
        follows: NDArray[np.uint32],
        single: int,
        ends: int,
        skips: bool,
        beyond: bool,
    ) -> NDArray[np.uint32]:
        """Of each text its bits: see `scankernels.marks`."""
        import numpy as np

        made: NDArray[np.uint32] = np.empty(len(bounds) - 1, np.uint32)
        inputs = (_at(data), _at(bounds), len(made), _at(begins), _at(follows))
        self._marks(*inputs, single, ends, beyond, skips, _at(made))
        return made

    def telling(
        self,
        data: NDArray[np.uint8],
        bounds: NDArray[np.int64],
        kinds: NDArray[np.uint32],
        stems: NDArray[np.uint8],
        names: NDArray[np.uint8],
    ) -> NDArray[np.uint8]:
        """Of each text what may be in it: see `entitykernels.telling`."""
        import numpy as np

        made: NDArray[np.uint8] = np.empty(len(bounds) - 1, np.uint8)
        self._telling(_at(data), _at(bounds), len(made), _at(kinds), _at(stems), _at(names), _at(made))
        return made

    def lines(self, data: bytes, names: Sequence[bytes], columns: int, messages: int) -> Lines | None:
        """The texts of lines that hold these columns, the first of the names, and no others; None if one holds anything
        else. `messages` is the column whose values are lists of objects under the other names, -1 where there is none.
        """
        import numpy as np

        # Behind bytes CPython puts a zero, which ends whatever is looked for.
        found, joined = (np.frombuffer(each, np.uint8) for each in (data, b"".join(names)))
        wide = [len(name) + linekernels.LEAST for name in names]
        least = [sum(wide[:columns]), *wide[columns:]]
        room = len(data) // min(least) + 2  # of which no more is touched than there is to be written
        starts: NDArray[np.int64] = np.empty((len(names), room), np.int64)
        ends: NDArray[np.int64] = np.empty((len(names), room), np.int64)
        offsets: NDArray[np.int64] = np.empty(room, np.int64)
        ends[:, 0] = offsets[0] = 0
        bounds = np.cumsum([0, *map(len, names)], dtype=np.int64)
        wanted = _at(joined), _at(bounds), columns, len(names) - columns
        count = self._lines(_at(found), len(data), *wanted, messages, room, _at(starts), _at(ends), _at(offsets))
        if count < 0:
            return None
        texts = {}
        for name in range(len(names)):
            if name != messages:
                filled = slice(0, (count if name < columns else int(offsets[count])) + 1)
                texts[name] = self._texts(found, starts[name, filled], ends[name, filled])
        return Lines(texts, offsets[: count + 1].astype(np.int32))

    def _texts(self, data: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> pa.Array:
        """Of each place behind the first one its text, null where it is missing."""
        import numpy as np
        import pyarrow as pa

        made: NDArray[np.uint8] = np.empty(int(ends[-1]), np.uint8)
        self._decoded(_at(data), len(data), _at(starts), _at(ends), len(starts) - 1, _at(made))
        missing = starts[1:] == linekernels.MISSING
        valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
        offsets = pa.py_buffer(ends.astype(np.int32))
        return pa.Array.from_buffers(pa.string(), len(missing), [valid, offsets, pa.py_buffer(made)])

    def controlled(self, texts: pa.Array) -> bool:
        """Whether a text holds a control character of ASCII that is not a line feed, a tab or a carriage return."""
        data, bounds = laid_out(texts)
        return bool(self._controlled(_at(data), int(bounds[0]), int(bounds[-1])))

    def spoken(self, texts: pa.Array) -> NDArray[np.int64]:
        """How many words each text has, as `str.split` makes them. Texts have no control characters but white space."""
        import numpy as np

        data, bounds = laid_out(texts)
        made: NDArray[np.int64] = np.empty(len(texts), np.int64)
        self._spoken(_at(data), _at(bounds), len(texts), _at(made))
        return made

    def joined(self, texts: pa.Array, which: NDArray[np.int64], heads: Sequence[bytes]) -> NDArray[np.uint8]:
        """Each text as JSON writes it, behind one of the heads; the last head behind all. Of control characters texts
        have line feeds, tabs and carriage returns."""
        import numpy as np

        data, bounds = laid_out(texts)
        wide = np.array([len(head) for head in heads], np.int64)
        parts = np.cumsum([0, *wide], dtype=np.int64)
        all_heads = np.frombuffer(b"".join(heads) + bytes(chatkernels.BEHIND), np.uint8)
        # Of this room no more is touched than there is to be written.
        room = 2 * int(bounds[-1] - bounds[0]) + int(wide[which].sum() + wide[-1]) + chatkernels.BEHIND
        made: NDArray[np.uint8] = np.empty(room, np.uint8)
        inputs = (_at(data), _at(bounds), len(texts), _at(which), _at(all_heads), _at(parts), len(heads) - 1)
        return made[: self._joined(*inputs, _at(made))]


def _most(offsets: NDArray[np.int64]) -> int:
    """How many the largest group has."""
    import numpy as np

    return int(np.diff(offsets).max(initial=0))


def _hashed(word: bytes) -> int:
    return hashes.of_bytes(word.lower() if word.isascii() else characters.in_lower_case(word.decode()).encode())


def _at(values: NDArray[Any]) -> int:
    """Where they begin. Arrow says so in 0.4 µs, NumPy in 2."""
    import pyarrow as pa

    assert values.flags.c_contiguous
    address: int = pa.py_buffer(values).address
    return address


def laid_out(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(the bytes of an array of texts or binaries, where each one begins, and the last one ends)."""
    import numpy as np

    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data or b"", np.uint8), bounds.astype(np.int64)


def loaded(more: int = 0, *, compiles: bool = True) -> Native | None:
    """The kernels, if this process has them, or should have them now that it has seen `more` bytes of text. Who must
    not be held up for seconds never compiles them."""
    return _process().native(more, compiles=compiles)


class Process:
    """What a process knows of the kernels. One thread loads or compiles them while the others go on without."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._native: Native | None = None
        self._seen, self._next = 0, LOADED

    def native(self, more: int, *, compiles: bool = True) -> Native | None:
        if self._native is not None or not more:
            return self._native
        self._seen += more
        due = self._seen >= self._next and (compiles or self._next < COMPILED)
        if due and self._lock.acquire(blocking=False):
            try:
                compiles = compiles and self._seen >= COMPILED
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
