"""How much memory there is, and what is kept of every row: none of it must grow without a bound."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ftspec.common import figures
from ftspec.common.messages import Message, Prompt
from ftspec.data.measures import Measures
from ftspec.data.origins import Origins, read
from ftspec.data.prompts import PromptsFile, load_prompts
from ftspec.files import memory

WHOLE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def machine(root: Path, groups: str, limits: dict[str, str]) -> int:
    for name, text in {"proc/self/cgroup": groups, **limits}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return memory.available(root)


def test_a_container_has_what_its_group_may_use(tmp_path: Path) -> None:
    assert memory.available(tmp_path / "nothing") == WHOLE
    assert machine(tmp_path / "a", "0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}) == WHOLE
    assert machine(tmp_path / "b", "0::/\n", {"sys/fs/cgroup/memory.max": "300000000\n"}) == 300_000_000
    inner = {"sys/fs/cgroup/box/memory.max": "200000000", "sys/fs/cgroup/box/in/memory.max": "max"}
    assert machine(tmp_path / "c", "0::/box/in\n", inner) == 200_000_000
    first = {"sys/fs/cgroup/memory/box/memory.limit_in_bytes": "100000000"}
    assert machine(tmp_path / "d", "5:memory:/box\n4:cpu:/other\n", first) == 100_000_000


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2 * 10**9), ("1.5 GiB", 3 << 29), ("512mb", 512 * 10**6), ("100 B", 100)]
)
def test_sizes(text: str, size: int) -> None:
    assert figures.size_of(text) == size


@pytest.mark.parametrize("text", ["", "2", "GB", "-1GB", "0GB", "2 gigabytes", "1e3MB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory"):
        figures.size_of(text)


def test_measures_are_read_again_and_again(tmp_path: Path) -> None:
    kept = Measures(tmp_path)
    for value in ([1, "a"], None, {"b": 2}):
        kept.append(value)
    assert list(kept) == list(kept) == [[1, "a"], None, {"b": 2}]
    assert (len(kept), kept[-1], kept[1:]) == (3, {"b": 2}, [None, {"b": 2}])
    kept.close()
    assert not list(tmp_path.iterdir())


def test_rows_of_several_files_mixed(tmp_path: Path) -> None:
    origins = Origins()
    assert origins.add("a", range(1, 4)) == 1
    assert origins.add_mixed(["b", "a", "c"], [7, 4, 1]) == 4
    assert origins.add("b", [9, 12]) == 7
    places = ["a:1", "a:2", "a:3", "b:7", "a:4", "c:1", "b:9", "b:12"]
    assert [origins.where(row) for row in range(1, 9)] == places
    origins.write(tmp_path)
    assert [f"{each['file']}:{each['line']}" for each in read(tmp_path).to_pylist()] == places


def test_a_prompt_is_written_once(tmp_path: Path) -> None:
    one, two = (Prompt(id=f"{n:032x}", messages=[Message(role="user", content=str(n))]) for n in (1, 2))
    file = PromptsFile(tmp_path)
    assert [file.add(3, one), file.add(5, two), file.add(9, one)] == [3, 5, 3]
    file.close()
    assert [prompt.id for prompt in load_prompts(tmp_path)] == [one.id, two.id]
    assert len(file) == 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux")
def test_what_was_freed_goes_back_to_the_system() -> None:
    """Small pieces between others: the C library keeps those, unless it is told."""
    pieces = [bytearray(100_000) for _ in range(1000)]
    kept = pieces[::100]
    del pieces
    memory.give_back()
    assert len(kept) == 10 and held() < most_held()


BATCHES = """
import os, resource
from ftspec.files import memory

def faults_of_batches():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        [b"x" * 3_000_000 for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

memory.settle()
faults_of_batches()
print(faults_of_batches(), "MIMALLOC_PURGE_DELAY" in os.environ, "OPENBLAS_NUM_THREADS" in os.environ)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tells GNU's library")
def test_what_a_batch_frees_is_there_for_the_next_one() -> None:
    """Of the 58,000 pages that 20 batches fill; and processes that are started later are as they always were."""
    done = subprocess.run([sys.executable, "-c", BATCHES], capture_output=True, text=True, check=True)
    faults, *told = done.stdout.split()
    assert int(faults) < 5000 and told == ["False", "False"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_numpy_starts_no_threads_for_the_data_step() -> None:
    begun = "from ftspec.files import memory; memory.settle(); import numpy, os"
    code = f"{begun}; print(len(os.listdir('/proc/self/task')))"
    told = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    usual = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    runs = (subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=e) for e in (told, usual))
    assert len({run.stdout for run in runs}) == 1


def held() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def most_held() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
