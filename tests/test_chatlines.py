"""Lines and words of conversations, by machine code and by columns: what row by row makes of each, to the byte."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec import api, hosted, rows
from ftspec.builtin.simulated import COMPONENTS
from ftspec.layout import chatlines

SPACES = "\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2003\u2007\u2028\u2029\u202f\u205f\u3000\u200b\u180e"
TEXT = st.one_of(
    st.text(st.sampled_from('aé語😀 \t\n\r\x0b\x0c\x00\x01\x7f"\\/{}[],:.' + SPACES), max_size=12),
    st.text(st.sampled_from('aé語😀 \t\n\r\x7f"\\/' + SPACES[4:]), max_size=40),
    st.text(max_size=8),
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "assistant", 'od"d\n']), "content": TEXT},
)
RICH = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"])},
    optional={
        "content": st.one_of(TEXT, st.just([{"type": "text", "text": "part"}])),
        "weight": st.sampled_from([0.0, 1.0]),
        "name": st.just("ann"),
        "tool_calls": st.just([{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]),
    },
)
ROW = st.one_of(
    st.fixed_dictionaries({"messages": st.lists(MESSAGE, min_size=1, max_size=4)}),
    st.fixed_dictionaries({"messages": st.lists(st.one_of(MESSAGE, RICH), max_size=3)}),
    st.fixed_dictionaries({"messages": st.lists(MESSAGE, max_size=3), "tools": st.just([{"type": "function"}])}),
)
TABLE = st.lists(ROW, max_size=12)


pytestmark = pytest.mark.usefixtures("kernels")


def batch_of(table: list[dict[str, Any]]) -> pa.RecordBatch:
    said = rows.cell("messages", [row["messages"] for row in table])
    tools = rows.cell("tools", [row.get("tools") for row in table])
    numbers = rows.integers(range(1, len(table) + 1))
    return pa.RecordBatch.from_arrays([said, tools, numbers], names=["messages", "tools", rows.ROW])


def cut(batch: pa.RecordBatch, skip: int) -> pa.RecordBatch:
    """Some of the rows, as a view into the buffers of all."""
    return batch.slice(skip)


def line_of(example: api.Example) -> dict[str, Any]:
    return {"messages": example.messages, **({"tools": example.tools} if example.tools else {})}


@settings(max_examples=200, deadline=None)
@given(TABLE, st.integers(0, 3), st.sampled_from([1, 2, 1024]))
def test_lines_are_those_that_row_by_row_makes(table: list[Any], skip: int, piece: int) -> None:
    batch = cut(batch_of(table), skip)
    expected = b"".join(msgspec.json.encode(line_of(example)) + b"\n" for example in rows.examples(batch))
    made = b""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chatlines, "PIECE", piece)
        for part in rows.parts(batch):
            others = [msgspec.json.encode(line_of(example)) + b"\n" for example in rows.examples(part.others)]
            made += part.lines(others)
    assert made == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(MESSAGE, min_size=1, max_size=4), min_size=1, max_size=8), st.integers(0, 3))
def test_words_are_those_of_split(said: list[Any], skip: int) -> None:
    batch = cut(batch_of([{"messages": messages} for messages in said]), skip)
    for part in rows.parts(batch):
        plain = [said[skip + place] for place in part.places.tolist()]
        assert part.plain.words().tolist() == [len(each["content"].split()) for row in plain for each in row]


@pytest.mark.parametrize("words", [65_534, 65_535, 65_536, 140_000])
def test_words_of_a_long_text_are_all_counted(words: int) -> None:
    said = [{"role": "user", "content": content} for content in ("a b", " a" * words, "")]
    [part] = rows.parts(batch_of([{"messages": said}]))
    assert part.plain.words().tolist() == [2, words, 0]


def test_every_character_parts_words_as_split_has_it() -> None:
    """Beside others, at each place of eight bytes, and at the end of a text."""
    codes = [*range(0x20, 0xD800), *range(0xE000, 0x11000)]
    texts = [f"{'x' * (code % 8)}{chr(code)}a {chr(code)}" for code in codes]
    [part] = rows.parts(batch_of([{"messages": [{"role": "user", "content": text} for text in texts]}]))
    assert part.plain.words().tolist() == [len(text.split()) for text in texts]


def test_all_but_control_characters_parts_and_tools_is_plain() -> None:
    """So that the fast way is the one that most rows take, and the tests above try it."""
    kept: list[Any] = [{"messages": [{"role": "user", "content": text}]} for text in ("", "a\tb\r\n", '"\\é語😀\u2028')]
    other: list[Any] = [
        {"messages": []},
        {"messages": [{"role": "user", "content": "\x00"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"messages": [{"role": "user", "content": "a", "weight": 1.0}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": "a"}], "tools": [{}]},
    ]
    [part] = rows.parts(batch_of(kept + other))
    assert (part.places.tolist(), part.other_places.tolist()) == ([0, 1, 2], [3, 4, 5, 6, 7, 8])


def test_more_roles_than_marks_go_row_by_row() -> None:
    table = [{"messages": [{"role": f"role {at}", "content": "a"}]} for at in range(40)]
    [part] = rows.parts(batch_of(table))
    assert not len(part.places) and len(part.other_places) == 40


@settings(max_examples=100, deadline=None)
@given(TABLE, st.sampled_from(["assistant", "last", "all"]))
def test_the_simulated_tuner_counts_what_it_renders(table: list[Any], train_on: str) -> None:
    provider = COMPONENTS["simulated"].build({})
    request = api.Request(model=api.ModelRef(id="m"), method_options={"train_on": train_on})
    batch = batch_of(table)
    rendered = [provider.render(request, example) for example in rows.examples(batch)]
    untrained = [row for row, tokens in enumerate(rendered, 1) if not any(token.weight for token in tokens)]
    out = io.BytesIO()
    try:
        written = provider.write(request, [batch], out)
    except api.DataError as error:
        assert [finding.row for finding in error.findings] == untrained[:20] and error.total == len(untrained)
    else:
        trained = sum(1 for tokens in rendered for token in tokens if token.weight)
        assert not untrained
        assert (written.rows, written.tokens) == (len(table), sum(map(len, rendered)))
        assert written.trained_tokens == trained
    assert out.getvalue() == b"".join(msgspec.json.encode(line_of(each)) + b"\n" for each in rows.examples(batch))


@settings(max_examples=100, deadline=None)
@given(TABLE)
def test_hosted_lines_are_the_same_with_and_without_the_fast_way(table: list[Any]) -> None:
    """A line like those of Together and Fireworks: other roles are refused, and rows without an answer."""
    known = frozenset({"system", "user", "assistant"})

    def line(example: api.Example) -> dict[str, Any]:
        if {message.role for message in example.messages} - known or not example.messages:
            raise hosted.Unfit("a role")
        if example.messages[-1].role != "assistant":
            raise hosted.Unfit("no answer")
        return line_of(example)

    def outcome(plain: frozenset[str]) -> Any:
        out = io.BytesIO()
        try:
            return hosted.write_lines([batch_of(table)], out, line, plain).rows, out.getvalue()
        except api.DataError as error:
            return error.total, error.findings, out.getvalue()

    assert outcome(known) == outcome(frozenset())
