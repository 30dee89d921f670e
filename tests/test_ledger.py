"""The ledger: what became of each row, told without what was taken out of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ftspec import registry, rows
from ftspec.common.jobs import ModelRef, Request, Written
from ftspec.common.progress import Quiet
from ftspec.data import ledger, pipeline
from ftspec.data.origins import Origins
from ftspec.plans.dataresult import DataResult
from ftspec.spec import Eval, Item, Spec, Split

LOADED = registry.load()


class Nothing:
    def write(self, request: Request, batches: Any, out: Any) -> Written:
        return Written(rows=sum(batch.num_rows for batch in batches))


def run(folder: Path, values: list[dict[str, Any]], cleaning: list[Any], **parts: Any) -> DataResult:
    (folder / "data.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    steps = [(each, {}) if isinstance(each, str) else next(iter(each.items())) for each in cleaning]
    spec = Spec(
        version=1, name="t", folder=folder, file=folder / "t.yaml", model=ModelRef(id="base"),
        sources=(Item(kind="source", name="jsonl", options={"path": "data.jsonl"}, path=("sources", 0)),),
        cleaning=tuple(Item(kind="cleaner", name=name, options=options) for name, options in steps),
        format=Item(kind="format", name="chat", options={"user": "{{ text }}", "assistant": "x"}),
        provider=Item(kind="provider", name="simulated"), **parts,
    )  # fmt: skip
    (folder / "out").mkdir()
    return pipeline.prepare(spec, LOADED, Nothing(), Request(model=spec.model), folder / "out", Quiet())  # type: ignore[arg-type]


TEXTS = ["one", "", "two@x.example", "one", " one ", "three"]


def test_counts_reasons_and_lives(tmp_path: Path) -> None:
    cleaning = ["strip", {"drop_empty": {"columns": ["text"]}}, "redact", "dedupe"]
    result = run(tmp_path, [{"text": text} for text in TEXTS], cleaning)
    counts = {c.name: (c.rows_in, c.rows_out, c.changed, c.reasons) for c in result.counts}
    assert counts == {
        "jsonl": (6, 6, 0, {}),
        "strip": (6, 6, 1, {}),
        "drop_empty": (6, 5, 0, {"empty": 1}),
        "redact": (5, 5, 1, {}),
        "dedupe": (5, 3, 0, {"duplicate": 2}),
        "chat": (3, 3, 0, {}),
    }
    out = tmp_path / "out"
    assert ledger.lives(out, "data.jsonl", 1) == [ledger.Life(row=1, origin="data.jsonl:1", side="train")]
    (gone,) = ledger.lives(out, "data.jsonl", 2)
    assert gone == ledger.Life(row=2, origin="data.jsonl:2", step="drop_empty", reason="empty")
    (twice,) = ledger.lives(out, "data.jsonl", 5)
    assert twice == ledger.Life(row=5, origin="data.jsonl:5", step="dedupe", reason="duplicate", because="data.jsonl:1")
    assert ledger.lives(out, "data.jsonl", 7) == []
    assert ledger.lives(out, "other.jsonl", 1) == []


def test_steps_of_one_name_are_told_apart(tmp_path: Path) -> None:
    result = run(tmp_path, [{"text": "a"}], ["strip", "dedupe", "strip"])
    assert [count.name for count in result.counts] == ["jsonl", "strip", "dedupe", "strip #2", "chat"]


def test_samples_show_before_and_after(tmp_path: Path) -> None:
    result = run(tmp_path, [{"text": f" {text} ", "n": i} for i, text in enumerate("abcdef")], ["strip"])
    samples = result.counts[1].samples
    assert len(samples) == 3
    assert samples[0] == {
        "row": 1, "reason": "changed", "before": {"text": " a ", "n": 0}, "after": {"text": "a", "n": 0},
        "origin": "data.jsonl:1",
    }  # fmt: skip


def test_long_texts_are_cut(tmp_path: Path) -> None:
    result = run(tmp_path, [{"text": "x" * 100_000 + " "}], ["strip"])
    assert len(result.counts[1].samples[0]["before"]["text"]) < 1000


SECRET = "jane@secret.example"


@pytest.mark.parametrize(
    "cleaning",
    [
        ["redact"],
        ["strip", "redact"],
        ["dedupe", "redact", "strip"],
        [
            {"drop_empty": {"columns": ["text"]}},
            {"length": {"max": 40}},
            "dedupe",
            {"sample": {"fraction": 0.5}},
            "redact",
        ],
        ["redact", {"length": {"max": 40}}, "dedupe", {"drop_empty": {"columns": ["text", "more"]}}],
    ],
)
def test_what_redact_removes_is_in_no_file(tmp_path: Path, cleaning: list[Any]) -> None:
    values = [{"text": f" mail {SECRET} {i % 7} {'x' * (i % 50)}", "more": SECRET if i % 3 else ""} for i in range(60)]
    run(tmp_path, values, cleaning, split=Split(test=0.3), eval=Eval(prompts=("test",), graders=()))
    for path in (tmp_path / "out").iterdir():
        assert SECRET.encode() not in path.read_bytes(), path.name
    for name in ("rows.arrow", "ledger.arrow"):
        import pyarrow as pa

        with pa.memory_map(str(tmp_path / "out" / name)) as source:
            assert SECRET not in str(pa.ipc.open_file(source).read_all().to_pylist())


def test_samples_after_redact_have_their_texts(tmp_path: Path) -> None:
    result = run(tmp_path, [{"text": f" {SECRET}"}], ["redact", "strip"])
    _, redacted, stripped, _ = result.counts
    assert (redacted.samples[0]["before"], redacted.samples[0]["after"]) == (None, {"text": " [EMAIL]"})
    assert stripped.samples[0]["before"] == {"text": " [EMAIL]"}


def test_origins_find_rows(tmp_path: Path) -> None:
    origins = Origins()
    assert origins.add("a", [1, 2, 3]) == 1
    assert origins.add("b", [5, 9]) == 4
    assert origins.add("c", []) == 6
    assert origins.add("c", range(7, 9)) == 6
    assert [origins.where(row) for row in range(1, 8)] == ["a:1", "a:2", "a:3", "b:5", "b:9", "c:7", "c:8"]
    assert origins.locate(0) == origins.locate(8) == ("", 0)
    origins.write(tmp_path)
    from ftspec.data.origins import read

    assert read(tmp_path).column("line").to_pylist() == [1, 2, 3, 5, 9, 7, 8]
    assert rows.ROW == "_row"
