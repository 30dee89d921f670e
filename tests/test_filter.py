"""The step `filter`: what its conditions mean on rows of columns and of messages, and what is said of faulty ones."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ftspec import api, rows
from ftspec.builtin.expressions import grammar, meaning
from ftspec.builtin.filters import filter_


def batch_of(values: list[dict[str, Any]], first: int = 1) -> pa.RecordBatch:
    made = rows.from_dicts(values)
    hidden = {
        rows.ROW: rows.integers(range(first, first + len(values))),
        rows.SIDE: rows.repeated("train", len(values)),
    }
    named = {**dict(zip(made.schema.names, made.columns, strict=True)), **hidden}
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def kept(where: str, values: list[dict[str, Any]], **options: Any) -> list[int]:
    """Rows that stay, by number: all at once, and one by one, which must come to the same."""
    step = filter_.build({"where": where, **options})

    def stay(batch: pa.RecordBatch) -> list[int]:
        after = step(batch)
        return after.column(rows.ROW).filter(after.column("_reason").is_null()).to_pylist()

    whole = stay(batch_of(values))
    assert whole == [row for index, value in enumerate(values, 1) for row in stay(batch_of([value], index))]
    return whole


CELLS: list[dict[str, Any]] = [
    {"a": "Hello World", "n": 5, "f": 0.5, "ok": True, "tags": ["x", "y"], "o": {"city": "Rome", "zip": [1, 2]}},
    {"a": "naïve ünïcode", "n": -3, "f": 2.0, "ok": False, "tags": [], "o": {"city": "Oslo"}},
    {"a": "", "n": 0, "f": 1.5, "ok": True, "tags": ["z"], "o": {}},
    {"n": 7},
]


@pytest.mark.parametrize(
    ("where", "stay"),
    [
        ("len(a) > 11", [2]),
        ("len(a) == 0", [3, 4]),
        ("words(a) == 2", [1, 2]),
        ("a == 'Hello World'", [1]),
        ("a != 'Hello World'", [2, 3]),
        ("not a == 'Hello World'", [2, 3]),
        ("a is null", [4]),
        ("a is not null and len(a) > 0", [1, 2]),
        ("a in ['', 'Hello World']", [1, 3]),
        ("a not in ['', 'Hello World']", [2]),
        ("n in [5, 7]", [1, 4]),
        ("ok in [true]", [1, 3]),
        ("'World' in a", [1]),
        ("contains(a, 'ï')", [2]),
        ("starts_with(a, 'Hell') or ends_with(a, 'code')", [1, 2]),
        (r"matches(a, '^\w+ \w+$')", [1]),
        ("matches(n, '^-')", [2]),
        ("lower(a) == 'hello world'", [1]),
        ("n > -3 and n <= 5", [1, 3]),
        ("-3 < n <= 5", [1, 3]),
        ("n + 2 * 3 == 11", [1]),
        ("(n + 2) * 3 == 21", [1]),
        ("n % 2 == 1", [1, 2, 4]),
        ("1 / n > 0", [1, 4]),
        ("f * 2 == n or f >= 1.5", [2, 3]),
        ("-n == 3", [2]),
        ("ok", [1, 3]),
        ("not ok", [2]),
        ("ok == false", [2]),
        ("ok or n == 7", [1, 3, 4]),
        ("count(tags) > 0", [1, 3]),
        ("'x' in tags", [1]),
        ("tags[0] == 'z' or tags[-1] == 'y'", [1, 3]),
        ("o.city == 'Rome'", [1]),
        ("o['zip'][1] == 2", [1]),
        ("o.city is null", [3, 4]),
        ("o.city < 'P'", [2]),
        ("gone is null", [1, 2, 3, 4]),
        ("gone == 3 or n == 7", [4]),
        ("text(n) == '5'", [1]),
        ("'it''s' == a or n == 7", [4]),
    ],
)
def test_conditions_on_columns(where: str, stay: list[int]) -> None:
    assert kept(where, CELLS) == stay


def said(*messages: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in messages], **more}


CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TALKS: list[dict[str, Any]] = [
    said(("system", "Be brief."), ("user", "What is it?"), ("assistant", "A pipe.")),
    said(("user", "one"), ("assistant", "1"), ("user", "two"), ("assistant", "2")),
    {"messages": [{"role": "user", "content": "call"}, {"role": "assistant", "tool_calls": [CALL, CALL]}]},
    said(("user", [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "data:,"}}])),
    {"messages": []},
    {"id": 1},
]


@pytest.mark.parametrize(
    ("where", "stay"),
    [
        ("count(messages) == 2", [3]),
        ("count(messages) == 0", [5, 6]),
        ("count(messages, 'user') > 1", [2]),
        ("count(messages, 'system') == 0", [2, 3, 4, 5, 6]),
        ("roles(messages) == 'user assistant'", [3]),
        ("matches(roles(messages), '^(system )?user')", [1, 2, 3, 4]),
        ("last(messages) == 'A pipe.'", [1]),
        ("last(messages) == ''", [3]),
        ("last(messages, 'user') == 'two'", [2]),
        ("first(messages) == 'see'", [4]),
        ("first(messages, 'system') is null", [2, 3, 4, 5, 6]),
        ("calls(messages) == 2", [3]),
        ("len(messages) == 8", [2]),
        ("'pipe' in messages", [1]),
        ("matches(messages, 'one\\n1')", [2]),
        ("contains(text(messages), 'brief')", [1]),
        ("messages is null", [6]),
    ],
)
def test_conditions_on_messages(where: str, stay: list[int]) -> None:
    assert kept(where, TALKS) == stay


def test_drop_is_the_opposite_where_there_is_a_value() -> None:
    assert kept("n > 0", [{"n": 1}, {"n": -1}, {}]) == [1]
    assert kept("n > 0", [{"n": 1}, {"n": -1}, {}], drop=True) == [2, 3]


def test_values_of_several_kinds_in_one_column() -> None:
    mixed: list[dict[str, Any]] = [{"a": 1}, {"a": "1"}, {"a": "x"}, {"a": True}, {"a": 2**70}, {"a": 1.0}, {"a": None}]
    assert kept("number(a) == 1", mixed) == [1, 2, 6]
    assert kept("text(a) == '1'", mixed) == [1, 2]
    assert kept("number(a) > 1", mixed) == [5]
    assert kept("len(a) == 4", mixed) == [4]


@pytest.mark.parametrize(
    ("where", "bad"),
    [
        ("a > 1", [2]),
        ("a == 'x'", [1]),
        ("a", [1, 2]),
        ("a + 1 == 2", [2]),
        ("'x' in a", [1]),
        ("a in [1, 2]", [2]),
        ("a == b", [1]),
        ("count(a) > 1", [1, 2]),
        ("roles(a) == 'user'", [1, 2]),
        ("a[0] == 1", [1, 2]),
        ("a.x == 1", [1, 2]),
        ("b[0] == 1", [1, 2, 3]),
        ("b['x'] is null", [1, 2, 3]),
    ],
)
def test_a_value_of_the_wrong_kind_fails_its_row(where: str, bad: list[int]) -> None:
    values: list[dict[str, Any]] = [{"a": 1, "b": "y"}, {"a": "x", "b": "x"}, {"b": "x"}]
    step = filter_.build({"where": where})
    for batches in ([batch_of(values)], [batch_of([value], index) for index, value in enumerate(values, 1)]):
        found: list[int | None] = []
        for batch in batches:
            try:
                step(batch)
            except api.DataError as error:
                found += [finding.row for finding in error.findings]
                assert all("character" in finding.message and finding.hint for finding in error.findings)
        assert found == bad


ODD: list[Any] = [1, 2.5, "x", True, [1], {"x": 1}, None, 2**70]


@pytest.mark.parametrize(
    "where",
    [
        "a > 1",
        "a == 'x'",
        "a",
        "'x' in a",
        "1 in a",
        "a in ['x']",
        "a == b",
        "a < b",
        "count(a) > 1",
        "count(a, 'user') > 1",
        "-a > 1",
    ],
)
def test_what_is_said_of_a_row_does_not_hang_on_the_rows_beside_it(where: str) -> None:
    """A column of texts alone has another type than one with a number in it: the reason goes into the ledger."""
    values = [{"a": one, "b": other} for one in ODD for other in ODD]
    step = filter_.build({"where": where})

    def told(batch: pa.RecordBatch) -> list[tuple[int | None, str]]:
        try:
            step(batch)
        except api.DataError as error:
            return [(finding.row, finding.message) for finding in error.findings]
        return []

    whole = told(batch_of(values))
    assert whole == [each for index, value in enumerate(values, 1) for each in told(batch_of([value], index))]
    assert whole and not any("{" in message for _, message in whole)


@pytest.mark.parametrize(
    ("where", "at"),
    [
        ("len(a) >", 9), ("a = 3", 3), ("a == 'x", 6), ("1 < lenght(a)", 5), ("(a == 1", 8), ("a == 1)", 7),
        ("len(a)", 1), ("'x' == 5", 5), ("a in []", 6), ("matches(a, '(')", 12), ("matches(a, b)", 12), ("a is 5", 6),
        ("a && b", 3), ("foo bar", 5), ("a == null", 6), (" ", 2), ("len(a, 2) > 1", 1), ("_row > 3", 1),
        ("a > true", 3), ("a and 5", 7), ("not 'x'", 5), ("a in ['x', 5]", 12), ("a in [b]", 7), ("5 in len(a)", 6),
        ("a; b", 2),
        ("[1] == a", 1), ("len(a).b == 1", 7), ("a[b] == 1", 3), ("count(messages, role) > 1", 17), ("é == 'é' ü", 10),
        ("__import__('os').system('x')", 24), ("open('x')", 1), ("(" * 60 + "a" + ")" * 60, 51),
        ("a == 1 or\n b =! 2", 14), ("a < 1e400", 5), ("a in [1, -1e309]", 11), (f"a < {'9' * 400}", 5),
    ],
)  # fmt: skip
def test_faults_say_at_which_character(where: str, at: int) -> None:
    with pytest.raises(grammar.Fault) as raised:
        meaning.check(grammar.parse(where))
    assert raised.value.at == at
    assert [path for rule in filter_.rules for path, _ in rule({"where": where})] == [("where",)]


def test_it_says_which_columns_it_reads() -> None:
    assert filter_.reads
    assert list(filter_.reads({"where": "len(a) > 1 and b.c in [1] or 'x' in d"})) == ["a", "b", "d"]


def test_the_ledger_says_the_condition() -> None:
    after = filter_.build({"where": "n >\n 1"})(batch_of([{"n": 1}]))
    assert after.column("_reason").to_pylist() == ["not n > 1"]
