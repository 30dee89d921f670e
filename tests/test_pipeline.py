"""From sources to the provider's files: the same bytes whatever runs it, no row on two sides, every fault reported."""

from __future__ import annotations

import datetime
import json
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugged import plug

from ftspec import api, registry, rows
from ftspec.builtin import files
from ftspec.common.errors import DataError, Finding, FtspecError, PluginError
from ftspec.common.jobs import ModelRef, Request, Written
from ftspec.common.messages import Generation, Prompt
from ftspec.common.progress import Quiet
from ftspec.data import pipeline, preview
from ftspec.data.cleaning import Stage
from ftspec.data.findings import Findings, waived
from ftspec.data.pipeline import How
from ftspec.data.prompts import load_prompts
from ftspec.data.segments import Segment
from ftspec.data.spool import BLOCK_ROWS, RowsFile, read_rows
from ftspec.data.stepping import runner
from ftspec.files.ondisk import sha256_of
from ftspec.plans.dataresult import DataResult
from ftspec.registry import Registry
from ftspec.spec import Eval, Item, Spec, Split, Waiver

REQUEST = Request(model=ModelRef(id="base"))
LOADED = registry.load()
CHAT = {"user": "{{ text }}", "assistant": "{{ label }}"}


class Lines:
    """A provider, as far as the pipeline knows one: it writes one JSON line per example."""

    def write(self, request: Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> Written:
        count = 0
        for batch in batches:
            for example in rows.examples(batch):
                if example.messages[0].content == "refuse me":
                    raise DataError([Finding(message="refused", row=example.row)])
                out.write(msgspec.json.encode(example.messages) + b"\n")
                count += 1
        return Written(rows=count, tokens=count * 7)


def item(kind: Any, text: str | dict[str, Any], at: tuple[str | int, ...] = (), **siblings: Any) -> Item:
    name, options = (text, {}) if isinstance(text, str) else next(iter(text.items()))
    return Item(kind=kind, name=name, options=options, path=at, **siblings)


def spec_of(folder: Path, *, data: str = "data.jsonl", **parts: Any) -> Spec:
    given: dict[str, Any] = {
        "sources": (item("source", {"jsonl": {"path": data}}, ("sources", 0)),),
        "format": item("format", {"chat": CHAT}),
    }
    cleaning = tuple(item("cleaner", each) for each in parts.pop("cleaning", ()))
    fixed = {"version": 1, "name": "t", "folder": folder, "file": folder / "t.yaml", "model": ModelRef(id="base")}
    return Spec(**{**fixed, "provider": item("provider", "simulated"), "cleaning": cleaning, **given, **parts})


def prepare(spec: Spec, out: Path | None = None, known: Registry = LOADED, **how: Any) -> DataResult:
    out = out or spec.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return pipeline.prepare(spec, known, Lines(), REQUEST, out, Quiet(), How(**how))  # type: ignore[arg-type]


def write(folder: Path, values: Iterable[Any], name: str = "data.jsonl") -> None:
    (folder / name).write_text("".join(json.dumps(value) + "\n" for value in values))


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"text": f"question {i}", "label": f"answer {i}"} for i in range(count)]


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def questions(out: Path, name: str = "training.jsonl") -> list[str]:
    return [messages[0]["content"] for messages in lines(out / name)] if (out / name).exists() else []


# ---- columns


def test_columns_that_begin_with_an_underscore_are_columns(tmp_path: Path) -> None:
    """As databases export them: no step passes them over, least of all `redact`."""
    said = [{"t": "write to a@b.example"}, {"t": "hello"}, {"t": "hello"}]
    write(tmp_path, [{"_id": f"{n % 2}", "_source": each, "_note": " c@d.example"} for n, each in enumerate(said)])
    form = {"chat": {"user": "{{ _id }} {{ s_t }} {{ _note }}", "assistant": "{{ _kind }}"}}
    steps: list[Any] = [
        "redact", "strip", {"rename": {"columns": {"_source": "s"}}}, {"flatten": {"columns": ["s"]}}, "dedupe",
        {"filter": {"where": "_id != '7'"}}, {"constant": {"columns": {"_kind": "k"}}},
        {"select": {"columns": ["_id", "s_t", "_note", "_kind"]}},
    ]  # fmt: skip
    made = prepare(spec_of(tmp_path, cleaning=steps, format=item("format", form)))
    asked = ["0 write to [EMAIL] [EMAIL]", "1 hello [EMAIL]", "0 hello [EMAIL]"]
    assert (made.findings, questions(tmp_path / "out")) == ((), asked)
    assert [count.rows_out for count in made.counts] == [3] * 10


# ---- the same bytes

