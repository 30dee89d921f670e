"""The cache within the data step: what it knows is not done again, and every byte is what it would be without it."""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import Notes
from test_pipeline import LOADED, REQUEST, SPLIT, Lines, everything, item, numbered, spec_of, write

from ftspec import rows
from ftspec.builtin import files
from ftspec.common.errors import Finding
from ftspec.data import blocks, entries, pipeline, prefixes
from ftspec.data.cleaning import Stage
from ftspec.data.segments import Outcome, Segment
from ftspec.data.spool import Spool
from ftspec.items import Tuned
from ftspec.spec import Eval, Spec

STEPS = ["strip", {"length": {"columns": ["text"], "min": 2}}, "dedupe", {"drop_empty": {"columns": ["label"]}}]


def run(spec: Spec, cache: Path, **how: Any) -> list[str]:
    """What the user is told of a run with the cache."""
    told = Notes()
    with tempfile.TemporaryDirectory(dir=spec.folder) as out:
        options = pipeline.How(cache=str(cache), worth=0, **how)
        pipeline.prepare(spec, LOADED, Lines(), REQUEST, Path(out), told, options)  # type: ignore[arg-type]
    return told.notes


def names(cache: Path) -> set[str]:
    return {path.name for _, _, path in entries.sizes(cache)}


# ---- the same bytes

CELL = st.sampled_from(["a", " b", "", None, 3, [1], "c@d.example"])
TABLE = st.lists(st.fixed_dictionaries({"text": st.text("ab @.", max_size=5), "label": CELL}), min_size=1, max_size=30)
CLEANING = st.lists(
    st.sampled_from(
        [
            "strip",
            "redact",
            "dedupe",
            {"length": {"columns": ["text"], "min": 1}},
            {"sample": {"fraction": 0.8}},
            {"flatten": {"columns": ["label"]}},
            {"drop_empty": {"columns": ["text"]}},
        ]
    ),
    max_size=5,
)


