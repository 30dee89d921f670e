"""Sources mixed by weight: the same rows however batches are cut, in the shares that were asked for."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pytest

from ftspec import registry, rows
from ftspec.builtin import files
from ftspec.common.errors import DataError, Finding
from ftspec.common.jobs import ModelRef, Request, Written
from ftspec.common.progress import Quiet
from ftspec.data import intake, origins, pipeline
from ftspec.data.findings import Findings
from ftspec.data.ledger import Ledger
from ftspec.data.mixing import Feed, Piece
from ftspec.data.pipeline import How
from ftspec.plans.dataresult import DataResult
from ftspec.spec import Item, Mix, Spec, Split

LOADED = registry.load()


class Lines:
    """A provider, as far as the pipeline knows one: it writes one JSON line per example."""

    def write(self, request: Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> Written:
        count = 0
        for batch in batches:
            for example in rows.examples(batch):
                out.write(msgspec.json.encode(example.messages) + b"\n")
                count += 1
        return Written(rows=count)


def spec_of(folder: Path, weights: dict[str, float], mix: Mix | None, **more: Any) -> Spec:
    sources = tuple(
        Item(kind="source", name="jsonl", options={"path": f"{name}.jsonl"}, id=name, weight=weight,
             path=("sources", at), on_error=more.get("on_error", "fail"))
        for at, (name, weight) in enumerate(weights.items())
    )  # fmt: skip
    return Spec(
        version=1, name="t", folder=folder, file=folder / "t.yaml", model=ModelRef(id="base"), sources=sources, mix=mix,
        provider=Item(kind="provider", name="simulated"), split=more.get("split", Split()),
        format=Item(kind="format", name="chat", options={"user": "{{ text }}", "assistant": "ok"}),
    )  # fmt: skip


def write(folder: Path, **counts: int) -> None:
    for name, count in counts.items():
        made = [{"text": f"{name} {number}", name: number} for number in range(1, count + 1)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(value) + "\n" for value in made))


def run(spec: Spec) -> tuple[list[str], DataResult]:
    """The rows' texts in order, and what the data step made."""
    out = spec.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    request = Request(model=ModelRef(id="base"))
    result = pipeline.prepare(spec, LOADED, Lines(), request, out, Quiet(), How())  # type: ignore[arg-type]
    return [json.loads(line)[0]["content"] for line in (out / "training.jsonl").read_text().splitlines()], result


def test_shares_order_and_end(tmp_path: Path) -> None:
    write(tmp_path, a=9000, b=9000)
    texts, result = run(spec_of(tmp_path, {"a": 3, "b": 1}, Mix()))
    counts = Counter(text[0] for text in texts)
    assert counts["a"] == 9000
    assert counts["b"] == pytest.approx(3000, rel=0.1)
    assert texts[-1] == "a 9000"
    for name in "ab":
        assert [text for text in texts if text[0] == name] == [f"{name} {n}" for n in range(1, counts[name] + 1)]
    assert [(count.name, count.rows_out) for count in result.counts[:2]] == [("a", 9000), ("b", counts["b"])]


def test_another_seed_mixes_differently(tmp_path: Path) -> None:
    write(tmp_path, a=50, b=50)
    one, two, again = (run(spec_of(tmp_path, {"a": 1, "b": 1}, Mix(seed=seed)))[0] for seed in (0, 1, 0))
    assert one != two
    assert one == again


@pytest.mark.parametrize("until", ["first_exhausted", "all_exhausted", 777])
def test_however_batches_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: str | int) -> None:
    write(tmp_path, a=300, b=40, c=7)
    with (tmp_path / "b.jsonl").open("a") as file:
        file.write("broken\n" * 3 + '{"text": "b 44", "b": "text"}\n')
    made = []
    for block in (1 << 20, 1000, 40):
        monkeypatch.setattr(files, "BLOCK", block)
        spec = spec_of(tmp_path, {"a": 5, "b": 2, "c": 0.5}, Mix(until=until), on_error="skip")
        texts, result = run(spec)
        counts = [(each.name, each.rows_in, each.rows_out, each.reasons) for each in result.counts]
        made.append((texts, counts, result.findings, (tmp_path / "out" / "origins.arrow").read_bytes()))
    assert made[0] == made[1] == made[2]