CELL = (
    st.none()
    | st.sampled_from(["a", " b", "c@d.example", "", "B"])
    | st.integers(0, 3)
    | st.lists(st.integers(), max_size=2)
)
TABLE = st.lists(st.fixed_dictionaries({"text": st.text("ab @.", max_size=9), "label": CELL}), min_size=1, max_size=30)
STEPS = st.permutations(
    [
        "strip",
        {"drop_empty": {"columns": ["text", "label"]}},
        "dedupe",
        "redact",
        {"length": {"columns": ["text"], "min": 1}},
        {"sample": {"fraction": 0.9}},
        {"flatten": {"columns": ["label"]}},
    ]
)


@settings(max_examples=15, deadline=None)
@given(TABLE, STEPS, st.integers(1, 400), st.integers(2, 5))
def test_threads_and_batch_sizes_make_no_difference(
    table: list[dict[str, Any]], steps: list[Any], block: int, workers: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, [*table, {"text": "kept", "label": "kept"}])
        made = []
        for size, threads in ((1 << 20, 1), (block, 1), (block, workers)):
            spec = spec_of(
                folder,
                cleaning=steps,
                split=Split(validation=0.2, test=0.2, seed=1),
                eval=Eval(prompts=("test", "train"), graders=()),
                engine=item("engine", {"threads": {"workers": threads}}),
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(files, "BLOCK", size)
                made.append(everything(spec, folder / f"out-{len(made)}"))
        assert made[0] == made[1] == made[2]


def everything(spec: Spec, out: Path, known: Registry = LOADED, **how: Any) -> Any:
    """Every byte of every file, and the result without seconds; or what was found."""
    try:
        result = prepare(spec, out, known, **how)
    except DataError as error:
        return error.findings, error.total
    counts = [msgspec.structs.replace(count, seconds=0.0) for count in result.counts]
    made = {path.name: path.read_bytes() for path in sorted(out.iterdir())}
    return counts, result.sides, result.findings, made


def test_the_result_tells_what_the_files_hold(tmp_path: Path) -> None:
    write(tmp_path, numbered(20))
    result = prepare(spec_of(tmp_path, split=Split(validation=0.3)))
    for file in result.files:
        content = Path(file.path).read_bytes()
        assert (file.bytes, file.rows) == (len(content), content.count(b"\n"))
    assert result.size.rows + result.size.validation_rows == 20
    assert result.size.tokens == 7 * result.size.rows


@pytest.mark.parametrize("size", [20_000, BLOCK_ROWS, BLOCK_ROWS - 1, BLOCK_ROWS + 8, 2 * BLOCK_ROWS, 777])
def test_finished_rows_are_the_same_bytes_however_they_come(tmp_path: Path, size: int) -> None:
    said = [{"role": "user", "content": "é" * (number % 7)} for number in range(20_000)]
    called = {"role": "assistant", "tool_calls": [{"id": "1"}]}
    batch = rows.from_dicts([{"messages": [each, called][: 1 + (index % 3 == 0)]} for index, each in enumerate(said)])
    batch = batch.append_column("_row", rows.integers(range(20_000)))
    batch = batch.append_column("_side", rows.repeated("train", 20_000))
    written = []
    for name, step in (("one", 1000), ("two", size)):
        (tmp_path / name).mkdir()
        file = RowsFile(tmp_path / name)
        for start in range(0, 20_000, step):
            file.write(batch.slice(start, step))
        file.close()
        written.append(file.path.read_bytes())
        assert file.sha256 == sha256_of(file.path)
    assert written[0] == written[1]
    assert [each.num_rows for each in read_rows(tmp_path / "two", ["train"])] == [BLOCK_ROWS, BLOCK_ROWS, 3616]


def test_nothing_temporary_stays(tmp_path: Path) -> None:
    write(tmp_path, numbered(20))
    prepare(spec_of(tmp_path, cleaning=["dedupe", {"sample": {"count": 15}}]))
    names = {"ledger.arrow", "origins.arrow", "prompts.jsonl", "rows.arrow", "training.jsonl"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names


def test_a_large_run_crosses_blocks(tmp_path: Path) -> None:
    write(tmp_path, numbered(20_000))
    result = prepare(spec_of(tmp_path, cleaning=["dedupe"]))
    assert result.sides["train"] == 20_000
    assert questions(tmp_path / "out")[-1] == "question 19999"


def test_preparing_does_not_import_pandas(tmp_path: Path) -> None:
    write(tmp_path, [*numbered(30), *numbered(3)])
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_pipeline import Eval, Split, prepare, spec_of
cleaning = ["strip", "redact", "dedupe", {{"sample": {{"count": 25}}}}, {{"drop_empty": {{}}}}, "length"]
evaluation = Eval(prompts=("test",), graders=())
spec = spec_of(Path({str(tmp_path)!r}), cleaning=cleaning, split=Split(test=0.3), eval=evaluation)
before = "pandas" in sys.modules
prepare(spec)
print(before, "pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split()[-1:] == ["False"], done.stdout + done.stderr


# ---- the split

SPLIT = Split(validation=0.2, test=0.3, seed=4)
WARM = Generation(temperature=0.5)


def sides(folder: Path, **parts: Any) -> dict[str, str]:
    """Which side each question is on."""
    prepare(spec_of(folder, split=parts.pop("split", SPLIT), **parts))
    with pa.memory_map(str(folder / "out/rows.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
    batch = table.combine_chunks().to_batches()[0]
    asked = [example.messages[0].content.strip().lower() for example in rows.examples(batch)]
    return dict(zip(asked, batch.column(rows.SIDE).to_pylist(), strict=True))


def test_a_row_never_changes_sides(tmp_path: Path) -> None:
    values = numbered(300)
    write(tmp_path, values)
    before = sides(tmp_path)
    assert {before[q] for q in before} == {"train", "validation", "test"}
    counts = [list(before.values()).count(side) / 300 for side in ("validation", "test")]
    assert counts == pytest.approx([0.2, 0.3], abs=0.08)

    write(tmp_path, [{"label": v["label"], "text": v["text"], "gone": None} for v in reversed(values)])
    assert sides(tmp_path) == before
    write(tmp_path, [*({"text": f"new {i}", "label": "x"} for i in range(100)), *values])
    after = sides(tmp_path)
    assert {q: after[q] for q in before} == before
    write(tmp_path, values[::2])
    assert sides(tmp_path) == {q: side for q, side in before.items() if int(q.split()[1]) % 2 == 0}


def test_editing_a_cleaning_step_moves_no_row(tmp_path: Path) -> None:
    write(tmp_path, [{"text": f" Question {i}  ", "label": f"mail {i}@x.example"} for i in range(100)])
    before = sides(tmp_path)
    for cleaning in (["strip"], ["redact", "strip", "dedupe"], [{"select": {"columns": ["text", "label"]}}]):
        assert sides(tmp_path, cleaning=cleaning) == before


def test_a_larger_test_share_takes_from_training_only(tmp_path: Path) -> None:
    write(tmp_path, numbered(200))
    before, after = sides(tmp_path), sides(tmp_path, split=Split(validation=0.2, test=0.5, seed=4))
    assert {(before[q], after[q]) for q in before if before[q] != after[q]} == {("train", "test")}
    assert sides(tmp_path, split=Split(validation=0.2, test=0.3, seed=5)) != before


def test_split_by_a_column_keeps_groups_together(tmp_path: Path) -> None:
    write(tmp_path, [{**value, "by": i // 10} for i, value in enumerate(numbered(300))])
    by_group: dict[int, set[str]] = {}
    for question, side in sides(tmp_path, split=Split(test=0.4, by="by")).items():
        by_group.setdefault(int(question.split()[1]) // 10, set()).add(side)
    assert all(len(each) == 1 for each in by_group.values())
    assert set().union(*by_group.values()) == {"train", "test"}


def test_a_row_without_the_column_to_split_by_is_found(tmp_path: Path) -> None:
    write(tmp_path, [{**numbered(1)[0], "by": "x"}, *numbered(1)])
    with pytest.raises(DataError) as caught:
        prepare(spec_of(tmp_path, split=Split(test=0.4, by="by")))
    (finding,) = caught.value.findings
    assert (finding.file, finding.line) == ("data.jsonl", 2)
    assert "no 'by'" in finding.message
    with pytest.raises(DataError) as caught:
        prepare(spec_of(tmp_path, split=Split(test=0.4, by="bye")))
    assert caught.value.findings[0].hint == "columns are 'by', 'label', 'text'"


def test_a_named_source_is_held_out_whole(tmp_path: Path) -> None:
    write(tmp_path, numbered(20))
    write(tmp_path, [{"text": "held", "label": "x"}], "held.jsonl")
    sources = (
        item("source", {"jsonl": {"path": "data.jsonl"}}, ("sources", 0)),
        item("source", {"jsonl": {"path": "held.jsonl"}}, ("sources", 1), id="held"),
    )
    evaluation = Eval(prompts=("test",), graders=())
    result = prepare(spec_of(tmp_path, sources=sources, split=Split(test="held", validation=0.3), eval=evaluation))
    assert result.sides["test"] == result.sides["prompt"] == 1
    assert result.sides["train"] + result.sides["validation"] == 20
    assert "held" not in questions(tmp_path / "out") + questions(tmp_path / "out", "validation.jsonl")


def test_greedy_prompts_are_counted_once(tmp_path: Path) -> None:
    write(tmp_path, numbered(30))
    result = prepare(spec_of(tmp_path, split=SPLIT, eval=Eval(prompts=("test",), graders=(), repeat=3)))
    assert result.size.prompts == 2 * result.sides["prompt"]


def test_held_out_rows_are_in_no_file(tmp_path: Path) -> None:
    write(tmp_path, numbered(100))
    asking = Eval(prompts=("test",), graders=(), repeat=3, generation=WARM)
    result = prepare(spec_of(tmp_path, split=SPLIT, eval=asking))
    train, validation = questions(tmp_path / "out"), questions(tmp_path / "out", "validation.jsonl")
    asked = [prompt.messages[0].content for prompt in load_prompts(tmp_path / "out")]
    assert not set(asked) & {*train, *validation}
    assert len(train) + len(validation) + len(asked) == 100
    assert result.size.prompts == 2 * 3 * len(asked)


# ---- prompts


def test_prompts_of_a_source_are_cleaned_and_formatted(tmp_path: Path) -> None:
    write(tmp_path, numbered(5))
    cases = [
        {"text": " q ", "label": "a", "slice": "s"},
        {"text": "", "label": "a"},
        {"text": "open"},
        {"text": "q", "label": "a", "slice": "s"},
    ]
    write(tmp_path, cases, "cases.jsonl")
    source = item("source", {"jsonl": {"path": "cases.jsonl"}}, ("eval", "prompts", 0))
    cleaning = ["strip", {"drop_empty": {"columns": ["text"]}}, "dedupe"]
    result = prepare(spec_of(tmp_path, cleaning=cleaning, eval=Eval(prompts=(source,), graders=())))
    first, second = load_prompts(tmp_path / "out")
    assert (first.messages[0].content, first.expected, first.origin) == ("q", "a", "cases.jsonl:1")
    assert first.row == {"text": "q", "label": "a", "slice": "s"}
    assert (second.messages[0].content, second.expected) == ("open", None)
    assert [count.reasons for count in result.counts if count.name == "prompts: drop_empty"] == [{"empty": 1}]
    assert [(f.line, f.severity) for f in result.findings] == [(4, "warning")]
    assert len({first.id, second.id}) == 2


def test_the_id_of_a_prompt_is_its_content(tmp_path: Path) -> None:
    def ids(values: list[dict[str, Any]]) -> list[str]:
        write(tmp_path, values)
        prepare(spec_of(tmp_path, eval=Eval(prompts=("train",), graders=())))
        return [prompt.id for prompt in load_prompts(tmp_path / "out")]

    one, two = ids([{"text": "q", "label": "a"}, {"text": "q", "label": "b"}])
    assert one != two
    assert ids([{"text": "q", "label": "b", "more": 1}, {"text": "q", "label": "a"}]) == [two, one]


def test_expected_tool_calls_are_canonical(tmp_path: Path) -> None:
    def row(arguments: Any, identity: str) -> dict[str, Any]:
        calls = [{"id": identity, "type": "function", "function": {"name": "f", "arguments": arguments}}]
        said = [{"role": "user", "content": "q" + identity}, {"role": "assistant", "tool_calls": calls, "weight": 1}]
        return {"messages": said}

    write(tmp_path, [row('{"b": 1, "a": 2}', "1"), row({"a": 2, "b": 1}, "2")])
    evaluation = Eval(prompts=("train",), graders=())
    prepare(spec_of(tmp_path, format=None, eval=evaluation))
    one, two = load_prompts(tmp_path / "out")
    assert one.expected == two.expected == '[{"arguments":{"a":2,"b":1},"name":"f"}]'
    assert [message.role for message in one.messages] == ["user"]


# ---- what is found


def found(spec: Spec, known: Registry = LOADED) -> list[tuple[str, int, str]]:
    with pytest.raises(DataError) as caught:
        prepare(spec, known=known)
    return [(finding.file, finding.line, finding.message) for finding in caught.value.findings]


def test_everything_wrong_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "a", "label": "b"}\n\n{bad\n{"text": "c"}\n')
    checks = (item("check", {"min_examples": {"count": 5}}), item("check", "leakage"))
    reports = found(spec_of(tmp_path, checks=checks))
    assert [(file, line) for file, line, _ in reports] == [("data.jsonl", 3), ("data.jsonl", 4), ("", 0)]
    assert "column 'label' is missing or null" in reports[1][2]
    assert "1 row to train on, at least 5" in reports[2][2]


def test_on_error_skip_sets_rows_aside(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": "a", "label": "b"}\n{bad\n{"text": "c"}\n')
    sources = (item("source", {"jsonl": {"path": "data.jsonl"}}, ("sources", 0), on_error="skip"),)
    result = prepare(spec_of(tmp_path, sources=sources, format=item("format", {"chat": CHAT}, on_error="skip")))
    assert result.sides["train"] == 1
    assert [(f.line, f.severity) for f in result.findings] == [(2, "warning"), (3, "warning")]
    assert result.findings[1].message == "left out by 'chat': column 'label' is missing or null"
    assert {count.name: count.reasons for count in result.counts} == {
        "jsonl": {"unreadable": 1},
        "chat": {"column 'label' is missing or null": 1},
    }


def test_a_fault_in_every_row_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, [*({"text": f"{i}"} for i in range(1000)), {"label": "x"}])
    with pytest.raises(DataError) as caught:
        prepare(spec_of(tmp_path))
    messages = [finding.message for finding in caught.value.findings]
    assert caught.value.total == 1002
    assert len(messages) < 10
    assert "column 'label' is missing or null (in 995 more rows)" in messages
    assert "column 'text' is missing or null" in messages


def test_findings_that_are_all_different_are_not_hidden_in_silence() -> None:
    locate = {row: ("rows.jsonl", row) for row in range(300)}.__getitem__
    found = Findings(locate)
    for row in range(260):
        found.add(Finding(message=f"value {row} is odd", hint="{row 7} has it first", row=row))
    for row in range(260, 267):
        found.add(Finding(message="no value", row=row))
    with pytest.raises(DataError) as caught:
        found.raise_errors()
    assert caught.value.total == 267
    messages = [finding.message for finding in caught.value.findings]
    assert found.errors[0].hint == "rows.jsonl:7 has it first"
    assert messages[100:] == ["no value (in 7 rows)", "160 more findings, not shown"]


def test_findings_that_only_name_other_rows_are_alike() -> None:
    found = Findings({row: ("rows.jsonl", row) for row in range(300)}.__getitem__)
    for row in range(200):
        found.add(Finding(message=f"asks what {rows.mention(row + 50)} asks", row=row))
        found.add(Finding(message=f"the row has {row + 900:,} tokens", row=row))
    found.add(Finding(message="no value", row=7))
    with pytest.raises(DataError) as caught:
        found.raise_errors()
    messages = [finding.message for finding in caught.value.findings]
    assert messages[:2] == ["asks what rows.jsonl:50 asks", "the row has 900 tokens"]
    more = ["asks what another row asks (in 195 more rows)", "the row has … tokens (in 195 more rows)"]
    assert messages[10:] == ["no value", *more]


def test_findings_that_are_not_listed_are_counted(tmp_path: Path) -> None:
    write(tmp_path, numbered(3))
    with (tmp_path / "data.jsonl").open("a") as file:
        file.writelines(["no row\n"] * 30)
    sources = (item("source", {"jsonl": {"path": "data.jsonl"}}, ("sources", 0), on_error="skip"),)
    result = prepare(spec_of(tmp_path, sources=sources))
    assert len(result.findings) < 10
    assert result.findings_total == 30


def test_a_column_that_no_row_has_is_a_typing_error(tmp_path: Path) -> None:
    write(tmp_path, numbered(3))
    for step in (
        {"drop_empty": {"columns": ["txt"]}},
        {"dedupe": {"columns": ["txt"]}},
        {"rename": {"columns": {"txt": "b"}}},
    ):
        with pytest.raises(DataError) as caught:
            prepare(spec_of(tmp_path, cleaning=[step]))
        messages = {finding.message: finding.hint for finding in caught.value.findings}
        assert messages[f"step '{next(iter(step))}': no row has a column 'txt'"] == "columns are 'label', 'text'"


def test_rows_without_messages_and_without_a_format(tmp_path: Path) -> None:
    write(tmp_path, numbered(2))
    assert {message for *_, message in found(spec_of(tmp_path, format=None))} == {
        "the row has no messages: a `format` makes them of its columns, or `read_as` at its source "
        "names the shape that they have"
    }


def test_what_the_provider_refuses_is_located(tmp_path: Path) -> None:
    write(tmp_path, [*numbered(2), {"text": "refuse me", "label": "x"}])
    assert found(spec_of(tmp_path)) == [("data.jsonl", 3, "refused")]


def test_nothing_to_train_on_or_to_ask(tmp_path: Path) -> None:
    write(tmp_path, [{"text": "", "label": "x"}])
    cleaning = [{"drop_empty": {"columns": ["text"]}}, "dedupe"]
    messages = [m for *_, m in found(spec_of(tmp_path, cleaning=cleaning, eval=Eval(prompts=("test",), graders=())))]
    assert messages == ["no row is left to train on", "the evaluation has no prompts"]


@pytest.mark.parametrize(("text", "warned"), [("x", True), (None, False)])
def test_where_nothing_is_left_a_warning_is_named_unless_errors_are(
    tmp_path: Path, text: str | None, warned: bool
) -> None:
    write(tmp_path, [{"text": text, "label": "x"}] if text is None else [])
    with (tmp_path / "data.jsonl").open("a") as file:
        file.write("no row\n")
    sources = (item("source", {"jsonl": {"path": "data.jsonl"}}, ("sources", 0), on_error="skip"),)
    with pytest.raises(DataError) as caught:
        prepare(spec_of(tmp_path, sources=sources))
    (nothing,) = (one for one in caught.value.findings if one.message == "no row is left to train on")
    assert ("the first warning is data.jsonl" in nothing.hint) is warned


def test_leakage_names_both_rows(tmp_path: Path) -> None:
    write(tmp_path, numbered(5))
    write(tmp_path, [{"text": "Question   3", "label": "other"}, {"text": "fresh", "label": "x"}], "cases.jsonl")
    source = item("source", {"jsonl": {"path": "cases.jsonl"}}, ("eval", "prompts", 0))
    checks = (item("check", "leakage"),)
    ((file, line, message),) = found(spec_of(tmp_path, checks=checks, eval=Eval(prompts=(source,), graders=())))
    assert (file, line) == ("cases.jsonl", 1)
    assert "data.jsonl:4" in message


def test_severity_and_waivers() -> None:
    finding, today = Finding(message="too few"), datetime.date(2026, 6, 1)
    waiver = Waiver(reason="pilot", owner="ana", until="2026-06-01")
    check = item("check", "min_examples", waive=waiver)
    assert waived(check, finding, today).severity == "warning"
    assert "waived by ana until 2026-06-01: pilot" in waived(check, finding, today).message
    late = waived(check, finding, today + datetime.timedelta(days=1))
    assert late.severity == "error"
    assert "the waiver of ana expired on 2026-06-01" in late.hint
    assert waived(item("check", "leakage", severity="warning"), finding, today).severity == "warning"


def test_a_waived_finding_is_a_warning_of_the_result(tmp_path: Path) -> None:
    write(tmp_path, numbered(5))
    waiver = Waiver(reason="pilot", owner="ana", until="9999-12-31")
    result = prepare(spec_of(tmp_path, checks=(item("check", "min_examples", waive=waiver),)))
    (finding,) = result.findings
    assert (finding.severity, finding.check) == ("warning", "min_examples")


# ---- steps that break their contract


def _bad_step(function: Any, name: str) -> api.Component:
    def factory() -> api.BatchStep:
        return function  # type: ignore[no-any-return]

    return api.batch_step(name=name)(factory)


def _failing_row() -> api.RowStep:
    return lambda row: {"text": row["text"], "label": row["label"].upper()}


def _one_at_a_time(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Tells of the first row that it cannot take, and of no other."""
    bad = batch.filter(pc.equal(batch["text"], "bad"))
    if bad.num_rows:
        raise DataError([Finding(message="is bad", row=bad["_row"][0].as_py())])
    return batch


def _encoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Texts as numbers in a dictionary, also within lists; what many libraries give back."""
    texts = batch["text"].dictionary_encode()
    ends = pa.array(range(batch.num_rows + 1), pa.int32())
    plain = batch.set_column(batch.schema.get_field_index("text"), "text", texts)
    return plain.append_column("inner", pa.ListArray.from_arrays(ends, texts))


def _another_row(batch: pa.RecordBatch) -> pa.RecordBatch:
    raise DataError([Finding(message="is bad", row=1000)])


BAD = {
    "one_at_a_time": _bad_step(_one_at_a_time, "one_at_a_time"),
    "encoded": _bad_step(_encoded, "encoded"),
    "another_row": _bad_step(_another_row, "another_row"),
    "reverse": _bad_step(
        lambda batch: batch.take(pc.sort_indices(batch["_row"], sort_keys=[("", "descending")])), "reverse"
    ),
    "double": _bad_step(lambda batch: pa.concat_batches([batch, batch]), "double"),
    "strip_hidden": _bad_step(lambda batch: batch.select(["text"]), "strip_hidden"),
    "crash": _bad_step(lambda batch: 1 / 0, "crash"),
    "nothing": _bad_step(lambda batch: None, "nothing"),
    "upper_label": api.row_step(name="upper_label")(_failing_row),
}


@pytest.fixture(scope="module")
def with_bad_steps() -> Registry:
    return plug(registry.load(), "bad", "bad-plugin", ftspec_cleaners=lambda: BAD)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("reverse", "in their order"),
        ("double", "in their order"),
        ("strip_hidden", "lost the hidden columns"),
        ("crash", "ZeroDivisionError"),
        ("nothing", "must return a RecordBatch"),
        ("another_row", "found fault with row 1000, which it was not given"),
    ],
)
def test_a_step_that_breaks_its_contract_is_named(
    tmp_path: Path, with_bad_steps: Registry, name: str, part: str
) -> None:
    write(tmp_path, numbered(3))
    with pytest.raises(PluginError) as caught:
        prepare(spec_of(tmp_path, cleaning=[name]), known=with_bad_steps)
    assert f"cleaning step '{name}' of bad-plugin[bad]" in caught.value.message
    assert part in caught.value.message


def test_a_step_may_tell_of_one_row_at_a_time(with_bad_steps: Registry) -> None:
    step = runner(item("cleaner", "one_at_a_time"), with_bad_steps, Path())
    batch = rows.from_dicts([{"text": "good" if at % 400 == 0 else "bad"} for at in range(1600)])
    after, found, *_ = step(batch.append_column(rows.ROW, rows.integers(range(1, 1601))))
    assert after["_row"].to_pylist() == [1, 401, 801, 1201]
    assert len({finding.row for finding in found}) == 1596


def test_columns_that_a_step_encodes_are_rows_like_others(tmp_path: Path, with_bad_steps: Registry) -> None:
    """Kept between passes and in the cache: the bytes of an encoded batch do not hold its dictionary."""
    step = {"select": {"columns": ["text", "label"]}}
    for text in ("a", "b"):  # the same places in another dictionary are other rows
        write(tmp_path, [{"text": text * (at % 3 + 1), "label": "x"} for at in range(9)])
        written = []
        for cleaning in ([step, "dedupe"], ["encoded", step, "dedupe"], ["encoded", step, "dedupe"]):
            out = tmp_path / f"out{len(written)}{text}"
            prepare(spec_of(tmp_path, cleaning=cleaning), out, with_bad_steps, cache=str(tmp_path / "cache"), worth=0)
            written.append((out / "training.jsonl").read_bytes())
        assert written[0] == written[1] == written[2]
        assert len(written[0].splitlines()) == 3


def test_a_row_on_which_a_row_step_fails_is_found_or_skipped(tmp_path: Path, with_bad_steps: Registry) -> None:
    write(tmp_path, [{"text": "a", "label": "x"}, {"text": "b", "label": 3}])
    ((file, line, message),) = found(spec_of(tmp_path, cleaning=["upper_label"]), with_bad_steps)
    assert (file, line) == ("data.jsonl", 2)
    assert re.fullmatch(r"step 'upper_label': failed on this row: AttributeError at test_pipeline.py:\d+", message)
    spec = spec_of(tmp_path)
    skipping = msgspec.structs.replace(spec, cleaning=(item("cleaner", "upper_label", on_error="skip"),))
    assert prepare(skipping, known=with_bad_steps).sides["train"] == 1
    assert lines(tmp_path / "out/training.jsonl")[0][1]["content"] == "X"


def test_a_row_on_which_a_batch_step_fails_may_be_set_aside(tmp_path: Path) -> None:
    odd = {"text": "b", "label": "y", "n": "many"}
    write(tmp_path, [{"text": "a", "label": "x", "n": 3}, odd, {"text": "b", "label": "y", "n": 0}])
    where = {"filter": {"where": "n > 1"}}
    assert [line for _, line, _ in found(spec_of(tmp_path, cleaning=[where]))] == [2]
    skipping = msgspec.structs.replace(spec_of(tmp_path), cleaning=(item("cleaner", where, on_error="skip"),))
    made = prepare(skipping)
    (aside,) = lines(tmp_path / "out/rejected.jsonl")
    (warned,) = made.findings
    assert (made.sides["train"], warned.line, warned.severity) == (1, 2, "warning")
    assert warned.message == f"left out by 'filter': {aside['reason']}"
    assert (aside["line"], "is a text here" in aside["reason"]) == (2, True)
    assert made.counts[1].reasons == {aside["reason"]: 1, "not n > 1": 1}


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_rows_that_are_set_aside_are_listed_in_the_order_of_the_sources(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever step set them aside, and however batches are cut."""
    monkeypatch.setattr(files, "BLOCK", block)
    values: list[dict[str, Any]] = [{"n": 1, "m": "x"}, {"n": "x", "m": 1}] * 3
    steps = [item("cleaner", {"filter": {"where": f"{name} > 0"}}, on_error="skip") for name in "mn"]
    write(tmp_path, [{"text": f"{at}", "label": "x", **value} for at, value in enumerate([*values, {"n": 1, "m": 1}])])
    prepare(msgspec.structs.replace(spec_of(tmp_path), cleaning=tuple(steps)))
    assert [each["line"] for each in lines(tmp_path / "out/rejected.jsonl")] == [1, 2, 3, 4, 5, 6]


TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize("block", [1, 1 << 20])
def test_a_column_that_becomes_messages_holds_messages(
    tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`messages` has one type from the source on, which every later step and check counts on."""
    monkeypatch.setattr(files, "BLOCK", block)
    write(tmp_path, [{"said": TURNS, "can": TOOLS}, {"said": json.dumps(TURNS), "messages": [1]}, {"messages": TURNS}])
    steps: list[Any] = [{"rename": {"columns": {"said": "messages", "can": "tools"}}}, "dedupe", "strip"]
    with pytest.raises(DataError):  # the second one is no row
        prepare(spec_of(tmp_path, cleaning=steps, format=None))
    write(tmp_path, [{"said": TURNS, "can": TOOLS}, {"said": json.dumps(TURNS)}, {"messages": TURNS}])
    made = prepare(spec_of(tmp_path, cleaning=steps, format=None))
    assert [count.rows_out for count in made.counts] == [3, 3, 2, 2]
    assert lines(tmp_path / "out/training.jsonl") == [TURNS, TURNS]
    (batch,) = read_rows(tmp_path / "out", ("train",))
    assert rows.values(batch, "tools") == [TOOLS, None]
    write(tmp_path, [{"said": TURNS, "can": TOOLS}, {"said": "hello"}, {"said": [3]}, {"can": {"a": 1}}])
    said = found(spec_of(tmp_path, cleaning=steps, format=None))
    assert [line for _, line, _ in said] == [2, 3, 4]
    assert all(message.startswith("step 'rename': ") for *_, message in said)


def test_work_is_sent_as_names_and_options(tmp_path: Path) -> None:
    steps = tuple(Stage(item=item("cleaner", name), index=at) for at, name in enumerate(["strip", "redact"]))
    dedupe = Stage(item=item("cleaner", "dedupe"), index=2)
    work = Segment(tmp_path, LOADED, steps, split=Split(test=0.5), keys=(dedupe,))
    batch = rows.from_dicts([{"text": " a@b.example "}])
    batch = batch.append_column(rows.ROW, rows.integers([1])).append_column(rows.SIDE, rows.repeated(None, 1))
    here = work(batch)
    there = pickle.loads(pickle.dumps(work))(batch)
    assert rows.to_dicts(there.batch) == [{"text": "[EMAIL]"}]
    assert there.batch.equals(here.batch)
    assert there.keys[0].equals(here.keys[0])


# ---- preview


def test_preview_shows_one_row(tmp_path: Path) -> None:
    write(tmp_path, [{"text": "", "label": "x"}, {"text": " b ", "label": "y"}, {"text": "c"}])
    spec = spec_of(tmp_path, cleaning=["strip", {"drop_empty": {"columns": ["text"]}}, "dedupe"])
    shown = preview.preview(spec, LOADED)
    assert (shown.origin, shown.example.row, shown.side) == ("data.jsonl:2", 2, "train")
    assert [message.content for message in shown.example.messages] == ["b", "y"]
    assert preview.preview(spec, LOADED, 2) == preview.preview(spec, LOADED, "data.jsonl:2") == shown
    with pytest.raises(FtspecError, match="is dropped by step 'drop_empty': empty"):
        preview.preview(spec, LOADED, 1)
    with pytest.raises(DataError, match="1 finding"):
        preview.preview(spec, LOADED, 3)
    with pytest.raises(FtspecError, match="no row 9"):
        preview.preview(spec, LOADED, 9)


def test_prompts_round_trip(tmp_path: Path) -> None:
    write(tmp_path, numbered(4))
    prepare(spec_of(tmp_path, eval=Eval(prompts=("train",), graders=())))
    prompts = load_prompts(tmp_path / "out")
    assert all(isinstance(prompt, Prompt) for prompt in prompts)
    assert [prompt.origin for prompt in prompts] == [f"data.jsonl:{line}" for line in range(1, 5)]


# ---- the engine


def test_threads_keep_order_and_a_bounded_window() -> None:
    taken: list[int] = []

    def items() -> Iterable[int]:
        for number in range(50):
            taken.append(number)
            yield number

    def work(number: int) -> int:
        time.sleep(0.002 if number % 3 == 0 else 0)
        return number * 2

    engine = LOADED.get("engine", "threads").build({"workers": 3})
    ahead = []
    results = []
    for result in engine.map(work, items()):
        results.append(result)
        ahead.append(len(taken) - len(results))
    assert results == [number * 2 for number in range(50)]
    assert max(ahead) <= 6


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_thread_is_raised_in_its_place(workers: int) -> None:
    engine = LOADED.get("engine", "threads").build({"workers": workers})
    results = engine.map(lambda number: 6 // number, [3, 2, 0, 1])
    assert [next(results), next(results)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_which_columns_there_are_does_not_depend_on_how_rows_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A column of rows that are all dropped before: it has been there, and is not listed among those that are left."""
    write(tmp_path, [{"text": "", "rare": "x", "label": "a"}, *({"text": f"t{n}", "label": "b"} for n in range(6))])
    cut = [{"drop_empty": {"columns": ["text"]}}, {"rename": {"columns": {"rare": "seldom"}}}]
    monkeypatch.setattr("ftspec.builtin.files.BLOCK", 24 * size)
    prepare(spec_of(tmp_path, cleaning=cut))
    wrong = [{"drop_empty": {"columns": ["text"]}}, {"drop_empty": {"columns": ["nobody"]}}]
    shutil.rmtree(tmp_path / "out")
    with pytest.raises(DataError) as caught:
        prepare(spec_of(tmp_path, cleaning=wrong))
    assert "no row has a column 'nobody'" in caught.value.findings[0].message
    assert caught.value.findings[0].hint == "columns are 'label', 'text'"
