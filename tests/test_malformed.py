"""Malformed input through the command line: every fault is a finding at its file and line, no good row is lost.

Each case is planned twice. With `on_error: fail` (the default) the exit code is 1 and every fault is named; with `skip`
the plan stands, has all good rows, and says the same as warnings.
"""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import json
import lzma
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from test_more_sources import workbook

from ftspec import api
from ftspec.builtin import files
from ftspec.builtin.sources import tables
from ftspec.cli import guard
from ftspec.data import pipeline

Bad = list[tuple[str, int, str]]
"""(file, line, part of the message) of every finding."""

SPEC = """\
version: 1
name: malformed
sources:
  - {source}
    on_error: {on_error}
{form}provider:
  simulated: {{}}
model: sim-base
"""
FORM = "format:\n  chat: {user: '{{ text }}', assistant: '{{ label }}'}\n"
SAID = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "good day"}]


def row(number: int = 0, **more: Any) -> bytes:
    return json.dumps({"text": f"question {number}", "label": "answer", **more}).encode()


def said(*more: dict[str, Any]) -> bytes:
    return json.dumps({"messages": [*SAID, *more]}).encode()


GOOD = row()


@pytest.fixture
def plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def run(source: str, on_error: str, form: str) -> tuple[int, str, str]:
        (tmp_path / "spec.yaml").write_text(SPEC.format(source=source, on_error=on_error, form=form))
        code = guard.run(["plan", "spec.yaml", "--format", "json"])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def tried(plan: Callable[..., tuple[int, str, str]]) -> Callable[..., None]:
    """Plan with both settings of `on_error`, and compare what is said and kept with what should be."""

    def both(source: str, good: int, bad: Bad, form: str = FORM) -> None:
        code, _, err = plan(source, "fail", form)
        assert code == (1 if bad else 0), err
        for file, line, part in bad:
            assert re.search(rf"^  {re.escape(file)}:{line}:([0-9]+:)? .*{re.escape(part)}", err, re.MULTILINE), err
        code, out, err = plan(source, "skip", form)
        assert code == (0 if good else 1), err
        if good:
            data = json.loads(out)["data"]
            assert data["size"]["rows"] == good
            found = [(one["file"], one["line"], one["message"]) for one in data["findings"]]
            assert [(file, line) for file, line, _ in found] == [(file, line) for file, line, _ in bad]
            assert all(part in message for (*_, part), (*_, message) in zip(bad, found, strict=True))

    return both


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


