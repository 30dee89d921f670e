"""JSON lines by machine code, by Arrow and one by one: the same rows and the same findings, whatever the lines hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftspec import api, rows
from ftspec.builtin.files import Lines
from ftspec.builtin.sources import lines, machine
from ftspec.builtin.sources.layout import Layout
from ftspec.compiled import native

pytestmark = pytest.mark.usefixtures("kernels")


class Never(Layout):
    """Knows no row: every line is decoded by itself."""

    def fits(self, line: bytes) -> bool:
        return False

    def learn(self, batch: pa.RecordBatch) -> Layout:
        return self


def read(parser: lines.Parser, blocks: list[bytes]) -> list[Any]:
    """Everything read, block by block: findings, and rows with their columns, types and numbers."""
    found: list[Any] = []
    first = 1
    for data in blocks:
        for each in parser.read(Lines(first, data)):
            if isinstance(each, api.Finding):
                found.append((each.message, each.line))
            else:
                each.batch.validate(full=True)
                columns = {name: each.batch.column(name) for name in sorted(each.batch.schema.names)}
                found.append((first, list(each.lines), {n: (c.type, c) for n, c in columns.items()}))
        first += data.count(b"\n") + 1
    return found


def both(blocks: list[bytes]) -> tuple[list[Any], lines.Parser]:
    slow, fast = lines.Parser("f"), lines.Parser("f")
    slow.layout = Never({})
    made = read(fast, blocks)
    assert made == read(slow, blocks)
    return made, fast


TEXT = st.sampled_from(["", "a", "ä\n", "\U0001f600", '"\\', "\x00", " {}\t", "{}\r\n{}"]) | st.text(max_size=4)
WEIRD = st.sampled_from(
    [None, True, 0, 1, -1, 2**63 - 1, 2**63, -(2**63), 0.0, 1.0, 0.5, 1e300, [], {}, ["a"], {"b": None}, "[]", "x"]
)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXT})
ODD_MESSAGE = st.dictionaries(
    st.sampled_from(["role", "content", "name", "tool_calls", "tool_call_id", "weight", "x"]), WEIRD, max_size=4
)
USUAL = st.fixed_dictionaries({"messages": st.lists(MESSAGE, min_size=1, max_size=3)})
LONG = st.lists(
    TEXT | st.sampled_from(["word ", "\u2028", "\ud7ff\ue000", "\x7f\x80", "/\b\f", "x" * 31]), max_size=9
).map("".join)
SPEAKER = st.fixed_dictionaries({"role": st.just("user")}, optional={"content": LONG, "name": st.just("Ada")})
PLAIN = st.fixed_dictionaries({"a": LONG, "messages": st.lists(SPEAKER, max_size=4), "\u00e9": LONG, "b": st.just("")})
ROW = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(MESSAGE, max_size=3) | st.lists(MESSAGE | ODD_MESSAGE | WEIRD, max_size=2) | WEIRD,
        "tools": st.none() | WEIRD,
        "text": st.none() | TEXT,
        "whole": st.none() | st.integers(-3, 3),
        "broken": st.none() | st.floats(0, 1) | st.sampled_from([1, 2.0]),
        "yes": st.none() | st.booleans(),
        "any": WEIRD,
        "a\u00e9 b": WEIRD,
        "_row": WEIRD,
    },
)


def written(value: Any, ascii: bool, spaced: bool) -> bytes:
    separators = None if spaced else (",", ":")
    return json.dumps(value, ensure_ascii=ascii, separators=separators).encode("utf-8", "surrogatepass")


LINE = st.builds(written, st.one_of(USUAL, USUAL, USUAL, ROW), st.booleans(), st.booleans())
BROKEN = [
    b"", b"  ", b"\r", b"null", b"1", b"[]", b"{", b"}", b'{"text":"a"}{"text":"b"}', b'{"text":"a"}null', b'"\xff"',
    b'{"text":"\xff"}', b'{"text":"\\ud800"}', b'{"text":"\\udc00"}', b'{"text":"\\ud83d\\ude00"}', b'{"text":1e400}',
    b'{"text":"a","text":"b"}', b'{"te\\u0078t":"a"}', b'{"broken":NaN}', b'{"broken":-0}', b'{"broken":-0.0}',
    b'{"broken":1e2}', b'{"broken":Infinity}', b'{"whole":-0}', b'{"whole":1e2}', b'{"messages":[{"weight":-0}]}',
    b'{"messages":[{"weight":NaN}]}', b'{"messages":[{"weight":9007199254740993}]}', b'{"messages":[null]}',
    b'{"messages":[{"weight":Infinity}]}', b' {"text":"a"} ', b'{"text":"a"}\r', b'{"text":"a"', b'"b":1}',
    b'{"text":{}',
    b'{"text":"a"}\x00', b"\x00", b"\xef\xbb\xbf{}", b"{}", b'{"text":"a"},', b'[{"text":"a"}]', b"{'text':'a'}",
    b'{"broken":1}', b'{"broken":1.0}', b'{"messages":null}', b'{"messages":[]}', b'{"text":null}',
    b'{"messages":[{"role":"a","content":"\xff"}]}', b'{"messages":[{"weight":1}]}', b'{"messages":[{"weight":0}]}',
    b'{"text":"a"}{"text":"b"}\n{"text":\n"c"}',
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(LINE, LINE, LINE, LINE, st.sampled_from(BROKEN)), min_size=1, max_size=12),
        min_size=1,
        max_size=5,
    )
)
@example([[b'{"messages":[]}'], [b'{"messages":null}', b"{}", b'{"tools":null}'], [b'{"messages":null}']])
def test_a_line_is_read_the_same_way_by_arrow_and_by_itself(blocks: list[list[bytes]]) -> None:
    both([b"\n".join(block) for block in blocks])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PLAIN, min_size=1, max_size=5), min_size=1, max_size=3), st.booleans(), st.booleans())
def test_rows_of_texts_alone(blocks: list[list[Any]], ascii: bool, spaced: bool) -> None:
    both([b"\n".join(written(value, ascii, spaced) for value in block) for block in blocks])


@settings(max_examples=100, deadline=None)
@given(PLAIN, st.booleans(), st.data())
def test_a_plain_row_that_was_damaged(row: Any, ascii: bool, data: st.DataObject) -> None:
    """One byte of it is another one, is not there, or stands there twice."""
    whole = written(row, ascii, False)
    at = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(
        st.sampled_from([bytes([value]) for value in b'"\\{}[],:u0 \n\r\x00\x1f\xc3']) | st.just(whole[at : at + 1] * 2)
    )
    learnt = b"\n".join([whole, whole])
    both([learnt, whole[:at] + other + whole[at + 1 :], whole[:at] + whole[at + 1 :], learnt])


def test_machine_code_reads_plain_rows_and_no_others(kernels: native.Native | None) -> None:
    kinds = {"text": pa.string(), "messages": rows.MESSAGES}
    plain = Layout(kinds, frozenset({"role", "content"})).plain
    usual = b' {"messages" : [ {"content":"\\u00e4\\n","role":"user"}, {"role":"tool"}],\t"text":"x"}\r'
    assert plain.is_read
    if kernels:
        read = plain.parse(usual + b"\n" + usual)
        assert read is not None
        value = {"messages": [{"role": "user", "content": "ä\n"}, {"role": "tool"}], "text": "x"}
        assert read.equals(rows.from_dicts([value, value]).select(["text", "messages"]))
        assert plain.parse(b'{"text":"a","messages":[]}') is not None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(machine, "LARGEST", 4 * len(usual))
            assert plain.parse(usual) is not None
            assert plain.parse(usual + b" ") is None
    else:
        assert plain.parse(usual) is None
    for other in (b'{"text":null,"messages":[]}', b'{"text":"a"}', b'{"text":"a","messages":[{}]}', usual + b"\n", b""):
        assert plain.parse(other) is None
    assert not Layout({**kinds, "number": pa.int64()}).plain.is_read
    assert not Layout(kinds, frozenset({"role", "weight"})).plain.is_read
    assert not Layout({'a"b': pa.string()}).plain.is_read
    assert not Layout({f"c{number}": pa.string() for number in range(61)}).plain.is_read


@settings(max_examples=40, deadline=None)
@given(
    st.lists(USUAL, min_size=8, max_size=12),
    st.lists(st.sampled_from(BROKEN) | LINE, min_size=1, max_size=3),
    st.integers(0, 8),
)
def test_odd_lines_among_usual_ones(usual: list[Any], odd: list[bytes], at: int) -> None:
    learnt = b"\n".join(written(value, False, False) for value in usual)
    mixed = [written(value, True, True) for value in usual]
    mixed[at:at] = odd
    both([learnt, b"\n".join(mixed), learnt, b"\r\n".join(mixed), learnt])


@pytest.mark.parametrize("line", BROKEN, ids=repr)
def test_odd_lines_by_themselves(line: bytes) -> None:
    """Arrow is asked first: the block before has only usual lines."""
    message = {"role": "user", "content": "a", "weight": 0.5}
    row = {"messages": [message], "text": "a", "whole": 1, "broken": 0.5, "yes": True}
    usual = [written({**row, "broken": number}, False, False) for number in (0.25, None)]
    both([b"\n".join(usual), b"\n".join(usual), b"\n".join([line, *usual]), usual[0], b"\n".join([*usual, line])])
    both([usual[0], usual[0], b"\n".join([line, line])])


def test_usual_rows_take_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the layout of the first block are never decoded one by one, wherever an odd one stands among them."""
    row = written({"messages": [{"role": "user", "content": "hi"}], "id": 1, "tools": None}, False, False)
    odd = written({"messages": [{"role": "tool", "content": [], "x": 1}], "tools": [{}]}, False, False)
    decoded: list[bytes] = []
    decode = lines.decoded
    monkeypatch.setattr(lines, "decoded", lambda line, of: decoded.append(line) or decode(line, of))
    parser = lines.Parser("f")
    block = b"\n".join([row] * 20)
    read(parser, [block, block])
    assert decoded == [row] * 20
    decoded.clear()
    (chunk,) = parser.read(Lines(1, b"\n".join([row, b"", row, odd, row, row, row])))
    assert isinstance(chunk, api.Chunk)
    assert decoded == [odd]
    assert chunk.lines == [1, 3, 4, 5, 6, 7]
    assert rows.values(chunk.batch, "tools") == [None, None, [{}], None, None, None]
    decoded.clear()
    read(parser, [block.replace(b"\n", b"\r\n")])
    assert decoded == []


