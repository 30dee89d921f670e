"""How much memory there is, for this process: what the machine has, or what its container may use."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

SHARE = 0.25
"""Of the memory, for the data step where nobody says how much: other processes live here too."""
LEAST = 256 << 20
KEYS = 0.25
"""Of the data step's memory, for what is kept of every row (keys, row numbers, ledger): a reduction's tables are a few
times as large as its keys, and the window of batches wants its part."""

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENAS = -1, -3, -8
"""Options of mallopt: M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of malloc.h of GNU C."""
NEW_OBJECTS = 20_000
"""After how many the collector looks for cycles, once all is loaded."""
AT_ONCE, UNUSED = 32 << 20, 64 << 20
"""Bytes from which on memory is the system's own (more cannot be said), and that may lie at a heap's end unused."""
PURGE_DELAY = "10000"
"""Milliseconds for which Arrow's allocator (mimalloc) keeps what is freed."""
BLAS_THREADS = "1"
"""Of NumPy: the data step multiplies no matrices, and each thread of OpenBLAS begins with a wait that takes a core."""

LIMITS = ("/sys/fs/cgroup{path}/memory.max", "/sys/fs/cgroup/memory{path}/memory.limit_in_bytes")
"""Of cgroups, version 2 and 1: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files"""


def usual() -> int:
    """Bytes for the data step where nobody says how many."""
    return max(LEAST, int(available() * SHARE))


def for_keys(limit: int) -> int:
    """Bytes of the data step's memory that keys may take before they go to disk."""
    return int(limit * KEYS)


def settle() -> None:
    """From here on rather speed than little memory: for the data step.

    What is loaded by now stays to the end, so that no collection looks at it: that would take longer than all else
    in the data step of some hundred rows. Once in a process, for what is frozen later may be no more than a job's.

    What a batch frees is kept for the next one, until `give_back`: to have a page from the system again takes some
    microseconds, and there are three for each row.
    """
    if not gc.get_freeze_count():
        with _set("MIMALLOC_PURGE_DELAY", PURGE_DELAY), _set("OPENBLAS_NUM_THREADS", BLAS_THREADS):
            import_module("pyarrow.compute")
        gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
    _tell_malloc((MMAP_THRESHOLD, AT_ONCE), (TRIM_THRESHOLD, UNUSED))


def give_back() -> None:
    """Return to the system what was freed, which Arrow and the C library keep for later: after a reduction of a million
    rows some hundreds of megabytes."""
    import pyarrow as pa

    gc.collect()
    for name in pa.supported_memory_backends():
        getattr(pa, f"{name}_memory_pool")().release_unused()
    with suppress(OSError, AttributeError):  # a library that is not GNU's
        ctypes.CDLL(None).malloc_trim(0)


def spare() -> None:
    """From here on rather little memory than much speed: for asking models, where most of the time is waiting.

    Arrow takes from the C library what it needs (from the beginning only where it has not been imported yet), whose
    threads share one heap, and what is freed at a heap's end goes back in pieces of 8 MB (of 128 KB, 10,000 calls took
    2 CPU s more). Without that 10,000 answers hold some 60 MB more.
    """
    with _set("ARROW_DEFAULT_MEMORY_POOL", "system"):
        import pyarrow as pa

    gc.set_threshold(NEW_OBJECTS)
    pa.set_memory_pool(pa.system_memory_pool())
    _tell_malloc((ARENAS, 1), (MMAP_THRESHOLD, 1 << 20), (TRIM_THRESHOLD, 8 << 20))
    give_back()


def _tell_malloc(*options: tuple[int, int]) -> None:
    with suppress(OSError, AttributeError):  # a library that is not GNU's
        library = ctypes.CDLL(None)
        for option, value in options:
            library.mallopt(option, value)


@contextmanager
def _set(name: str, value: str) -> Iterator[None]:
    """An environment variable, unless it is set already, and not for the processes that are started later."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def available(root: Path = Path("/")) -> int:
    """Bytes that this process may use: the machine's, or the smallest limit of the control groups that it is in."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _groups(root):
        for limit in LIMITS:
            found += _read(root / limit.format(path=path).lstrip("/"))
    return min(found)


def _groups(root: Path) -> list[str]:
    """The control group of this process and those around it; "" is the root, which a container sees as its own."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return [""]
    names = {line.rpartition(":")[2] for line in lines if line.startswith("0::") or ":memory:" in line}
    return ["", *(str(each) for name in names for each in (Path(name), *Path(name).parents) if str(each) != "/")]


def _read(path: Path) -> list[int]:
    """The limit in the file, if there is one: "max" is none."""
    try:
        text = path.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdigit() else []