LINES: dict[str, tuple[bytes, str]] = {
    "cut off": (b'{"text": "x", "lab', "not JSON"),
    "two values": (GOOD + GOOD, "not JSON"),
    "single quotes": (b"{'text': 'x'}", "not JSON"),
    "trailing comma": (b'{"text": "x",}', "not JSON"),
    "comment": (b"// no", "not JSON"),
    "a list": (b"[1]", "must be an object"),
    "a number": (b"12", "must be an object"),
    "NaN": (b'{"text": NaN, "label": "x"}', "not JSON"),
    "Infinity": (b'{"text": -Infinity, "label": "x"}', "not JSON"),
    "1e999": (b'{"text": 1e999, "label": "x"}', "not JSON"),
    "Latin-1": ('{"text": "é", "label": "x"}'.encode("latin-1"), "not UTF-8"),
    "an overlong form": (b'{"text": "\xc0\xaf", "label": "x"}', "not UTF-8"),
    "half a surrogate, encoded": (b'{"text": "\xed\xa0\x80", "label": "x"}', "not UTF-8"),
    "half a surrogate, escaped": (b'{"text": "\\ud83d", "label": "x"}', "not JSON"),
    "NUL in a string": (b'{"text": "a\x00b", "label": "x"}', "not JSON"),
    "NULs alone": (b"\x00" * 40, "not JSON"),
    "binary": (bytes(value for value in range(256) if value != 10), "not JSON"),
    "deep lists": (b'{"text": ' + deep(100_000) + b"}", "nested too deeply"),
    "deep objects": (b'{"text": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "nested too deeply"),
    "351 levels": (b'{"text": ' + deep(350) + b', "label": "x"}', "more than 350 levels"),
    "nested as JSON can just be read": (b'{"text": ' + b'{"a":' * 600 + b"1" + b"}" * 600 + b"}", "350 levels"),
    "deep messages as text": (json.dumps({"messages": deep(600).decode()}).encode(), "350 levels"),
    "our own name": (row(_row=3), "ftspec's own"),
    "a tab between values": (b'{"text": "a\tb", "label": "x"}', "not JSON"),
}


def test_bad_lines_among_good_ones(tmp_path: Path, tried: Callable[..., None]) -> None:
    lines: list[bytes] = []
    for number, (line, _) in enumerate(LINES.values()):
        lines += [row(number), b" \t ", line]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    bad = [("x.jsonl", 3 * number, part) for number, (_, part) in enumerate(LINES.values(), 1)]
    tried("jsonl: {path: x.jsonl}", len(LINES), bad)


MESSAGES: dict[str, tuple[bytes, str]] = {
    "no list": (b'{"messages": "hi"}', "list of messages"),
    "a message that is none": (b'{"messages": [3]}', "message 1"),
    "deep content": (b'{"messages": [{"role": "user", "content": ' + deep(50_000) + b"}]}", "nested too deeply"),
    "deep arguments": (
        b'{"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", '
        b'"arguments": ' + deep(50_000) + b"}}]}]}",
        "nested too deeply",
    ),
}
UNTRAINABLE: dict[str, tuple[bytes, str]] = {
    "no role": (b'{"messages": [{"content": "x"}]}', "role"),
    "a role that is no text": (b'{"messages": [{"role": 3, "content": "x"}]}', "role"),
    "content that is a number": (b'{"messages": [{"role": "user", "content": 3}]}', "content"),
    "tool calls that are none": (b'{"messages": [{"role": "assistant", "tool_calls": "x"}]}', "tool_calls"),
}
"""Messages that can be read and cleaned; the check `format` finds them afterwards, whatever the source's `on_error`."""


def test_bad_messages(tmp_path: Path, tried: Callable[..., None]) -> None:
    lines = [line for each, _ in MESSAGES.values() for line in (said(), each)]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    bad = [("x.jsonl", 2 * number, part) for number, (_, part) in enumerate(MESSAGES.values(), 1)]
    tried("jsonl: {path: x.jsonl}", len(MESSAGES), bad, form="")


def test_untrainable_messages(tmp_path: Path, plan: Callable[..., tuple[int, str, str]]) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(line for each, _ in UNTRAINABLE.values() for line in (said(), each)))
    for on_error in ("fail", "skip"):
        code, _, err = plan("jsonl: {path: x.jsonl}", on_error, "")
        assert code == 1
        for number, (_, part) in enumerate(UNTRAINABLE.values(), 1):
            assert re.search(rf"^  x.jsonl:{2 * number}: .*{part}", err, re.MULTILINE), err


@pytest.mark.parametrize(
    ("content", "good"),
    [
        (b"\xef\xbb\xbf" + row(1) + b"\r\n" + row(2) + b"\r\n", 2),
        (row(1) + b"\n\n\n \n\t\n" + row(2), 2),
        (b'{"text": 123456789012345678901234567890, "label": -1e308}', 1),
        (b'{"text": "\\u0000", "label": "\\ud83d\\ude00"}', 1),
        (row(1) + b"\n" + row(2, extra=[1, {"a": None}]) + b"\n" + row(3, extra="text") + b"\n" + row(4, extra=1.5), 4),
        (b'{"text": "x", "label": "y", "more": ' + deep(300) + b"}", 1),
    ],
)
def test_unusual_and_right(tmp_path: Path, tried: Callable[..., None], content: bytes, good: int) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    tried("jsonl: {path: x.jsonl}", good, [])


def test_one_very_long_line(tmp_path: Path, tried: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 1 << 12)
    long = b"x" * 300_000
    lines = [row(1), b'{"text": "' + long + b'", "label": "y"}', b'{"text": "' + long, row(2)]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    tried("jsonl: {path: x.jsonl}", 3, [("x.jsonl", 3, "not JSON")])


