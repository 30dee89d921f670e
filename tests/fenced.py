"""Kernels whose arrays lie between memory of no access. They see bare pointers, so that no error tells of a byte too
many: here whatever touches one ends the process, and shows where."""

from __future__ import annotations

import ctypes
import mmap
import threading
from itertools import cycle
from typing import Any

from ftspec.compiled import native, objects

PAGE = mmap.PAGESIZE
MAPS: list[mmap.mmap] = []
"""They last as long as the process."""


class Given(threading.local):
    """Arrays by where they begin, as `native` has looked them up for the next call."""

    def __init__(self) -> None:
        self.arrays: dict[int, Any] = {}


GIVEN = Given()


def at(values: Any, begins: Any = native._at) -> int:
    """In place of `native._at`."""
    place: int = begins(values)
    GIVEN.arrays[place] = values
    return place


class Fenced(native.Native):
    """Each array is copied to the end of such memory, or to its beginning, and back after the call."""

    def _function(self, name: str) -> Any:
        call = super()._function(name)
        pointers = [at for at, kind in enumerate(objects.signatures()[name].split()[1:]) if kind != "number"]
        at_end = cycle([True, True, False])
        free: dict[int, list[int]] = {}

        def fenced(*arguments: Any) -> Any:
            given, taken, end = list(arguments), [], next(at_end)
            for place in pointers:
                array = GIVEN.arrays[arguments[place]]
                zero = name == "lines" and place == 0  # which CPython puts behind bytes, and the kernel reads
                size = array.nbytes + zero
                room = size // PAGE * PAGE + PAGE
                start = free[room].pop() if free.get(room) else _between_fences(room)
                given[place] = start + room - size if end else start
                ctypes.memmove(given[place], arguments[place], size)
                taken.append((array, given[place], room, start))
            GIVEN.arrays.clear()
            try:
                return call(*given)
            finally:
                for array, address, room, start in taken:
                    if array.flags.writeable:
                        ctypes.memmove(array.ctypes.data, address, array.nbytes)
                    free.setdefault(room, []).append(start)

        return fenced


def _between_fences(room: int) -> int:
    """Where so many bytes begin that can be read and written; those of the pages around them cannot."""
    whole = mmap.mmap(-1, room + 2 * PAGE)
    MAPS.append(whole)
    start = ctypes.addressof(ctypes.c_char.from_buffer(whole))
    for fence in (start, start + PAGE + room):
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(PAGE), 0) == 0
    return start + PAGE
