"""Cleaning steps by language, by balance, in another order, and by a function of the user's own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from ftspec import api, rows
from ftspec.builtin import chance, language, scripts
from ftspec.cli.root import cli


def batch_of(values: list[dict[str, Any]], side: str = "train") -> pa.RecordBatch:
    made = rows.from_dicts(values)
    numbers, sides = rows.integers(range(1, len(values) + 1)), rows.repeated(side, len(values))
    named = {**dict(zip(made.schema.names, made.columns, strict=True)), rows.ROW: numbers, rows.SIDE: sides}
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def clashes(component: api.Component, **options: Any) -> list[Any]:
    converted = component.convert(options)
    return [path for rule in component.rules for path, _ in rule(converted)]


ENGLISH = "The parcel did not arrive last week, and nobody at your office answers the telephone."
GERMAN = "Das Paket ist letzte Woche nicht angekommen, und in Ihrem Büro geht niemand ans Telefon."
JAPANESE = "先週、荷物が届きませんでした。事務所に電話しても誰も出ません。"


def spoken(values: list[dict[str, Any]], **options: Any) -> list[str | None]:
    """Why each row goes, None where it stays."""
    after = language.language.build(options)(batch_of(values))
    reasons: list[str | None] = rows.column(after, "_reason").to_pylist()
    return reasons


def test_language_keeps_and_drops() -> None:
    values: list[dict[str, Any]] = [{"a": ENGLISH}, {"a": GERMAN}, {"a": JAPANESE}, {"a": "42 – 17"}, {"b": 1}]
    assert spoken(values, keep=["en"]) == [None, "language de", "language ja", None, None]
    assert spoken(values, drop=["de", "ja"]) == [None, "language de", "language ja", None, None]
    undecided = "language undecided"
    assert spoken(values, keep=["en"], undecided="drop")[3:] == [undecided, undecided]
    assert spoken([{"a": ENGLISH}], drop=["en"], confidence=1.0) == [None]


def test_language_looks_at_the_beginning_of_messages_or_of_the_columns_named() -> None:
    def talk(*contents: str) -> dict[str, Any]:
        return {"id": GERMAN, "messages": [{"role": "user", "content": content} for content in contents]}

    assert spoken([talk(ENGLISH, ENGLISH), talk(GERMAN)], keep=["en"]) == [None, "language de"]
    assert spoken([talk(ENGLISH, GERMAN * 20)], keep=["en"], characters=len(ENGLISH)) == [None]
    assert spoken([{"a": ENGLISH, "b": GERMAN}], keep=["en"], columns=["b"]) == ["language de"]


def test_language_says_one_of_both() -> None:
    assert clashes(language.language) == clashes(language.language, keep=["en"], drop=["de"]) == [()]
    assert clashes(language.language, keep=["en"]) == []


def balanced(batches: list[pa.RecordBatch], **options: Any) -> list[int]:
    """Row numbers that stay of batches that follow on each other."""
    step = chance.balance.build({"column": "a", **options})
    keys = pa.concat_arrays([step.keys(batch) for batch in batches])
    numbers = pa.concat_arrays([batch.column(rows.ROW) for batch in batches])
    dropped = step.reduce(keys, numbers)
    assert dropped.rows.equals(dropped.because)
    return [number for number in numbers.to_pylist() if number not in set(dropped.rows.to_pylist())]


SIZES: dict[Any, int] = {"x": 60, "y": 30, 1: 9}
VALUES: list[dict[str, Any]] = [*({"a": a, "n": n} for a, size in SIZES.items() for n in range(size)), {"n": 1}]


def counted(stay: list[int]) -> dict[Any, int]:
    return dict(Counter(VALUES[number - 1].get("a") for number in stay))


def test_balance() -> None:
    batch = batch_of(VALUES)
    assert counted(balanced([batch])) == {"x": 9, "y": 9, 1: 9, None: 1}
    assert counted(balanced([batch], most=20)) == {"x": 20, "y": 20, 1: 9, None: 1}
    assert counted(balanced([batch], counts={"x": 5, "y": 0})) == {"x": 5, 1: 9, None: 1}
    assert counted(balanced([batch], shares={"x": 1, "y": 2})) == {"x": 15, "y": 30, 1: 9, None: 1}
    assert counted(balanced([batch], shares={"x": 0.5, "1": 0.25})) == {"x": 18, "y": 30, 1: 9, None: 1}


def test_balance_is_decided_by_content_and_seed() -> None:
    whole = batch_of(VALUES)
    stay = balanced([whole])
    assert stay == balanced([whole.slice(0, 7), whole.slice(7, 60), whole.slice(67)])
    assert stay != balanced([whole], seed=1)
    turned = whole.take(rows.integers(range(len(VALUES) - 1, -1, -1)))
    assert sorted(balanced([turned])) == stay


def test_balance_leaves_other_sides_alone() -> None:
    batch = batch_of(VALUES, "test")
    assert len(balanced([batch])) == len(VALUES)
    assert counted(balanced([batch], sides=["test"]))["x"] == 9
    assert balanced([batch.slice(0, 0)]) == []


@pytest.mark.parametrize("option", ["counts", "shares"])
def test_balance_says_which_values_no_row_has(tmp_path: Path, option: str) -> None:
    lines = [json.dumps({"prompt": f"{n}", "completion": "c", "a": n % 3 / 2}) for n in range(9)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    (tmp_path / "spec.yaml").write_text(
        "version: 1\nname: t\nprovider: simulated\nmodel: m\nsources:\n  - jsonl: {path: rows.jsonl}\n"
        f"cleaning:\n  - balance:\n      column: a\n      {option}: {{'0.0': 1, '1': 1}}\n"
        "format: prompt_completion\nsplit: {validation: 0}\n"
    )
    for command in (["run", "--until", "data"], ["data", "show"]):
        said = CliRunner().invoke(cli, [*command, str(tmp_path / "spec.yaml")])
        assert said.exit_code == 0, said.output
    assert "no row that is balanced has the value '1' in column 'a' [balance]; there are '0.0', '0.5', '1.0'" in (
        said.output
    )
    assert said.output.count("no row") == 1


def test_balance_has_one_way_to_say_how_many() -> None:
    assert clashes(chance.balance, column="a", counts={"x": 1}, most=2) == [("most",)]
    assert clashes(chance.balance, column="a", shares={"x": 0}) == [("shares", "x")]
    assert clashes(chance.balance, column="a") == []


def test_shuffle_is_an_order_of_the_rows_alone() -> None:
    step = chance.shuffle.build({})
    values = [{"a": n} for n in range(50)]
    keys = step.keys(batch_of(values)).to_pylist()
    assert step.sort
    assert step.reduce is None
    assert len(set(keys)) == 50
    assert step.keys(batch_of(values[::-1])).to_pylist() == keys[::-1]
    assert chance.shuffle.build({"seed": 1}).keys(batch_of(values)).to_pylist() != keys


SCRIPT = """
def clean(row):
    if row["a"] == "gone":
        return None
    if row["a"] == "no":
        return False
    if row["a"] == "same":
        return True
    return {**row, "a": row["a"].upper()}

def wrong(row):
    return "text"
"""


def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "steps.py"
    file.write_text(SCRIPT)
    cleaner = scripts.CLEANERS["python"]
    monkeypatch.delenv("FTSPEC_ALLOW_PYTHON", raising=False)
    with pytest.raises(api.FtspecError, match="FTSPEC_ALLOW_PYTHON"):
        cleaner.build({"file": str(file)})
    monkeypatch.setenv("FTSPEC_ALLOW_PYTHON", "1")
    step = cleaner.build({"file": str(file)})
    assert [step({"a": each}) for each in ("gone", "no", "same", "x")] == [None, None, {"a": "same"}, {"a": "X"}]
    with pytest.raises(api.DataError) as caught:
        cleaner.build({"file": str(file), "function": "wrong"})({"a": 1})
    assert caught.value.findings[0].message == "the function returned str, not a row, True, False or None"
    with pytest.raises(api.FtspecError, match="no function 'gone'"):
        cleaner.build({"file": str(file), "function": "gone"})
