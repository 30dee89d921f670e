"""Sequences whose items are made when asked for; of records on disk, memory holds where each stands."""

from __future__ import annotations

import os
import tempfile
from abc import abstractmethod
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeVar, overload

import msgspec

T = TypeVar("T")
R = TypeVar("R", bound=msgspec.Struct)
K = TypeVar("K", bound=Hashable)

AHEAD = 1 << 14
"""Bytes that are read at least: most readers go from one record to the next."""


def nameless(folder: Path | None = None) -> IO[bytes]:
    """A file that is gone when it is closed, or when the process ends, however that comes."""
    return tempfile.TemporaryFile(dir=folder)


class Lazy(Sequence[T]):
    """A sequence whose items are made when they are asked for."""

    @abstractmethod
    def at(self, index: int) -> T:
        """The item at an index from 0 on."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        places = range(len(self))[index]
        return [self.at(place) for place in places] if isinstance(places, range) else self.at(places)

    def __iter__(self) -> Iterator[T]:
        return (self.at(index) for index in range(len(self)))


class Picked(Lazy[T]):
    """Some of a sequence's items: those at these places, in this order."""

    def __init__(self, items: Sequence[T], places: Iterable[int]) -> None:
        self._items, self._places = items, array("Q", places)

    def __len__(self) -> int:
        return len(self._places)

    def at(self, index: int) -> T:
        return self._items[self._places[index]]


class Kept(Lazy[R]):
    """The records of a file, one per line of JSON: `starts[i]` to `ends[i]` are the bytes of record i."""

    def __init__(self, type: type[R], file: IO[bytes], starts: Sequence[int], ends: Sequence[int]) -> None:
        self._type, self._decoder = type, msgspec.json.Decoder(type)
        self._file, self._starts, self._ends = file, starts, ends
        self._read = (0, b"")
        """What was read last: where it stands in the file, and its bytes. One tuple, for threads may read at once."""

    def __len__(self) -> int:
        return len(self._starts)

    def at(self, index: int) -> R:
        start, end = self._starts[index], self._ends[index]
        first, data = self._read
        if not first <= start <= end <= first + len(data):
            first, data = self._read = start, os.pread(self._file.fileno(), max(end - start, AHEAD), start)
        return self._decoder.decode(data[start - first : end - first])

    def chosen(self, places: Iterable[int]) -> Kept[R]:
        """The records at these places, in this order."""
        listed = list(places)
        starts, ends = array("Q", (self._starts[at] for at in listed)), array("Q", (self._ends[at] for at in listed))
        return Kept(self._type, self._file, starts, ends)


def keep(
    type: type[R], records: Iterable[R], folder: Path | None = None, order: Callable[[R], int] | None = None
) -> Kept[R]:
    """Put records into a file without a name below `folder` (the system's own where None), which is gone with them.

    They come back in the order in which they came, or by `order`.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    file = nameless(folder)
    starts, ends, places = array("Q"), array("Q"), array("q")
    end = 0
    for record in records:
        starts.append(end)
        end += file.write(msgspec.json.encode(record))
        ends.append(end)
        if order is not None:
            places.append(order(record))
    file.flush()
    made = Kept(type, file, starts, ends)
    return made.chosen(sorted(range(len(places)), key=places.__getitem__)) if order is not None else made


class Keyed(Mapping[K, R]):
    """Records by a key; of two with the same key, the first. The one that was asked for last is held."""

    def __init__(self, records: Sequence[R], key: Callable[[R], K]) -> None:
        self._records = records
        self._places: dict[K, int] = {}
        for place, record in enumerate(records):
            self._places.setdefault(key(record), place)
        self._last: tuple[int, R] | None = None

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[K]:
        return iter(self._places)

    def __getitem__(self, key: K) -> R:
        place = self._places[key]
        if self._last is None or self._last[0] != place:
            self._last = place, self._records[place]
        return self._last[1]
