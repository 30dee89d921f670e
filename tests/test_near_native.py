"""The compiled kernels say what NumPy says, bit for bit; and how they are kept, loaded and done without."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_near_dedupe import LETTERS, dropped, texts_of

from ftspec.builtin.near import minhash, sets, words
from ftspec.compiled import native, objects, setkernels
from ftspec.compiled.hashes import Hashes

pytest.importorskip("numba")
ODD = st.one_of(
    st.text(LETTERS, max_size=80),
    st.text(max_size=30),
    st.text("aé字🙂ัि\u0301 ", max_size=40),
    st.builds("".join, st.lists(st.sampled_from(["word", "x" * 7, "x" * 8, "y" * 64, "z" * 65, "ж" * 33, " ", ","]))),
)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> native.Process:
    """What the process of this test knows of the kernels: nothing yet."""
    made = native.Process()
    monkeypatch.setattr(native, "_process", lambda: made)
    return made


def found(values: list[str], rows: list[int], size: int) -> list[list[list[int]]]:
    """By row the words, shingles, their set, sketch and bands of texts, of which each of `rows` has so many."""
    texts = words.Texts(texts_of(values).values, np.concatenate([[0], np.cumsum(rows)]).astype(np.int64))
    made: list[list[list[int]]] = []
    for start, end, said in words.blocks(texts):
        together = words.regrouped(said, texts.offsets[start : end + 1])
        several = words.shingles(together, size, salt=(1 << 64) - size)
        numbers = sets.of_shingles(several)
        sketches = minhash.Sketches.empty(40, end + 1)
        sketches.add(start, several)
        sketches.add(start + 1, several)
        bands = minhash.band_keys(sketches.least, minhash.Bands(10, 4))
        for row in range(end - start):
            parts = (each.values[each.offsets[row] : each.offsets[row + 1]] for each in (together, several, numbers))
            sketch = [*sketches.least[:, start + row].tolist(), int(sketches.totals[start + row])]
            sketch += bands[start + row].tolist()
            made.append([*(part.tolist() for part in parts), sketch])
            assert made[-1][2] == sorted({value >> 32 for value in made[-1][1]})
    return made


def test_sets_of_few_and_of_many(compiled: native.Native) -> None:
    chance = np.random.default_rng(5)
    alike = chance.integers(0, 1 << 44, setkernels.FEW, dtype=np.uint64)
    sizes = (0, 1, 2, setkernels.FEW, setkernels.FEW + 1, 5 * setkernels.FEW)
    given = [alike, np.sort(alike)[::-1], *(chance.integers(0, 1 << 64, size, dtype=np.uint64) for size in sizes)]
    given += [np.tile(each[:20], 100) for each in given[-2:]]
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in given])])
    values, starts = compiled.sets(Hashes(np.concatenate(given), offsets))
    for each, start, end in zip(given, starts, starts[1:], strict=False):
        assert values[start:end].tolist() == np.unique(each >> np.uint64(32)).tolist()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(ODD, max_size=4), min_size=1, max_size=6), st.integers(1, 7))
def test_the_kernels_find_what_numpy_finds(compiled: native.Native, texts: list[list[str]], size: int) -> None:
    values, counts = [each for row in texts for each in row], [len(row) for row in texts]
    with pytest.MonkeyPatch.context() as patch:
        made = native.Process()
        patch.setattr(native, "_process", lambda: made)
        expected = found(values, counts, size)
        made._native = compiled
        assert found(values, counts, size) == expected


SETS = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=30, unique=True).map(sorted), min_size=2, max_size=9)


@settings(max_examples=100, deadline=None)
@given(SETS)
def test_what_sets_have_in_common(compiled: native.Native, numbers: list[list[int]]) -> None:
    flat = sets.Sets(np.concatenate(numbers).astype(np.uint32), np.cumsum([0, *map(len, numbers)]))
    one, other = (each.ravel() for each in np.indices((len(numbers), len(numbers))))
    with pytest.MonkeyPatch.context() as patch:
        made = native.Process()
        patch.setattr(native, "_process", lambda: made)
        expected = sets.jaccard(flat, one, other)
        made._native = compiled
        assert sets.jaccard(flat, one, other).tolist() == expected.tolist()
    assert expected[1] == len({*numbers[0]} & {*numbers[1]}) / len({*numbers[0]} | {*numbers[1]})


def test_every_character_and_length(compiled: native.Native, process: native.Process) -> None:
    assigned = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    values = ["".join(assigned[at : at + 3000]) for at in range(0, len(assigned), 3000)]
    values += [f"{letter * length} {letter * length}" for letter in ("x", "é", "ก", "字") for length in range(140)]
    expected = found(values, [1] * len(values), 5)
    process._native = compiled
    assert found(values, [1] * len(values), 5) == expected


def test_it_makes_no_difference_when_they_come(
    compiled: native.Native, process: native.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"text": f"row {number // 2} of many " + " ".join(f"w{number // 2 * at}" for at in range(40))}
        for number in range(300)
    ]
    expected = dropped(rows, 7)
    assert expected
    monkeypatch.setattr(native, "LOADED", 9000)
    monkeypatch.setattr(native, "_native", lambda compiles: compiled)
    late = native.Process()
    monkeypatch.setattr(native, "_process", lambda: late)
    assert dropped(rows, 7) == expected
    assert late._native is compiled


LOAD = """
import sys
from ftspec.compiled import objects
print(objects.engine(compiles=False) is not None, "numba" in sys.modules)
"""


def test_code_is_kept_and_loaded_without_numba(code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(objects, "compiled", lambda: code)
    assert objects.engine(compiles=False) is None
    assert objects.engine(compiles=True)
    (place,) = (tmp_path / "ftspec" / "native").iterdir()
    assert place.stat().st_mode & 0o077 == 0
    said = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "False"]
    place.chmod(0o666)
    assert objects.engine(compiles=False) is None, "others may have written it"
    place.chmod(0o600)
    place.write_bytes(place.read_bytes()[:-1])
    assert objects.engine(compiles=False) is None, "it is not whole"
    assert objects.engine(compiles=True)
    assert objects.engine(compiles=False)


def test_code_that_nobody_uses_any_more_is_removed(
    code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(objects, "compiled", lambda: code)
    folder = tmp_path / "ftspec" / "native"
    folder.mkdir(parents=True)
    old = folder / "0123456789abcdef.o"
    old.write_bytes(b"old")
    os.utime(old, (1.0e9, 1.0e9))
    assert objects.engine(compiles=True)
    (own,) = folder.iterdir()
    assert own != old
    os.utime(own, (1.0e9, 1.0e9))
    assert objects.engine(compiles=False), "to be used keeps it"
    assert own.stat().st_mtime > 1.5e9


def test_code_that_cannot_be_kept_is_used_all_the_same(
    code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ftspec").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(objects, "compiled", lambda: code)
    assert objects.engine(compiles=True)


def test_without_numba_it_goes_on(process: native.Process, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert process.native(native.LOADED) is None
    assert process.native(native.COMPILED) is None
    monkeypatch.undo()
    assert process.native(native.COMPILED) is None, "once it could not be done, it is not tried again"


def test_kernels_that_do_not_compile_are_done_without(
    process: native.Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> bytes:
        raise RuntimeError("the kernels call Python")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(objects, "compiled", failing)
    assert process.native(native.COMPILED) is None
    assert not [*tmp_path.iterdir()]


def test_a_little_text_asks_for_nothing(process: native.Process, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(native, "_native", asked.append)
    for _ in range(3):
        process.native(native.LOADED // 2)
    assert asked == [False]
    process.native(native.COMPILED)
    process.native(native.COMPILED)
    assert asked == [False, True]


def test_who_must_not_be_held_up_leaves_it_to_others_to_compile(
    process: native.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One core reads for all others: none of them would have anything to do meanwhile."""
    asked: list[bool] = []
    monkeypatch.setattr(native, "_native", asked.append)
    for _ in range(3):
        process.native(native.COMPILED, compiles=False)
    assert asked == [False]
    process.native(1)
    assert asked == [False, True]