@pytest.mark.slow
def test_lines_of_100_megabytes(tmp_path: Path, tried: Callable[..., None]) -> None:
    long = b"long line " * 10_000_000
    with (tmp_path / "x.jsonl").open("wb") as file:
        for line in (row(1), b'{"text": "' + long + b'", "label": "y"}', b'{"text": "' + long, row(2)):
            file.write(line + b"\n")
    tried("jsonl: {path: x.jsonl}", 3, [("x.jsonl", 3, "not JSON")])


def test_files_in_other_encodings(tmp_path: Path, tried: Callable[..., None]) -> None:
    (tmp_path / "a.jsonl").write_bytes(GOOD)
    parts = {"utf-16": "UTF-16", "utf-32": "UTF-32", "latin-1": "not UTF-8", "shift-jis": "not UTF-8"}
    for encoding in parts:
        text = "größer" if encoding != "shift-jis" else "日本"
        (tmp_path / f"{encoding}.jsonl").write_bytes(f'{{"text": "{text}", "label": "x"}}\n'.encode(encoding))
    tried("jsonl: {path: '*.jsonl'}", 1, [(f"{name}.jsonl", 1, parts[name]) for name in sorted(parts)])


def test_a_carriage_return_alone_ends_no_line(tmp_path: Path, tried: Callable[..., None]) -> None:
    (tmp_path / "x.jsonl").write_bytes(row(1) + b"\r" + row(2) + b"\n" + row(3) + b"\r\n" + b"\r\n" + row(4))
    tried("jsonl: {path: x.jsonl}", 2, [("x.jsonl", 1, "not JSON")])