@settings(max_examples=10, deadline=None)
@given(TABLE, TABLE, CLEANING, CLEANING, st.integers(20, 400))
def test_what_the_cache_knows_changes_no_byte(
    table: list[Any], more: list[Any], steps: list[Any], other: list[Any], block: int
) -> None:
    """Filled by a run of other steps over other rows; then rows move, and everything is compared with a run without."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK", block)
        folder = Path(name)
        cache = {"cache": str(folder / "cache"), "worth": 0}
        asked = {"split": SPLIT, "eval": Eval(prompts=("test", "train"), graders=())}
        write(folder, [*table, {"text": "kept", "label": "kept"}])
        everything(spec_of(folder, cleaning=[*steps, *other], **asked), folder / "a", **cache)
        write(folder, [*more, *table, {"text": "kept", "label": "kept"}])
        for cleaning in ([*steps, *other], steps, other):
            spec = spec_of(folder, cleaning=cleaning, **asked)
            fresh = everything(spec, folder / "b")
            assert everything(spec, folder / "c", **cache) == fresh
            assert everything(spec, folder / "d", **cache) == fresh


# ---- what is not done again


def test_editing_a_step_does_not_redo_those_before(tmp_path: Path) -> None:
    write(tmp_path, numbered(3000))
    cache = tmp_path / "cache"
    assert run(spec_of(tmp_path, cleaning=STEPS), cache) == []
    again = "3,000 of 3,000 rows were cleaned before, up to {}: taken from the cache"
    assert run(spec_of(tmp_path, cleaning=STEPS), cache) == [again.format("dedupe"), again.format("chat")]
    edited = [*STEPS[:3], {"drop_empty": {"columns": ["label", "text"]}}]
    assert run(spec_of(tmp_path, cleaning=edited), cache) == [again.format("dedupe")]
    edited = [STEPS[0], {"length": {"columns": ["text"], "min": 3}}, *STEPS[2:]]
    assert run(spec_of(tmp_path, cleaning=edited), cache)[0] == again.format("strip")
    assert run(spec_of(tmp_path, cleaning=["redact", *STEPS]), cache) == [again.format("chat")]


def test_a_new_file_is_all_that_is_done(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path, numbered(2000), "data/b.jsonl")
    cache = tmp_path / "cache"
    spec = spec_of(tmp_path, data="data", cleaning=STEPS)
    run(spec, cache)
    write(tmp_path, [{"text": f"new {i}", "label": "x"} for i in range(500)], "data/a.jsonl")
    told = run(spec, cache)
    assert told[0] == "2,000 of 2,500 rows were cleaned before, up to dedupe: taken from the cache"


def test_work_that_is_not_worth_it_is_not_kept(tmp_path: Path) -> None:
    write(tmp_path, numbered(100))
    everything(spec_of(tmp_path, cleaning=STEPS), tmp_path / "out", cache=str(tmp_path / "cache"), worth=1e6)
    assert not names(tmp_path / "cache")


# ---- what must not be kept


def content(cache: Path) -> bytes:
    """Everything that the cache holds, decompressed."""
    found = b""
    for _, _, path in entries.sizes(cache):
        outcome = entries._unpacked(Path(), memoryview(path.read_bytes())[entries.CHECK :])
        found += repr((outcome.batch.to_pylist(), outcome)).encode()
    return found


@pytest.mark.parametrize(
    "cleaning",
    [
        ["strip", "redact", "dedupe"],
        ["strip", "dedupe", "redact"],
        ["redact", "strip", {"length": {"columns": ["text"], "min": 1}}, "redact"],
        ["strip", "dedupe"],
    ],
)
def test_what_redact_removes_is_never_kept(tmp_path: Path, cleaning: list[Any]) -> None:
    write(tmp_path, [{"text": f" mail someone.{i}@secret.example ", "label": "x"} for i in range(50)])
    run(spec_of(tmp_path, cleaning=cleaning), tmp_path / "cache")
    found = content(tmp_path / "cache")
    assert found
    assert (b"secret.example" in found) is ("redact" not in cleaning)


def test_only_this_user_can_look(tmp_path: Path) -> None:
    write(tmp_path, numbered(10))
    run(spec_of(tmp_path, cleaning=STEPS), tmp_path / "cache")
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for _, _, path in entries.sizes(tmp_path / "cache")} == {0o600}


def test_another_secret_makes_other_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, [{"text": f"mail a{i}@b.example", "label": "x"} for i in range(20)])
    redact = {"redact": {"placeholders": "dataset", "key": "${secret:RKEY}"}}
    spec, cache = spec_of(tmp_path, cleaning=["strip", redact, "dedupe"]), str(tmp_path / "cache")
    made = []
    for key in ("first key", "second key"):
        monkeypatch.setenv("RKEY", key)
        made.append(everything(spec, tmp_path / "a", cache=cache, worth=0))
        assert made[-1] == everything(spec, tmp_path / "b")
    assert made[0] != made[1]


def test_the_code_of_the_tuner_counts_where_a_step_asks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = Tuned(item("provider", "simulated"), REQUEST)
    asks = Stage(item=item("cleaner", {"length": {"unit": "tokens", "max": 5}}), index=1)
    plain = Stage(item=item("cleaner", "strip"), index=1)
    of = [Segment(tmp_path, LOADED, (stage,), tuned=tuned) for stage in (asks, plain)]
    before = [prefixes.marks(segment)[1] for segment in of]
    assert before == [prefixes.marks(segment)[1] for segment in of]
    monkeypatch.setattr(LOADED.get("provider", "simulated"), "revision", 99)
    newer = [prefixes.marks(segment)[1] for segment in of]
    assert newer[0] != before[0] and newer[1] == before[1]
    monkeypatch.setattr(LOADED.get("provider", "simulated").factory, "tokenizer", lambda *_: None)
    assert prefixes.marks(of[0])[1] != newer[0]


def test_all_of_our_code_that_makes_rows_counts() -> None:
    ours = Path(prefixes.__file__).parents[1]
    used = {
        room
        for path in ours.glob("builtin/**/*.py")
        for room in re.findall(r"^(?:from|import) ftspec\.(\w+)", path.read_text(), re.MULTILINE)
        if (ours / room).is_dir()
    }
    assert used <= {*prefixes.ROOMS}


# ---- what cannot be kept


def test_a_row_that_is_not_of_the_batch_is_no_fault_of_the_cache(tmp_path: Path) -> None:
    """What a plugin says of rows that it was never given must not end the run only because there is a cache."""
    write(tmp_path, numbered(20))
    segment = Segment(tmp_path, LOADED, (Stage(item=item("cleaner", "strip"), index=1),))
    cached = blocks.Cached(segment, tmp_path, 0, worth=0)
    numbers = pa.array(range(100, 103), pa.int64())
    batch = pa.RecordBatch.from_arrays([numbers], names=[rows.ROW])
    wrong = [Finding(message="odd", row=7)]
    cached._keep("aa-findings", Outcome(batch, [], wrong), numbers)
    cached._keep("aa-prompts", Outcome(batch, [], [], prompts=[(7, None)]), numbers)  # type: ignore[list-item]
    cached._keep("aa-rows", Outcome(batch.slice(1), [], []), numbers.slice(0, 1))
    assert not names(tmp_path)
    cached._keep("aa-right", Outcome(batch, [], [Finding(message="odd", row=101)]), numbers)
    assert names(tmp_path) == {"aa-right"}


# ---- it can be lost


@pytest.mark.parametrize("damage", [b"", b"\0" * 300, b"x"])
def test_a_damaged_entry_is_none(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path, numbered(200))
    spec, cache = spec_of(tmp_path, cleaning=STEPS), tmp_path / "cache"
    fresh = everything(spec, tmp_path / "a")
    everything(spec, tmp_path / "b", cache=str(cache), worth=0)
    for _, _, path in entries.sizes(cache):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + damage if damage == b"x" else damage)
    assert everything(spec, tmp_path / "c", cache=str(cache), worth=0) == fresh
    assert len(run(spec, cache)) == 2


def test_a_cache_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, numbered(20))
    spec = spec_of(tmp_path, cleaning=STEPS)
    fresh = everything(spec, tmp_path / "a")

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(entries, "_private", full)
    assert everything(spec, tmp_path / "b", cache=str(tmp_path / "cache"), worth=0) == fresh
    assert not names(tmp_path / "cache")


def test_names_are_of_one_cache_alone(tmp_path: Path) -> None:
    """Whoever writes rows does not know the seed, so they cannot write some that have the name of others."""
    write(tmp_path, numbered(200))
    spec, caches = spec_of(tmp_path, cleaning=STEPS), [tmp_path / "one", tmp_path / "other"]
    fresh = everything(spec, tmp_path / "a", cache=str(caches[0]), worth=0)
    assert everything(spec, tmp_path / "b", cache=str(caches[1]), worth=0) == fresh
    assert not names(caches[0]) & names(caches[1])
    (caches[0] / "seed").unlink()
    assert everything(spec, tmp_path / "c", cache=str(caches[0]), worth=0) == fresh
    assert len(names(caches[0])) == 2 * len(names(caches[1]))


def test_what_is_used_least_goes_first(tmp_path: Path) -> None:
    now = time.time()
    (tmp_path / "aa").mkdir()
    for name, age, size in (("old", 500, 40), ("new", 10, 40), ("older", 900, 40), ("half.part", 4000, 5)):
        (tmp_path / "aa" / name).write_bytes(bytes(size))
        os.utime(tmp_path / "aa" / name, (now - age, now - age))
    assert entries.trim(tmp_path, most=85) == 45
    assert names(tmp_path) == {"old", "new"}
    assert entries.trim(tmp_path, unused=100) == 40
    assert names(tmp_path) == {"new"}


def test_rows_that_wait_for_a_global_step_are_read_from_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pass writes none beside; the second, whose rows have gaps in their numbers, does. An entry may go."""
    write(tmp_path, [{"text": f"row {number // 2}", "label": "x"} for number in range(100)])
    spec, cache = spec_of(tmp_path, cleaning=["strip", "dedupe", "strip", "dedupe"]), tmp_path / "cache"
    fresh = everything(spec, tmp_path / "a")
    take, written = Spool.write, []

    def taken(spool: Spool, batch: Any, held: Any = None) -> int:
        index = take(spool, batch, held)
        written.append(spool.end)
        entries.trim(cache, most=0)
        return index

    monkeypatch.setattr(Spool, "write", taken)
    assert everything(spec, tmp_path / "b", cache=str(cache), worth=0) == fresh
    assert written[0] == 0 < written[-1]