def test_a_column_that_no_row_of_a_block_has_is_not_made_up() -> None:
    some, none = b'{"a":"x","b":null}', b'{"a":"x"}'
    made, _ = both([b"\n".join([some] * 3), b"\n".join([none] * 3), b"\n".join([none, some, none]), none])
    assert [sorted(columns) for _, _, columns in made] == [["a", "b"], ["a"], ["a", "b"], ["a"]]


def test_fields_named_like_the_decoder_s_own() -> None:
    row = msgspec.json.encode({"c1": "x", "c0": 1, "class": 0.5, "": True})
    both([row, row, row + b"\n" + row])


@pytest.mark.parametrize("name", ["a\\b", 'a"b', "a\nb"])
def test_a_column_whose_name_has_to_be_escaped(name: str) -> None:
    row = msgspec.json.encode({name: "x"})
    made, _ = both([row, row + b'\n{"a":1}', row])
    assert [sorted(columns) for _, _, columns in made] == [[name], ["a", name], [name]]


def test_a_file_s_own_numbers(tmp_path: Path) -> None:
    """Blank lines count, a byte order mark does not."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}\n\n{"a":2}\n')
    (chunk,) = lines.jsonl.build({"path": str(path)}).read()
    assert list(chunk.lines) == [1, 3]
