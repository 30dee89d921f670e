"""Global steps: several in one pass, a second look, a new order, keys on disk; the same rows however it is run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugged import plug
from test_pipeline import everything, item, numbered, prepare, questions, spec_of, write

from ftspec import api, registry, rows
from ftspec.builtin import files
from ftspec.common.errors import PluginError
from ftspec.common.messages import Prompt
from ftspec.data import buffers, columns, ordering, passes, positions
from ftspec.data.columns import Column, Memory
from ftspec.data.prompts import load_prompts
from ftspec.registry import Registry
from ftspec.spec import Eval, Split


@api.global_step
def shuffled(*, seed: int = 0) -> api.GlobalStep:
    """Rows in the order of a hash."""
    return api.GlobalStep(lambda batch: rows.fingerprints(batch, salt=f"shuffled {seed}"), sort=True)


@api.global_step
def first_letters(*, fault: str = "") -> api.GlobalStep:
    """Drop rows whose text begins as an earlier one's does, after a second look: only if their labels agree too."""

    def keys(batch: pa.RecordBatch) -> pa.Array:
        return pc.utf8_slice_codeunits(rows.as_text(rows.column(batch, "text")), 0, 1)

    def wanted(keys: pa.Array, numbers: pa.Array) -> pa.Array:
        counts = pc.value_counts(keys)
        often = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        return pc.if_else(pc.is_in(keys, value_set=often), numbers, None).drop_null()

    def details(batch: pa.RecordBatch) -> pa.Array:
        texts = rows.as_text(rows.column(batch, "label"))
        return texts.slice(1) if fault == "details" else texts

    def reduce(keys: pa.Array, numbers: pa.Array, looked: pa.Array, details: pa.Array) -> api.Dropped:
        assert looked.to_pylist() == wanted(keys, numbers).to_pylist()
        letters = dict(zip(numbers.to_pylist(), keys.to_pylist(), strict=True))
        first: dict[Any, int] = {}
        pairs = [
            (number, first.setdefault((letters[number], detail), number))
            for number, detail in zip(looked.to_pylist(), details.to_pylist(), strict=True)
        ]
        gone = [pair for pair in pairs if pair[0] != pair[1]]
        return api.Dropped(rows.integers([pair[0] for pair in gone]), rows.integers([pair[1] for pair in gone]))

    return api.GlobalStep(keys, reason="alike", scope="all", closer=api.Closer(wanted, details, reduce))


@api.global_step
def by_label() -> api.GlobalStep:
    """Keys are the labels themselves, of whatever type."""
    return api.GlobalStep(lambda batch: rows.column(batch, "label"), sort=True)


ALLOCATED: list[int] = []
"""What Arrow held when `looks` reduced."""


@api.global_step
def looks(*, size: int) -> api.GlobalStep:
    """Look at every row again, by details of so many characters, and drop none."""

    def details(batch: pa.RecordBatch) -> pa.Array:
        return rows.strings([text * size for text in rows.column(batch, "label").to_pylist()])

    def reduce(keys: pa.Array, numbers: pa.Array, looked: pa.Array, details: pa.Array) -> api.Dropped:
        ALLOCATED.append(pa.total_allocated_bytes())
        assert looked.equals(numbers)
        assert len(details) == len(numbers) and pc.all(pc.equal(pc.binary_length(details), size)).as_py()
        return api.Dropped(rows.integers([]), rows.integers([]))

    closer = api.Closer(lambda keys, numbers: numbers, details, reduce)
    return api.GlobalStep(rows.fingerprints, scope="all", closer=closer)