def test_an_entry_that_is_used_is_new_again(tmp_path: Path) -> None:
    write(tmp_path, numbered(20))
    spec, cache = spec_of(tmp_path, cleaning=STEPS), tmp_path / "cache"
    run(spec, cache)
    for _, _, path in entries.sizes(cache):
        os.utime(path, (1, 1))
    run(spec, cache)
    assert sum(used > 1 for used, _, _ in entries.sizes(cache)) == 2


def test_another_item_makes_another_name(tmp_path: Path) -> None:
    """Whatever changes what a step does is in the name: options, files it reads, on_error."""
    write(tmp_path, numbered(30))
    cache = tmp_path / "cache"
    run(spec_of(tmp_path, cleaning=["strip"]), cache)
    before = names(cache)
    run(spec_of(tmp_path, cleaning=[{"strip": {"columns": ["text"]}}]), cache)
    assert len(names(cache)) == 2 * len(before)
    spec = spec_of(tmp_path)
    skipping = [item("cleaner", "strip", on_error="skip")]
    run(type(spec)(**{**{f: getattr(spec, f) for f in spec.__struct_fields__}, "cleaning": tuple(skipping)}), cache)
    assert len(names(cache)) == 3 * len(before)


@pytest.mark.parametrize("numbers", [[4, 5, 6, 7], [4, 6, 5, 9]])
def test_rows_are_known_by_their_positions(numbers: list[int]) -> None:
    places = blocks._Places(rows.integers(numbers))
    assert places.array(rows.integers(numbers[::-1])).to_pylist() == [3, 2, 1, 0]
    assert places.array(rows.integers([])).to_pylist() == []
    for foreign in (min(numbers) - 1, max(numbers) + 1):
        with pytest.raises(blocks.ForeignRowError):
            places.one(foreign)