def test_repeated_rows_keep_their_lines(tmp_path: Path) -> None:
    write(tmp_path, a=100, b=3)
    texts, _ = run(spec_of(tmp_path, {"a": 1, "b": 1}, Mix(until="all_exhausted")))
    counts = Counter(texts)
    assert {counts[f"a {n}"] for n in range(1, 101)} == {1}
    assert min(counts[f"b {n}"] for n in range(1, 4)) > 20
    table = origins.read(tmp_path / "out")
    places = zip(table["file"].to_pylist(), table["line"].to_pylist(), strict=True)
    assert [f"{file[0]} {line}" for file, line in places] == texts


def test_so_many_rows(tmp_path: Path) -> None:
    write(tmp_path, a=10, b=10)
    for count in (1, 13, 5000):
        assert len(run(spec_of(tmp_path, {"a": 1, "b": 1}, Mix(until=count)))[0]) == count


def test_a_source_that_the_split_names_is_read_whole(tmp_path: Path) -> None:
    write(tmp_path, a=20, b=5, c=8)
    spec = spec_of(tmp_path, {"a": 1, "b": 1, "c": 1}, Mix(), split=Split(validation="c"))
    texts, result = run(spec)
    assert not [text for text in texts if text[0] == "c"]
    assert result.sides["validation"] == 8


def test_a_source_without_rows(tmp_path: Path) -> None:
    write(tmp_path, a=20, b=0)
    for until in ("first_exhausted", "all_exhausted", 50):
        with pytest.raises(DataError) as caught:
            run(spec_of(tmp_path, {"a": 1, "b": 1}, Mix(until=until)))
        assert "source 'b' has no rows to mix" in caught.value.findings[0].message


def test_a_fault_of_a_row_that_is_repeated_is_said_once(tmp_path: Path) -> None:
    write(tmp_path, a=200, b=3)
    with (tmp_path / "b.jsonl").open("a") as file:
        file.write("broken\n")
    with pytest.raises(DataError) as caught:
        run(spec_of(tmp_path, {"a": 1, "b": 1}, Mix(until="all_exhausted")))
    assert [(each.file, each.line) for each in caught.value.findings] == [("b.jsonl", 4)]


class Unlike(Finding):
    """A finding that is compared with no other."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("findings were compared with each other")


def test_findings_of_a_mixture_are_parted_once(tmp_path: Path) -> None:
    """Comparing each with all that are told takes minutes for a hundred thousand of them."""
    known = origins.Origins()
    told = Findings(known.locate)
    ledger = Ledger(known)
    spec = spec_of(tmp_path, {"a": 1}, Mix())
    reads = intake.Intake(spec, LOADED, known, ledger, told)
    account = intake._Account(reads, spec.sources[0], ledger.step("a"), waits=True)
    for line in (1, 2, 5):
        account.found(Unlike(message="not JSON", file="a.jsonl", line=line))
    feed = Feed("a", 1, lambda first: iter(()), repeats=False)
    feed.last = ("a.jsonl", 3)
    account.took(1, feed)
    assert told.totals["error"] == 2
    assert [finding.line for finding in account.waiting] == [5]


@pytest.mark.parametrize(("rows_of", "opened"), [(3, 1), (5000, 3)])
def test_a_small_source_that_begins_anew_is_read_once(rows_of: int, opened: int) -> None:
    reads: list[bool] = []

    def read(first: bool) -> Iterator[Piece]:
        reads.append(first)
        yield Piece(rows.from_dicts([{"n": at} for at in range(rows_of)]), "f", range(1, rows_of + 1))

    feed = Feed("small", 1.0, read, repeats=True)
    lines: list[int] = []
    for count in (2, 5000, 4000, 3000):
        feed.fill(count)
        lines += [line for piece in feed.take(count) for line in piece.lines]
    assert lines == [at % rows_of + 1 for at in range(12002)]
    assert len(reads) == opened