MANY = b"".join(json.dumps({"text": f"{n * 7919 % 10_007}", "label": f"{n}"}).encode() + b"\n" for n in range(20_000))
PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("ending", PACKERS)
def test_a_truncated_archive(tmp_path: Path, plan: Callable[..., tuple[int, str, str]], ending: str) -> None:
    """What stands before the break is kept; the finding names the line that breaks off."""
    packed = PACKERS[ending](MANY)
    (tmp_path / f"x.jsonl{ending}").write_bytes(packed[: len(packed) * 9 // 10])
    (tmp_path / "y.jsonl").write_bytes(GOOD)
    code, _, err = plan("jsonl: {path: '[xy].jsonl*'}", "fail", FORM)
    assert code == 1
    found = re.search(rf"^  x.jsonl{ending}:(\d+): the file breaks off", err, re.MULTILINE)
    assert found, err
    code, out, err = plan("jsonl: {path: '[xy].jsonl*'}", "skip", FORM)
    assert code == 0, err
    assert json.loads(out)["data"]["size"]["rows"] == int(found[1]) - 1 + 1


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_of_a_small_archive_that_breaks_off_all_is_kept_before_the_break(tmp_path: Path, ending: str) -> None:
    lines = [json.dumps({"text": f"{at * 7919 % 10007} words", "label": "x"}).encode() for at in range(2000)]
    packed = gzip.compress(b"\n".join(lines)) if ending == ".gz" else lzma.compress(b"\n".join(lines))
    file = tmp_path / f"x.jsonl{ending}"
    file.write_bytes(packed[: len(packed) // 2])
    *blocks, broken = files.read_lines(files.File("x", str(file)))
    kept = [line for block in blocks if isinstance(block, files.Lines) for line in block.lines]
    assert isinstance(broken, api.Finding)
    assert broken.message.startswith(f"the file breaks off after line {len(kept)}: ")
    assert broken.line == len(kept) + 1
    assert kept == lines[: len(kept)]
    assert len(kept) > 500


@pytest.mark.parametrize("ending", [".gz", ".zip"])
def test_of_a_small_archive_that_is_corrupt_nothing_is_believed(tmp_path: Path, ending: str) -> None:
    """A bit that fell over changes what comes behind it, and the sum that tells stands at the end."""
    lines = [json.dumps({"text": f"{at * 7919 % 10007} words", "label": "x"}).encode() for at in range(2000)]
    file = tmp_path / f"x.jsonl{ending}"
    if ending == ".gz":
        file.write_bytes(gzip.compress(b"\n".join(lines)))
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("in.jsonl", b"\n".join(lines))
    packed = bytearray(file.read_bytes())
    packed[len(packed) // 2] ^= 0xFF
    file.write_bytes(packed)
    (broken,) = files.read_lines(files.File("x", str(file), "in.jsonl" if ending == ".zip" else ""))
    assert isinstance(broken, api.Finding)
    assert broken.line == 1


@pytest.mark.parametrize("source", ["jsonl", "csv", "text"])
def test_archives_that_are_not_called_so(source: str, tmp_path: Path, tried: Callable[..., None]) -> None:
    (tmp_path / "good").write_bytes(GOOD if source != "csv" else b"text,label\na,b\n")
    (tmp_path / "xlfs").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    packed = {
        ".gz": gzip.compress(GOOD),
        ".xz": lzma.compress(GOOD),
        ".bz2": bz2.compress(GOOD),
        ".parquet": b"PAR1\x15..",
    }
    for ending, content in packed.items():
        (tmp_path / f"x{ending[1:]}").write_bytes(content)
    form = FORM.replace("{{ label }}", "b") if source == "text" else FORM
    bad = [(f"x{ending[1:]}", 1, f"it begins as files do that end with {ending}") for ending in sorted(packed)]
    bad.insert(2, ("xlfs", 1, "a pointer of Git LFS"))
    tried(f"{source}: {{path: '[gx]*'}}", 1, bad, form)


def test_a_column_may_be_called_as_parquet_files_begin(tmp_path: Path, tried: Callable[..., None]) -> None:
    """PAR1 and PAR2 are sensors of light to some. A Parquet file, even an empty one, is told by one byte more."""
    (tmp_path / "x.csv").write_bytes(b"PAR1,text,label\n0.5,a,b\n")
    tried("csv: {path: x.csv}", 1, [])
    for rows_in in ([], [{"text": "a"}]):
        pq.write_table(pa.Table.from_pylist(rows_in, pa.schema([("text", pa.string())])), tmp_path / "x.parquet")
        assert files._stranger((tmp_path / "x.parquet").read_bytes())[0].endswith(".parquet")


@pytest.mark.parametrize("source", ["jsonl", "json"])
@pytest.mark.parametrize("rows_before", [0, 5000])
def test_a_name_that_stands_twice_in_a_row(
    tmp_path: Path, plan: Callable[..., tuple[int, str, str]], source: str, rows_before: int
) -> None:
    """Whatever reads the row: it stands among many that are alike, or among few."""
    rows_ = [row(1)] * rows_before + [
        b'{"text": "a", "label": "x", "text": "b"}',
        b'{"label" : "y", "text": "a", "t\\u0065xt": "b", "label":"x"}',
        b'{"text": "text: a", "label": "text", "more": {"text": 1, "label": {"text": 2}}}',
        b'{"text": "\\"text\\": a", "label": "label"}',
        b'{"text": "a", "t\\u0065xt": "b", "label": "x"}',
        b'{"text": "\\u0022: a", "label": "x", "more": [7, {"city": "A", "c\\u0069ty": "B"}, {"a": {"b": 1, "b": 1}}]}',
    ]
    name = f"x.{source}"
    (tmp_path / name).write_bytes(b"\n".join(rows_) if source == "jsonl" else b"[" + b",".join(rows_) + b"]")
    code, out, err = plan(f"{source}: {{path: {name}}}", "fail", FORM)
    assert code == 0, err
    found = [(one["line"], one["message"]) for one in json.loads(out)["data"]["findings"]]
    wanted = [(1, "'text'", "the row"), (2, "'label'", "the row"), (5, "'text'", "the row"), (6, "'city'", "'more[1]'")]
    assert found == [
        (rows_before + at, f"{name} stands twice in {place}: the last one counts") for at, name, place in wanted
    ]


@pytest.mark.parametrize("rows_before", [0, 5000])
def test_a_name_that_stands_twice_in_a_message(
    tmp_path: Path, plan: Callable[..., tuple[int, str, str]], rows_before: int
) -> None:
    """Among messages that Arrow reads, and in a tool call's arguments that are an object."""
    usual = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
    rows_ = [usual] * rows_before + [
        usual.replace(b'"content": "b"', b'"content": "c", "content": "b"'),
        usual.replace(b'"content": "b"', b'"tool_calls": [{"id": "1", "type": "function", "function": '
                      b'{"name": "f", "arguments": {"city": "A", "city": "B"}}}]'),
        usual,
    ]  # fmt: skip
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(rows_))
    code, out, err = plan("jsonl: {path: x.jsonl}", "fail", "")
    assert code == 0, err
    found = [(one["line"], one["message"]) for one in json.loads(out)["data"]["findings"]]
    said = "stands twice in 'messages[1]"
    assert found == [
        (rows_before + 1, f"'content' {said}': the last one counts"),
        (rows_before + 2, f"'city' {said}.tool_calls[0].function.arguments': the last one counts"),
    ]


def test_files_that_are_no_archives(tmp_path: Path, tried: Callable[..., None]) -> None:
    endings = sorted([*PACKERS, ".lz4"])
    for ending in ("", *endings):
        (tmp_path / f"x.jsonl{ending}").write_bytes(GOOD)
    bad = [(f"x.jsonl{ending}", 1, f"not compressed, or not as its ending {ending} says") for ending in endings]
    tried("jsonl: {path: 'x.jsonl*'}", 1, bad)
    (tmp_path / "x.json.gz").write_bytes(b'[{"text": "a", "label": "b"}]')
    tried("json: {path: x.json.gz}", 0, [("x.json.gz", 1, "not compressed, or not as its ending .gz says")])


TABLES: dict[str, tuple[bytes, int, list[tuple[int, str]]]] = {
    "ragged": (b"text,label\na,b\nc\nd,e,f\ng,h\n", 2, [(3, "1 cell where"), (4, "3 cells")]),
    "an open quote": (b'text,label\na,b\n"c,d\ne,f\n', 1, [(3, "")]),
    "text after a quote": (b'text,label\na,b\n"c"x,d\ne,f\n', 2, [(3, "")]),
    "not UTF-8": (b"text,label\na,b\n\xe9,c\nd,e\n", 2, [(3, "not UTF-8")]),
    "NUL": (b"text,label\na,b\nc\x00,d\ne,f\n", 2, [(3, "NUL")]),
    "lines within cells": (b'text,label\r\n"a\r\nb",c\r\nd\r\n', 1, [(4, "1 cell where")]),
    "blank lines": (b"text,label\n\na,b\n\n\nc\n", 1, [(6, "1 cell where")]),
    "a byte order mark": (b"\xef\xbb\xbftext,label\na,b\n", 1, []),
}


def test_tables(tmp_path: Path, tried: Callable[..., None]) -> None:
    bad: Bad = []
    for number, (content, _, found) in enumerate(TABLES.values()):
        (tmp_path / f"{number}.csv").write_bytes(content)
        bad += [(f"{number}.csv", line, part) for line, part in found]
    tried("csv: {path: '?.csv'}", sum(good for _, good, _ in TABLES.values()), bad)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (b'"c,d', "close a cell that a quotation mark opens, and write one within it twice"),
        (b'"c"x,d', "close a cell that a quotation mark opens, and write one within it twice"),
        (b"\xe9,c", "iconv -f WINDOWS-1252 -t UTF-8"),
    ],
)
def test_a_line_of_a_table_that_is_no_row_says_what_to_do(tmp_path: Path, line: bytes, hint: str) -> None:
    (tmp_path / "x.csv").write_bytes(b"text,label\n" + line + b"\n")
    (found,) = (one for one in tables.csv.build({"path": str(tmp_path / "x.csv")}).read() if hasattr(one, "hint"))
    assert hint in found.hint


HEADERS = {
    "empty": (b"", "empty"),
    "no name": (b"text,,label\na,b,c\n", "no name"),
    "the same name twice": (b"text,label,text\na,b,c\n", "two columns"),
    "our own name": (b"text,label,_row\na,b,c\n", "ftspec's own"),
    "UTF-16": ("text,label\na,b\n".encode("utf-16"), "UTF-16"),
}


def test_headers(tmp_path: Path, tried: Callable[..., None]) -> None:
    (tmp_path / "x.csv").write_bytes(b"text,label\nx,y\n")
    for number, (content, _) in enumerate(HEADERS.values()):
        (tmp_path / f"{number}.csv").write_bytes(content)
    tried("csv: {path: '?.csv'}", 1, [(f"{n}.csv", 1, part) for n, (_, part) in enumerate(HEADERS.values())])


def test_values_that_are_not_of_their_type(tmp_path: Path, tried: Callable[..., None]) -> None:
    cells = ["1", "x", "1e999", "1_000", "", "99999999999999999999999", "0x10", "1.5"]
    (tmp_path / "x.csv").write_bytes(("n,text,label\n" + "".join(f"{cell},x,y\n" for cell in cells)).encode())
    tried("csv: {path: x.csv, types: {n: number}}", 4, [("x.csv", line, "'n'") for line in (3, 4, 5, 8)])


def test_deep_json_in_a_table(tmp_path: Path, tried: Callable[..., None]) -> None:
    content = b"text,label\n[1],y\n" + deep(100_000) + b',y\n"{""a"": 1e999}",y\n[2],y\n'
    (tmp_path / "x.csv").write_bytes(content)
    tried("csv: {path: x.csv, types: {text: json}}", 2, [("x.csv", 3, "'text'"), ("x.csv", 4, "'text'")])


COLUMNS: dict[str, pa.Array] = {
    "dictionary": pa.array(["x", "y"]).dictionary_encode(),
    "decimal": pa.array([decimal.Decimal("1.50"), decimal.Decimal("-12.00")]),
    "large text": pa.array(["x", "y"], pa.large_string()),
    "view": pa.array(["x", "y"], pa.string_view()),
    "struct": pa.array([{"a": {"b": [1]}}, {"a": None}]),
    "list": pa.array([["x"], []]),
    "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "nanoseconds": pa.array([1_700_000_000_123_456_789, 1], pa.timestamp("ns", "UTC")),
    "day": pa.array([datetime.date(2026, 1, 1), datetime.date(1, 1, 1)]),
    "duration": pa.array([1_500, 2], pa.duration("us")),
    "time": pa.array([1, 2], pa.time64("ns")),
    "half": pa.array([1.5, 2.5], pa.float16()),
    "unsigned": pa.array([2**64 - 1, 0], pa.uint64()),
    "nothing": pa.nulls(2),
}


def write_parquet(path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"], "odd": column}), path, store_schema=True)


def test_odd_columns_of_parquet_are_read(tmp_path: Path, tried: Callable[..., None]) -> None:
    for name, column in COLUMNS.items():
        write_parquet(tmp_path / f"{name}.parquet", column)
    tried("parquet: {path: '*.parquet'}", 2 * len(COLUMNS), [])


def test_what_json_cannot_hold(tmp_path: Path, tried: Callable[..., None]) -> None:
    """Arrow checks no encoding when it reads Parquet, and has days that no calendar of Python's has."""
    text = pa.StringArray.from_buffers(2, pa.array([0, 2, 4], pa.int32()).buffers()[1], pa.py_buffer(b"ok\xff\xfe"))
    far = pa.array([10**12, 0], pa.timestamp("s"))
    for name, column in {"a": pa.array([b"\xff\xfe", b"ok"]), "b": text, "c": far}.items():
        write_parquet(tmp_path / f"{name}.parquet", column)
    bad = [
        ("a.parquet", 1, "'odd' holds bytes that are no text"),
        ("b.parquet", 2, "'odd' holds text that is not UTF-8"),
        ("c.parquet", 1, "'odd' holds a value that JSON has no text for"),
    ]
    tried("parquet: {path: '?.parquet'}", 3, bad)
    tried("parquet: {path: '?.parquet', columns: [label, text]}", 6, [])
    lacks = [(f"{name}.parquet", 1, "no column 'txt' is in the file; it has 'text', 'label', 'odd'") for name in "abc"]
    tried("parquet: {path: '?.parquet', columns: [txt]}", 0, lacks)


def test_messages_in_parquet(tmp_path: Path, tried: Callable[..., None]) -> None:
    pq.write_table(pa.table({"messages": [SAID, SAID]}), tmp_path / "x.parquet")
    pq.write_table(pa.table({"messages": [[1], [2]]}), tmp_path / "y.parquet")
    tried("parquet: {path: '?.parquet'}", 2, [("y.parquet", 1, "message 1"), ("y.parquet", 2, "message 1")], form="")


def test_damaged_parquet_files(tmp_path: Path, tried: Callable[..., None]) -> None:
    write_parquet(tmp_path / "a.parquet", pa.array([1, 2]))
    whole = (tmp_path / "a.parquet").read_bytes()
    broken = {"b": whole[:-20], "c": whole[:20] + b"\xff" * 60 + whole[80:], "d": b"", "e": GOOD}
    for name, content in broken.items():
        (tmp_path / f"{name}.parquet").write_bytes(content)
    bad = [(f"{name}.parquet", 1, "not a Parquet file that can be read") for name in broken]
    tried("parquet: {path: '?.parquet'}", 2, bad)


def test_nothing_to_read(tmp_path: Path, plan: Callable[..., tuple[int, str, str]]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "blank.jsonl").write_bytes(b"\n \n\r\n")
    for path in ("empty", "empty.jsonl", "blank.jsonl", "gone.jsonl", "gone/*.jsonl"):
        code, _, err = plan(f"jsonl: {{path: {path}}}", "fail", FORM)
        assert code == 1, path
        assert re.search("no row is left|no file matches|no such file", err), err


def test_folders_and_links_among_files(tmp_path: Path, tried: Callable[..., None]) -> None:
    (tmp_path / "in" / "folder.jsonl").mkdir(parents=True)
    (tmp_path / "in" / "folder.jsonl" / "deep.jsonl").write_bytes(GOOD)
    (tmp_path / "in" / "a.jsonl").write_bytes(GOOD)
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    tried("jsonl: {path: in}", 2, [])
    tried("jsonl: {path: 'in/*.jsonl'}", 1, [])
    tried("jsonl: {path: in/folder.jsonl}", 1, [])


@pytest.mark.parametrize("path", ["loop.jsonl", "gone.jsonl"])
def test_a_link_to_nothing(tmp_path: Path, plan: Callable[..., tuple[int, str, str]], path: str) -> None:
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    code, _, err = plan(f"jsonl: {{path: {path}}}", "fail", FORM)
    assert code == 1
    assert path in err


@pytest.mark.parametrize("path", ["'*.jsonl'", "."])
@pytest.mark.parametrize("target", [".git/annex/objects/gone", "y.jsonl"])
def test_a_link_to_nothing_among_other_files(
    tmp_path: Path, plan: Callable[..., tuple[int, str, str]], path: str, target: str
) -> None:
    """What git annex and DVC leave of a file that was not fetched: less data would be used, and nobody told."""
    (tmp_path / "x.jsonl").write_bytes(GOOD)
    (tmp_path / "y.jsonl").symlink_to(target)
    code, _, err = plan(f"jsonl: {{path: {path}}}", "fail", FORM)
    assert code == 1
    assert "y.jsonl is a link to nothing" in err
    assert "git annex get" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path, plan: Callable[..., tuple[int, str, str]]) -> None:
    (tmp_path / "x.jsonl").write_bytes(GOOD)
    (tmp_path / "x.jsonl").chmod(0)
    code, _, err = plan("jsonl: {path: x.jsonl}", "fail", FORM)
    assert code == 1
    assert "x.jsonl" in err
    assert "Permission denied" in err


@pytest.mark.parametrize("change", ["appended", "replaced", "gone"])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """What was made of it is not kept under the digest of what it was."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "x.jsonl"
    (tmp_path / "spec.yaml").write_text(SPEC.format(source="jsonl: {path: x.jsonl}", on_error="fail", form=FORM))
    prepare = pipeline.prepare

    def meanwhile(*arguments: Any) -> Any:
        {
            "appended": lambda: file.open("ab").write(row(2)),
            "replaced": lambda: file.write_bytes(row(2)),
            "gone": file.unlink,
        }[change]()
        return prepare(*arguments)

    file.write_bytes(row(1) + b"\n")
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "prepare", meanwhile)
        assert guard.run(["run", "spec.yaml"]) == 1
    err = capsys.readouterr().err
    assert re.search("x.jsonl: changed while it was read" if change != "gone" else "no file matches .*x.jsonl", err), (
        err
    )
    assert not list(tmp_path.glob(".ftspec/steps/*"))
    file.write_bytes(row(1) + b"\n")
    assert guard.run(["run", "spec.yaml"]) == 0
    assert list(tmp_path.glob(".ftspec/steps/*"))


def test_arrays(tmp_path: Path, tried: Callable[..., None]) -> None:
    """A row's line is its place in the array. What is no JSON ends it: nothing says where the next row begins."""
    bad = [
        b"3",
        b"null",
        b'{"text": NaN, "label": "x"}',
        row(_row=1),
        b'{"text": "\xff", "label": "x"}',
        b'{"text": ' + deep(50_000) + b"}",
    ]
    parts = ["must be an object", "must be an object", "not JSON", "ftspec's own", "not UTF-8", "nested too deeply"]
    whole = b"[" + b",\n".join(each for one in bad[:-1] for each in (GOOD, one)) + b"]"
    (tmp_path / "a.json").write_bytes(whole)
    (tmp_path / "b.json").write_bytes(b"[" + GOOD + b"," + bad[-1] + b"," + GOOD + b"]")
    (tmp_path / "c.json").write_bytes(b"[" + GOOD + b", {bad}, " + GOOD + b"]")
    (tmp_path / "d.json.gz").write_bytes(gzip.compress(b"[" + GOOD + b"]")[:-12])
    (tmp_path / "e.json").write_bytes(b"")
    (tmp_path / "f.json").write_bytes(GOOD)
    (tmp_path / "g.json").write_bytes(("[" + GOOD.decode() + "]").encode("utf-16"))
    found = [("a.json", 2 * place, part) for place, part in enumerate(parts[:-1], 1)]
    found += [("b.json", 2, parts[-1]), ("c.json", 2, "not JSON"), ("d.json.gz", 1, "breaks off")]
    found += [("e.json", 1, ""), ("f.json", 1, ""), ("g.json", 1, "")]
    tried("json: {path: '?.json*'}", 7, found)


TEXTS = "format:\n  chat: {user: '{{ text }}', assistant: 'x'}\n"


def test_texts(tmp_path: Path, tried: Callable[..., None]) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\xff\xfe\n\n \t\ntwo\r\nthr\x00ee\nfour\rfive")
    (tmp_path / "b.txt").write_bytes("one".encode("utf-16"))
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"one\ntwo\n")[:-9])
    bad = [("a.txt", 2, "not UTF-8"), ("a.txt", 6, "NUL"), ("b.txt", 1, "UTF-16"), ("d.txt.gz", 1, "breaks off")]
    tried("text: {path: '?.txt*'}", 3, bad, form=TEXTS)


def test_workbooks(tmp_path: Path, tried: Callable[..., None]) -> None:
    workbook(tmp_path / "a.xlsx", {"s": [["text", "label"], ["x", "y"], ["x", "y", "z"], ["x", "y"]]})
    whole = (tmp_path / "a.xlsx").read_bytes()
    broken = {"b": whole[: len(whole) // 2], "c": b"", "d": GOOD}
    for name, content in broken.items():
        (tmp_path / f"{name}.xlsx").write_bytes(content)
    bad = [("a.xlsx[s]", 3, "column C has a value"), *((f"{name}.xlsx", 1, "not a workbook") for name in broken)]
    tried("excel: {path: '?.xlsx'}", 2, bad)


def test_a_truncated_zip(tmp_path: Path, tried: Callable[..., None]) -> None:
    file = tmp_path / "x.jsonl.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.jsonl", MANY)
    file.write_bytes(file.read_bytes()[:200])
    (tmp_path / "y.jsonl").write_bytes(GOOD)
    tried("jsonl: {path: '[xy].jsonl*'}", 1, [(file.name, 1, "not a zip archive")])
