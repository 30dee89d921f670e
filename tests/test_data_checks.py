"""Checks of what is in the data: columns, labels, repetitions, control tokens, sizes, money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from ftspec import api, builtin, rows
from ftspec.cli import guard

CHECKS = builtin.ftspec_checks()


class Words:
    """A tokenizer of words, for the arithmetic of checks."""

    special = ("<s>", "</s>")
    per_byte = 1.0

    def counts(self, texts: Any) -> list[int]:
        return [len(text.split()) for text in texts]

    def cut(self, text: str, most: int) -> str:
        return " ".join(text.split()[:most])

    def row(self, example: api.Example) -> tuple[int, int]:
        size = sum(len(str(message.content).split()) for message in example.messages)
        return size, 1


class Knows(api.Tuner):
    def __init__(self, tokenizer: Any = None, **limits: Any) -> None:
        super().__init__()
        self.most, self.urls = limits.pop("images", None), limits.pop("urls", ())
        self.known, self.words = api.Limits(**limits), tokenizer

    def images(self) -> int | None:
        return self.most

    def image_urls(self) -> tuple[str, ...]:
        return self.urls

    def tokenizer(self) -> Any:
        return self.words

    def limits(self) -> api.Limits:
        return self.known


def batch_of(values: list[tuple[str, dict[str, Any]]], first: int) -> pa.RecordBatch:
    made = rows.from_dicts([row for _, row in values])
    named = dict(zip(made.schema.names, made.columns, strict=True))
    named |= {rows.ROW: rows.integers(range(first, first + len(values)))}
    named |= {rows.SIDE: rows.strings([side for side, _ in values])}
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def judged(name: str, given: list[Any], tuner: api.Tuner | None = None, **options: Any) -> list[api.Finding]:
    """Findings, which must be the same however the rows are cut."""
    sided = [value if isinstance(value, tuple) else ("train", value) for value in given]
    found = []
    for size in (len(sided), 1, 2):
        check = CHECKS[name].build(options, tuner)
        parts = [sided[at : at + size] for at in range(0, len(sided), size)]
        firsts = range(1, len(sided) + 1, size)
        measured = [check.measure(batch_of(part, first)) for part, first in zip(parts, firsts, strict=True)]
        found.append([msgspec.structs.replace(each, hint="") for each in check.judge(measured)])
    assert found[0] == found[1] == found[2]
    return found[0]


def said(name: str, given: list[Any], tuner: api.Tuner | None = None, **options: Any) -> list[tuple[int | None, str]]:
    return [(finding.row, finding.message) for finding in judged(name, given, tuner, **options)]


def chat(question: str, answer: str = "a") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def expected(column: list[Any], **wanted: Any) -> list[int | None]:
    """Rows that do not hold what is wanted of a column `x`."""
    return [row for row, _ in said("expect", [{"x": value, "y": 1} for value in column], columns={"x": wanted})]


@pytest.mark.parametrize(
    ("column", "wanted", "wrong"),
    [
        (["a", None, "b"], {"not_null": True}, [2]),
        (["a", "b", "a", None, None, "a"], {"unique": True}, [3, 6]),
        ([1, "1", 1.0, True], {"unique": True}, []),
        ([1, 2, 1], {"unique": True}, [3]),
        (["a", "b", None, "c"], {"in_set": ["a", "b"]}, [4]),
        ([1, 2.0, True, "1", 3], {"in_set": [1, 2]}, [3, 4, 5]),
        ([True, False, 1], {"in_set": [True]}, [2, 3]),
        (["ab", "b", "äb", None], {"matches": "^.b$"}, [2]),
        ([5, 15], {"matches": "^1"}, [1]),
        ([1, 5, 5.5, None, "3", True], {"between": [2, 5]}, [1, 3, 5, 6]),
        ([1, 5], {"between": [None, 4]}, [2]),
        (["2026-01-01", "2025-12-31"], {"between": ["2026-01-01", None]}, [2]),
        (["", "abc", "äöüß", None], {"length": [1, 3]}, [1, 3]),
        (["a", 1, 1.5, True, [1], {"a": 1}, None], {"type": "text"}, [2, 3, 4, 5, 6]),
        (["a", 1, 1.5, True, [1], {"a": 1}, None], {"type": "integer"}, [1, 3, 4, 5, 6]),
        (["a", 1, 1.5, True, [1], {"a": 1}, None], {"type": "number"}, [1, 4, 5, 6]),
        (["a", 1, 1.5, True, [1], {"a": 1}, None], {"type": "boolean"}, [1, 2, 3, 5, 6]),
        (["a", 1, 1.5, True, [1], {"a": 1}, None], {"type": "list"}, [1, 2, 3, 4, 6]),
        (["a", 1, 1.5, True, [1], {"a": 1}, None], {"type": "object"}, [1, 2, 3, 4, 5]),
    ],
)
def test_expectations(column: list[Any], wanted: dict[str, Any], wrong: list[int]) -> None:
    assert expected(column, **wanted) == wrong


def test_expect_says_what_it_found() -> None:
    found = said("expect", [{"x": 7}], columns={"x": {"between": [1, 5], "type": "text"}, "z": {"not_null": True}})
    assert found == [
        (1, "column 'x' is not of type text"),
        (1, "column 'x' is not between 1 and 5"),
        (None, "no row has a column 'z'"),
    ]
    check = CHECKS["expect"].build({"columns": {"x": {"in_set": ["a"]}}})
    assert [each.hint for each in check.judge([check.measure(batch_of([("train", {"x": "b"})], 1))])] == [
        "here it is 'b'"
    ]


def test_expect_mostly() -> None:
    column = ["a"] * 9 + ["b"]
    assert expected(column, in_set=["a"], mostly=0.9) == []
    assert said("expect", [{"x": v} for v in column], columns={"x": {"in_set": ["a"], "mostly": 0.95}})[0] == (
        None, "column 'x' is none of 'a' in 1 of 10 rows: 90.0% hold, at least 95.0% must",
    )  # fmt: skip


def test_expect_looks_at_chosen_sides() -> None:
    values = [("train", {"x": 1}), ("prompt", {"x": None, "y": 1}), ("test", {"x": None, "y": 1})]
    wanted = {"x": {"not_null": True}}
    assert [row for row, _ in said("expect", values, columns=wanted)] == [3]
    assert [row for row, _ in said("expect", values, columns=wanted, sides=["train", "prompt"])] == [2]


def test_expect_takes_every_pattern_of_re2() -> None:
    values = [{"x": "état"}, {"x": "7"}]
    columns = {"x": {"matches": r"^\pL+\z"}}
    assert not [clash for rule in CHECKS["expect"].rules for clash in rule({"columns": columns})]
    assert [row for row, _ in said("expect", values, columns=columns)] == [2]


def test_expect_of_messages() -> None:
    values = [chat("hello"), chat("x" * 50)]
    assert [row for row, _ in said("expect", values, columns={"messages": {"length": [1, 20]}})] == [2]
    assert said("expect", values, columns={"messages": {"type": "messages"}}) == []


@pytest.mark.parametrize(
    ("options", "where", "part"),
    [
        ({"columns": {"x": {}}}, ("columns", "x"), "nothing is expected"),
        ({"columns": {"x": {"matches": "("}}}, ("columns", "x", "matches"), "not an RE2 pattern"),
        ({"columns": {"x": {"matches": "a(?=b)"}}}, ("columns", "x", "matches"), "not an RE2 pattern"),
        ({"columns": {"x": {"matches": "a++"}}}, ("columns", "x", "matches"), "not an RE2 pattern"),
        ({"columns": {"x": {"between": [5, 1]}}}, ("columns", "x", "between"), "5 is above 1"),
        ({"columns": {"x": {"between": [5, "a"]}}}, ("columns", "x", "between"), "both be numbers"),
        ({"columns": {"x": {"length": [None, None]}}}, ("columns", "x", "length"), "both ends are open"),
    ],
)
def test_what_cannot_be_expected(options: dict[str, Any], where: tuple[str, ...], part: str) -> None:
    component = CHECKS["expect"]
    clashes = [clash for rule in component.rules for clash in rule(component.convert(options))]
    assert [path for path, _ in clashes] == [where]
    assert part in clashes[0][1]


def test_balance() -> None:
    values = [chat("q", "yes")] * 8 + [chat("q", "no")] * 2 + [("test", chat("q", "maybe"))]
    assert said("balance", values, min_share=0.2) == []
    assert said("balance", values, min_share=0.3) == [
        (None, "'no' has 20.0% of the rows to train on (2), at least 30.0% is wanted")
    ]
    assert "'yes' has 80.0%" in said("balance", values, max_share=0.7)[0][1]
    assert (
        "has 20.0% of the rows to train on (2), at least 20.04% is" in said("balance", values, min_share=0.2004)[0][1]
    )
    assert said("balance", values, max_ratio=3) == [
        (None, "'yes' is 4.0 times as frequent as 'no', at most 3 times is wanted")
    ]
    assert said("balance", values, values=["yes", "maybe"]) == [(None, "no row to train on has the value 'maybe'")]
    columns = [{"label": 1}, {"label": 1}, {"label": None, "x": 1}, {"label": 2}]
    assert "'2' has 33.3%" in said("balance", columns, column="label", min_share=0.4)[0][1]
    assert (
        "no row to train on has a value in column 'x'" in said("balance", columns[:1], column="x", min_share=0.4)[0][1]
    )
    many = [{"label": f"l{number}"} for number in range(1001)]
    assert "more than 1,000 values" in said("balance", many, column="label", min_share=0.1)[0][1]


def test_duplicates() -> None:
    values = [chat("q"), chat("Q "), chat("q"), ("test", chat("q")), chat("q", "b")]
    assert said("duplicates", values) == [
        (None, "1 of 4 rows to train on repeat earlier rows (25.0%), at most 0.0% may"),
        (3, "is the same as {row 1}"),
    ]
    assert said("duplicates", values, max_rate=0.25) == []
    assert [row for row, _ in said("duplicates", values, of="questions")] == [None, 2, 3, 5]


def test_special_tokens() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": "<|im_end|>"}'}}
    calling = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}]}
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "[INST] hi"}]}]}
    values = [chat("fine <s>"), chat("a <|im_start|> and <|im_start|>"), calling, parts, chat("q", "a<|im_end|>")]
    found = "a text holds the control token "
    assert said("special_tokens", values) == [
        (2, f"{found}<|im_start|>"), (3, f"{found}<|im_end|>"), (4, f"{found}[INST]"), (5, f"{found}<|im_end|>"),
    ]  # fmt: skip
    assert said("special_tokens", values, Knows(Words())) == [(1, f"{found}<s>")]
    assert said("special_tokens", values, Knows(Words()), tokens=["fine"], allow=["<s>"]) == [(1, f"{found}fine")]


def test_special_tokens_of_pairs() -> None:
    row = {**chat("q"), "chosen": [{"role": "assistant", "content": "<|eot_id|>"}]}
    made = rows.from_dicts([row], ["chosen"])
    named = dict(zip(made.schema.names, made.columns, strict=True)) | {rows.ROW: rows.integers([1])}
    check = CHECKS["special_tokens"].build({})
    batch = pa.RecordBatch.from_arrays(list(named.values()), names=list(named))
    assert [each.row for each in check.judge([check.measure(batch)])] == [1]


def test_long_rows() -> None:
    long = "word " * 3000
    values = [chat("short"), chat(long), chat("x" * 16000)]
    assert said("long_rows", values) == []
    assert said("long_rows", values, Knows(Words(), row_tokens=2000)) == [
        (2, "the row has 3,001 tokens, and at most 2,000 are seen")
    ]
    assert said("long_rows", values, Knows(Words(), row_tokens=2000), max_tokens=1000) == [
        (2, "the row has 3,001 tokens, and at most 1,000 are wanted")
    ]
    (unsure,) = judged("long_rows", values, Knows(None, row_tokens=2000))
    assert (unsure.severity, unsure.row) == ("warning", None)
    assert unsure.message.startswith("2 rows may have more than 2,000 tokens")


def test_max_examples_and_limits() -> None:
    values = [chat("a"), chat("b"), ("validation", chat("c")), ("validation", chat("d"))]
    assert said("max_examples", values, count=2) == []
    assert said("max_examples", values, count=1) == [(None, "2 rows to train on, at most 1 are wanted")]
    tuner = Knows(max_examples=1, max_validation_examples=1, file_bytes=10, source="who says so")
    assert said("limits", values, tuner) == [
        (None, "2 training examples, and the tuner takes at most 1 (who says so)"),
        (None, "2 validation examples, and the tuner takes at most 1 (who says so)"),
    ]
    weigh = CHECKS["limits"].build({}, tuner).weigh
    assert [each.message for each in weigh(api.Weighed(rows=1, bytes=11, validation_bytes=10))] == [
        "the training file has 11 bytes, and the tuner takes at most 10 (who says so)"
    ]
    assert said("limits", values) == []


@pytest.mark.parametrize(
    ("options", "facts", "part"),
    [
        ({"max_tokens": 100}, {"tokens": 50, "epochs": 2}, None),
        ({"max_tokens": 99}, {"tokens": 50, "epochs": 2}, "100 tokens (50 x 2 epochs), at most 99"),
        ({"max_tokens": 99}, {}, "cannot tell the tokens"),
        ({"max_tokens": 99}, {"tokens": 50}, "the provider decides"),
        ({"max_tokens": 49}, {"tokens": 50}, "one epoch has 50 tokens, at most 49"),
        ({"max_trained_tokens": 9}, {"trained_tokens": 5, "epochs": 2}, "10 trained tokens"),
        ({"max_cost": 1}, {"cost": 1.0, "currency": "USD"}, None),
        ({"max_cost": 1}, {"cost": 1.5, "currency": "USD", "basis": "why"}, "tuning costs 1.50 USD (why), at most 1"),
        ({"max_cost": 1}, {"basis": "no price"}, "cannot tell what tuning costs: no price"),
        ({"max_cost": 1}, {"cost": 0.5, "currency": "EUR"}, "its price is in EUR"),
    ],
)
def test_token_budget(options: dict[str, Any], facts: dict[str, Any], part: str | None) -> None:
    found = list(CHECKS["token_budget"].build(options).weigh(api.Weighed(rows=1, **facts)))
    assert (part is None and not found) or (len(found) == 1 and part is not None and part in found[0].message)


def seen(*urls: str, role: str = "user", kind: str = "image_url") -> dict[str, Any]:
    parts = [{"type": "text", "text": "an image?"}, *({"type": kind, kind: {"url": url}} for url in urls)]
    said = [{"role": "user", "content": "look"}, {"role": role, "content": parts}]
    return {"messages": [*said, {"role": "assistant", "content": "a cat"}]}


DATA = "data:image/png;base64,iVBORw0KGgo="
WEB = "https://example.com/cat.png"
PLAIN = {"messages": [{"role": "user", "content": "image_url"}, {"role": "assistant", "content": "b"}]}


@pytest.mark.parametrize("most", [None, 3])
def test_images_are_taken_where_the_tuner_takes_them(most: int | None) -> None:
    capitals = DATA.replace("data:image/png", "DATA:image/PNG")
    assert judged("images", [seen(capitals)], Knows(images=most, urls=("data:image/png;base64,",))) == []
    assert judged("images", [PLAIN, seen(DATA, WEB), seen(WEB)], Knows(images=most)) == []


def test_images_are_refused_row_by_row_where_it_takes_none() -> None:
    found = judged("images", [PLAIN, seen(DATA, WEB), seen(WEB)], Knows(images=0))
    assert [(finding.row, finding.message) for finding in found] == [
        (2, "a message holds an image, and the tuner takes none with this model and method"),
        (3, "a message holds an image, and the tuner takes none with this model and method"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (seen(DATA, role="assistant"), "an answer holds an image"),
        (seen(DATA, kind="input_image"), "a part of type 'input_image'"),
        (seen("cat.png"), "begins with none of https://, http://, gs://, data:image/"),
        (seen("data:image/png;base64,@@@@"), "no base64 behind its type"),
        (seen("data:image/png;base64,"), "no base64 behind its type"),
        (seen("data:image/svg+xml,<svg/>"), "no base64 behind its type"),
        (seen(*[WEB] * 4), "4 images, and the tuner takes at most 3"),
    ],
)
def test_images_that_no_tuner_takes(row: dict[str, Any], said: str) -> None:
    (found,) = judged("images", [PLAIN, row], Knows(images=3))
    assert found.row == 2 and said in found.message


@pytest.mark.parametrize(
    ("url", "urls", "said"),
    [
        (WEB, ("data:image/png;base64,",), "begins with https://"),
        (DATA, ("gs://", "https://"), "begins with data:image/"),
        ("data:image/gif;base64,R0lGODlh", ("data:image/png;base64,",), "begins with data:image/gif;base64, and"),
        ("gs://bucket/cat.png", ("https://", "data:image/"), "begins with gs://"),
    ],
)
def test_images_at_addresses_that_the_tuner_does_not_read(url: str, urls: tuple[str, ...], said: str) -> None:
    (found,) = judged("images", [PLAIN, seen(url)], Knows(images=3, urls=urls))
    assert found.row == 2 and said in found.message
    check = CHECKS["images"].build({}, Knows(images=3, urls=urls))
    (told,) = check.judge([check.measure(batch_of([("train", seen(url))], 1))])
    assert all(each in told.hint for each in urls)
    assert judged("images", [PLAIN, seen(url)], Knows(images=3, urls=(*urls, url[:22]))) == []


@pytest.mark.parametrize(("provider", "code"), [("local", 1), ("simulated", 0)])
def test_an_image_is_told_at_its_line(
    provider: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = [
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "b"}]} for n in range(12)
    ]
    lines = [json.dumps(row) for row in [*plain, seen(DATA)]]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    model = "smollm2-135m-instruct" if provider == "local" else "m"
    (tmp_path / "spec.yaml").write_text(
        f"version: 1\nname: x\nsources: [{{jsonl: {{path: rows.jsonl}}}}]\nprovider: {provider}\nmodel: {model}\n"
    )
    assert guard.run(["data", "show", str(tmp_path / "spec.yaml"), "-q"]) == code
    said = capsys.readouterr()
    told = said.out + said.err
    assert ("rows.jsonl:13" in told) == ("docs/sources.md says where" in told) == bool(code)