class Shuffling:
    """An engine that takes reductions over, as a distributed one does."""

    def __init__(self) -> None:
        self.parts = 0

    def map(self, work: api.Work, items: Iterable[Any]) -> Iterator[Any]:
        return map(work, items)

    def reduce(self, work: api.Work, items: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        whole = pa.Table.from_batches(list(items)).sort_by([("key", "descending"), ("place", "ascending")])
        for key in pc.unique(whole["key"]):
            part = whole.filter(pc.equal(whole["key"], key) if key.is_valid else pc.is_null(whole["key"]))
            yield work(part.combine_chunks().to_batches()[0])


@api.engine
def shuffling() -> api.Engine:
    """Reduces key by key, backwards."""
    return Shuffling()


def plugged_in() -> Registry:
    cleaners = {"shuffled": shuffled, "first_letters": first_letters, "by_label": by_label, "looks": looks}
    return plug(
        registry.load(), "passes", ftspec_cleaners=lambda: cleaners, ftspec_engines=lambda: {"shuffling": shuffling}
    )


@pytest.fixture(scope="module")
def known() -> Registry:
    return plugged_in()


# ---- one pass for several


def test_steps_side_by_side_see_what_is_left(tmp_path: Path) -> None:
    write(tmp_path, [*numbered(10), *numbered(4), {"text": "z", "label": "z"}])
    result = prepare(spec_of(tmp_path, cleaning=["dedupe", {"sample": {"count": 8}}, "strip", "dedupe"]))
    told = [(count.name, count.rows_in, count.rows_out, count.reasons) for count in result.counts[1:5]]
    assert told == [
        ("dedupe", 15, 11, {"duplicate": 4}),
        ("sample", 11, 8, {"not sampled": 3}),
        ("strip", 8, 8, {}),
        ("dedupe #2", 8, 8, {}),
    ]
    assert [len(count.samples) for count in result.counts[1:3]] == [3, 3]
    assert [sample["origin"] for sample in result.counts[1].samples] == [f"data.jsonl:{n}" for n in (11, 12, 13)]


def test_side_by_side_is_one_after_the_other(tmp_path: Path) -> None:
    """A step that does nothing between two global ones makes two passes of one: the same rows."""
    write(tmp_path, [*numbered(40), *numbered(15)])
    together = spec_of(tmp_path, cleaning=[{"sample": {"fraction": 0.6}}, "dedupe", {"sample": {"count": 10}}])
    apart = spec_of(
        tmp_path, cleaning=[{"sample": {"fraction": 0.6}}, "strip", "dedupe", "strip", {"sample": {"count": 10}}]
    )
    assert prepare(together).size.rows == prepare(apart, tmp_path / "apart").size.rows == 10
    for name in ("training.jsonl", "rows.arrow", "ledger.arrow"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "apart" / name).read_bytes()


def test_memory_is_given_back_where_there_are_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    monkeypatch.setattr(passes, "give_back", lambda: given.append(True))
    write(tmp_path, numbered(20))
    for many, times in ((21, 0), (20, 3)):
        monkeypatch.setattr(passes, "MANY", many)
        assert prepare(spec_of(tmp_path, cleaning=["dedupe", {"sample": {"count": 8}}])).size.rows == 8
        assert len(given) == times
    given.clear()
    prepare(spec_of(tmp_path, cleaning=["near_dedupe"]))
    assert len(given) == 4, "what batches freed before details are put together, and those before they are compared"


# ---- a second look


def test_a_second_look_decides(tmp_path: Path, known: Registry) -> None:
    said = [("ant", "x"), ("bee", "x"), ("ape", "x"), ("asp", "y"), ("bat", "z"), ("auk", "y"), ("cow", "x")]
    write(tmp_path, [{"text": text, "label": label} for text, label in said])
    result = prepare(spec_of(tmp_path, cleaning=["first_letters"]), known=known)
    assert questions(tmp_path / "out") == ["ant", "bee", "asp", "bat", "cow"]
    assert result.counts[1].reasons == {"alike": 2}
    with pa.memory_map(str(tmp_path / "out/ledger.arrow")) as source:
        entries = pa.ipc.open_file(source).read_all().to_pylist()
    assert [(entry["row"], entry["because"]) for entry in entries] == [(3, 1), (6, 4)]


def test_keys_of_one_type(tmp_path: Path, known: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """7 and "7" are not cast to each other, and the step is named; a batch without labels has keys of any type."""
    monkeypatch.setattr(files, "BLOCK", 20)
    write(tmp_path, [{"text": "a" * 20, "label": 7}, {"text": "b" * 20}, {"text": "c" * 20, "label": 5}])
    prepare(spec_of(tmp_path, cleaning=["by_label", {"drop_empty": {"columns": ["label"]}}]), known=known)
    assert [question[0] for question in questions(tmp_path / "out")] == ["c", "a"]
    write(tmp_path, [{"text": "a" * 20, "label": 7}, {"text": "b" * 20, "label": "7"}])
    with pytest.raises(PluginError, match=r"'by_label' of .* made keys of several types: int64, then string"):
        prepare(spec_of(tmp_path, cleaning=["by_label"]), known=known)


def test_details_for_each_row(tmp_path: Path, known: Registry) -> None:
    write(tmp_path, [{"text": "a", "label": "x"}, {"text": "a", "label": "y"}])
    with pytest.raises(PluginError, match=r"first_letters.*made 1 details of 2 rows"):
        prepare(spec_of(tmp_path, cleaning=[{"first_letters": {"fault": "details"}}]), known=known)


# ---- a new order


def test_sorted_rows_are_a_permutation(tmp_path: Path, known: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    values: list[dict[str, Any]] = [
        {**value, "mixed": [index, "text", None, [1]][index % 4]} for index, value in enumerate(numbered(10_000))
    ]
    write(tmp_path, values)
    monkeypatch.setattr(ordering, "BUCKET_BYTES", 1 << 18)
    cleaning = ["shuffled", {"length": {"columns": ["text"], "min": 11}}, "dedupe"]
    asked = Eval(prompts=("train",), graders=())
    spec = spec_of(tmp_path, cleaning=cleaning, split=Split(), eval=asked)
    result = prepare(spec, known=known)
    kept = questions(tmp_path / "out")
    assert sorted(kept) == sorted(value["text"] for value in values if len(value["text"]) > 10)
    assert kept != sorted(kept, key=lambda text: int(text.split()[1]))
    assert result.counts[2].reasons == {"under 11 characters": 10}
    prompts: list[Prompt] = list(load_prompts(tmp_path / "out"))
    assert [prompt.messages[0].content for prompt in prompts] == kept
    mixed = {value["text"]: value["mixed"] for value in values}
    assert all(prompt.row.get("mixed") == mixed[prompt.row["text"]] for prompt in prompts)
    again = spec_of(tmp_path, cleaning=[{"shuffled": {"seed": 1}}])
    prepare(again, tmp_path / "again", known=known)
    assert questions(tmp_path / "again")[:20] != kept[:20]


def test_details_beyond_the_budget_stay_on_disk_in_a_new_order(
    tmp_path: Path, known: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Memory, "take", lambda self, count: False)
    monkeypatch.setattr(files, "BLOCK", 2000)
    monkeypatch.setattr(columns, "PIECE", 50)
    write(tmp_path, [{"text": f"text {n}", "label": "x"} for n in range(1000)])
    before = pa.total_allocated_bytes()
    prepare(spec_of(tmp_path, cleaning=["shuffled", {"looks": {"size": 10_000}}]), known=known)
    assert ALLOCATED.pop() - before < 3_000_000, "of 10 MB of details"


# ---- the same bytes

CELL = st.sampled_from(["a", "b", "", None, 1, 2, [1], "longer"])
TABLE = st.lists(st.fixed_dictionaries({"text": st.text("ab c", max_size=4), "label": CELL}), min_size=1, max_size=40)
STEPS = st.lists(
    st.sampled_from(
        [
            "dedupe",
            {"dedupe": {"columns": ["text"]}},
            "shuffled",
            "first_letters",
            {"sample": {"fraction": 0.7}},
            {"sample": {"count": 12}},
            "strip",
            {"length": {"columns": ["text"], "min": 1}},
        ]
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=10, deadline=None)
@given(TABLE, STEPS, st.integers(1, 300))
def test_however_it_is_run(table: list[dict[str, Any]], steps: list[Any], block: int) -> None:
    known = plugged_in()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, [*table, {"text": "kept", "label": "kept"}])
        made = []
        ways = [
            (1 << 20, item("engine", {"threads": {"workers": 1}}), 1 << 30),
            (block, item("engine", {"threads": {"workers": 3}}), 0),
            (block, item("engine", "shuffling"), 100),
        ]
        for size, engine, memory in ways:
            spec = spec_of(folder, cleaning=steps, split=Split(test=0.3), engine=engine)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(files, "BLOCK", size)
                made.append(everything(spec, folder / f"out-{len(made)}", known=known, memory=memory))
        assert made[0] == made[1] == made[2]


# ---- keys on disk

TYPES = [
    (pa.binary(), st.binary(max_size=5)),
    (pa.string(), st.text(max_size=5)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.bool_(), st.booleans()),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.list_(pa.uint64()), st.lists(st.integers(0, 2**64 - 1), max_size=4)),
    (pa.large_list(pa.uint32()), st.lists(st.integers(0, 2**32 - 1), max_size=4)),
    (pa.list_(pa.string()), st.lists(st.text(max_size=3) | st.none(), max_size=3)),
    (pa.binary(2), st.binary(min_size=2, max_size=2)),
]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(TYPES), st.integers(0, 200))
def test_a_column_is_the_same_on_disk(data: st.DataObject, kind: tuple[pa.DataType, Any], limit: int) -> None:
    values = data.draw(st.lists(st.lists(st.none() | kind[1], max_size=9), max_size=6))
    offset = data.draw(st.integers(0, 3))
    with tempfile.TemporaryDirectory() as name:
        column = Column(Path(name), Memory(limit))
        for part in values:
            column.append(pa.array([*[None] * offset, *part], kind[0]).slice(offset))
        flat = [value for part in values for value in part]
        some = sorted(data.draw(st.sets(st.sampled_from(range(len(flat)))))) if flat else []
        if data.draw(st.booleans()):
            column, flat = column.keep(rows.integers(some)), [flat[place] for place in some]
        whole = column.whole()
        whole.validate(full=True)
        assert whole.to_pylist() == flat
        places = data.draw(st.permutations(range(len(flat))))
        taken = column.take(rows.integers(places))
        assert taken.whole().to_pylist() == [flat[place] for place in places]
        taken.close()
        column.close()
        assert column.memory.used == 0


def test_a_column_has_the_type_of_its_first_value(tmp_path: Path) -> None:
    for limit in (0, 1000):
        column = Column(tmp_path, Memory(limit))
        for part in (pa.array([None], pa.string()), pa.array([1, None]), pa.nulls(2), pa.array([None], pa.string())):
            column.append(part)
        with pytest.raises(TypeError, match="int64, then string"):
            column.append(pa.array(["7"]))
        assert column.whole().equals(pa.array([None, 1, None, None, None, None], pa.int64()))
        column.close()
        assert column.memory.used == 0


def test_what_is_copied_goes_back_to_the_system_while_much_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    parts = [rows.integers(range(first, first + 4)) for first in range(0, 20, 4)]
    monkeypatch.setattr(buffers, "give_back", lambda: given.append(len(parts)))
    monkeypatch.setattr(buffers, "LEFT", 64)
    assert buffers.joined(parts).to_pylist() == list(range(20))
    assert given == [3, 1], "whenever two parts of 32 bytes have been copied"


def test_texts_that_are_too_long_for_one_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "MOST", 5)
    for type_, large in ((pa.string(), pa.large_string()), (pa.binary(), pa.large_binary())):
        short = buffers.joined([pa.array(["ab", None], type_), pa.array(["cde"], type_)])
        long = buffers.joined([pa.array(["ab", None], type_), pa.array(["cdef"], type_)])
        assert short.equals(pa.array(["ab", None, "cde"], type_))
        assert long.equals(pa.array(["ab", None, "cdef"], large))


@given(st.lists(st.integers(0, 40), unique=True), st.lists(st.integers(0, 60), unique=True))
def test_row_numbers_are_told_as_arrow_tells_them(numbers: list[int], wanted: list[int]) -> None:
    given, sought = rows.integers(numbers), rows.integers(wanted)
    assert positions.among(given, sought).equals(pc.is_in(given, value_set=sought))
