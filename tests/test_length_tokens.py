"""`length` in tokens, what it does with rows that are too long, and that a bound never decides wrongly."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec import api, rows
from ftspec.builtin import counting, simulated
from ftspec.builtin.sizes import length

REQUEST = api.Request(model=api.ModelRef(id="simulated-base"))
TUNER = api.Tuner(simulated.COMPONENTS["simulated"].build({}), REQUEST)


def batch_of(values: list[dict[str, Any]]) -> pa.RecordBatch:
    made = rows.from_dicts(values, ("chosen", "rejected"))
    numbers, sides = rows.integers(range(1, len(values) + 1)), rows.repeated("train", len(values))
    named = {**dict(zip(made.schema.names, made.columns, strict=True)), rows.ROW: numbers, rows.SIDE: sides}
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def left(values: list[dict[str, Any]], **options: Any) -> tuple[list[dict[str, Any]], list[str | None]]:
    """The rows that stay, and why each goes."""
    after = length.build(options, TUNER)(batch_of(values))
    reasons = rows.column(after, "_reason")
    return rows.to_dicts(after.filter(reasons.is_null()).select(rows.visible(after))), reasons.to_pylist()


def talk(*turns: str, **more: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user" if i % 2 == 0 else "assistant", "content": t} for i, t in enumerate(turns)],
        **more,
    }


def test_columns_are_counted_by_their_texts() -> None:
    values = [{"a": "one two", "b": "three"}, {"a": "one", "b": None}, {"a": "one two three four"}]
    assert left(values, unit="tokens", max=3)[1] == [None, None, "over 3 tokens"]
    assert left(values, unit="tokens", min=2)[1] == [None, "under 2 tokens", None]
    assert left(values, unit="tokens", max=1, columns=["b"])[1] == [None, None, None]


def test_messages_are_counted_as_training_sees_them() -> None:
    values = [talk("one two", "three"), talk("one", "two three four")]
    assert left(values, unit="tokens", max=5)[1] == [None, "over 5 tokens"]
    call = {"id": "1", "function": {"name": "f", "arguments": '{"a": "b c d e f g"}'}}
    values[0]["messages"][1] = {"role": "assistant", "tool_calls": [call]}
    assert left(values[:1], unit="tokens", max=5)[1] == ["over 5 tokens"]


def test_without_a_tokenizer_it_says_so() -> None:
    with pytest.raises(api.FtspecError, match="tokenizer"):
        length.build({"unit": "tokens", "max": 3})


def test_fail_names_the_rows() -> None:
    with pytest.raises(api.DataError) as raised:
        left([{"a": "x"}, {"a": "xxxx"}, {"a": "xxx"}], max=2, over="fail")
    assert [(finding.row, finding.message) for finding in raised.value.findings] == [
        (2, "the row is over 2 characters"), (3, "the row is over 2 characters")
    ]  # fmt: skip
    with pytest.raises(api.DataError):
        left([{"a": "x"}], min=2, under="fail")


def test_truncate_cuts_a_column_at_its_end() -> None:
    assert left([{"a": "äöüx"}, {"a": "ab"}], max=3, over="truncate", columns=["a"])[0] == [{"a": "äöü"}, {"a": "ab"}]
    assert left([{"a": "one two three"}], max=2, over="truncate", columns=["a"], unit="tokens")[0] == [{"a": "one two"}]
    with pytest.raises(api.FtspecError, match="which"):
        left([{"a": "abcd"}], max=3, over="truncate")


def test_truncate_drops_the_oldest_turns_whole() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"q": "x"}}}
    system = {"role": "system", "content": "Be brief."}
    old = [
        {"role": "user", "content": "old question"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "a long result of the tool"},
        {"role": "assistant", "content": "old answer"},
    ]
    new = [{"role": "user", "content": "new question"}, {"role": "assistant", "content": "new answer"}]
    row = {"messages": [system, *old, *new], "id": 1}
    short: dict[str, Any] = {"messages": new, "id": 2}
    for options in ({"max": 31}, {"max": 31, "unit": "characters"}, {"max": 12, "unit": "tokens"}):
        assert left([row, short], over="truncate", **options) == (
            [{"messages": [system, *new], "id": 1}, short], [None, None]
        )  # fmt: skip
    assert left([row], over="truncate", max=10) == ([], ["over 10 characters"])
    assert left([row], over="truncate", max=10_000)[0] == [row]


def test_rules() -> None:
    def faults(**options: Any) -> list[Any]:
        return [path for rule in length.rules for path, _ in rule(length.convert(options))]

    assert faults(over="truncate") == [("over",)]
    assert faults(over="truncate", max=3, columns=["a", "b"]) == [("columns",)]
    assert faults(over="truncate", max=3, columns=["a"]) == []
    assert "tuner" not in length.options.__struct_fields__


WORDS = st.lists(st.text(st.sampled_from("ab é日 \n"), max_size=6), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), st.integers(1, 60))
def test_a_bound_decides_as_counting_does(rows_of: list[list[str]], most: int) -> None:
    tokenizer = TUNER.tokenizer()
    assert tokenizer
    for values in ([talk(*turns) for turns in rows_of], [{"a": "".join(turns)} for turns in rows_of]):
        batch = batch_of(values)
        exact = counting.tokens(tokenizer, [], 1, None)(batch).to_pylist()
        bounded = counting.tokens(tokenizer, [], 0, most)(batch).to_pylist()
        assert [size > most for size in exact] == [size > most for size in bounded]


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), st.integers(0, 30), st.integers(1, 60) | st.none())
def test_bytes_decide_as_characters_do(rows_of: list[list[str]], least: int, most: int | None) -> None:
    for values in ([talk(*turns) for turns in rows_of], [{"a": turns[0], "b": "".join(turns)} for turns in rows_of]):
        batch = batch_of(values)
        names = [name for name in ("messages", "a", "b") if name in batch.schema.names]
        exact = [
            sum(sizes) for sizes in zip(*(rows.lengths(batch.column(name)).to_pylist() for name in names), strict=True)
        ]
        bounded = counting.characters([], least, most)(batch).to_pylist()
        assert [size < least for size in exact] == [size < least for size in bounded]
        assert most is None or [size > most for size in exact] == [size > most for size in bounded]
