"""Sources: every malformed input is a finding with the right line, and the rows around it are kept."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ftspec import api, rows
from ftspec.builtin import files, sources

Row = tuple[int, dict[str, Any]]


def read(component: api.Component, **options: Any) -> tuple[list[Row], list[tuple[int, str]]]:
    """((line, row) of every row, (line, message) of every finding)."""
    kept: list[Row] = []
    found: list[tuple[int, str]] = []
    for got in component.build(options).read():
        if isinstance(got, api.Finding):
            found.append((got.line, got.message))
        else:
            batch, faults = rows.conform(got.batch)
            assert not faults
            assert batch.num_rows == len(got.lines) or not batch.num_columns
            kept += zip(got.lines, rows.to_dicts(batch) or [{}] * len(got.lines), strict=True)
    return kept, found


def jsonl(path: Path, content: bytes) -> tuple[list[Row], list[tuple[int, str]]]:
    path.write_bytes(content)
    return read(sources.jsonl, path=str(path))


GOOD = b'{"a": 1}'


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b"{bad", "not JSON"),
        (b'{"a": 1}{"a": 2}', "not JSON"),
        (b"[1, 2]", "must be an object"),
        (b"null", "must be an object"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": 1e999}', "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8 (byte 8 of the line)"),
        (b'{"a": "x\x00y"}', "not JSON"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b'{"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"_row": 1}', "ftspec's own"),
        (b'{"messages": "hi"}', "list of messages"),
        (b'{"messages": [3]}', "message 1 must be an object"),
        (b'{"tools": 3}', "list of tools"),
    ],
)
def test_a_bad_line_is_found_and_the_others_are_kept(tmp_path: Path, line: bytes, part: str) -> None:
    kept, found = jsonl(tmp_path / "x.jsonl", b"\n".join([GOOD, b"", line, b"  ", GOOD]))
    assert kept == [(1, {"a": 1}), (5, {"a": 1})]
    ((number, message),) = found
    assert number == 3
    assert part in message


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[{"a": 1}, {"a": 2}]', "an array of objects"),
        ('[\n{"a": 1},\n{"a": 2}\n]\n', "an array of objects"),
        ('\n[{"a": 1},\n {"a": 2}]\n', "an array of objects"),
        ('[\n  {\n    "a": 1\n  }\n]\n', "an array of objects"),
        ('{\n  "a": 1\n}\n{\n  "a": 2\n}\n', "over several lines"),
    ],
)
def test_json_that_is_no_lines_is_told_once(tmp_path: Path, text: str, part: str) -> None:
    """With `on_error: skip` it was the last object of an array that was trained on."""
    kept, ((line, message),) = jsonl(tmp_path / "x.jsonl", text.encode())
    assert (kept, line, part in message) == ([], 1, True)


@pytest.mark.parametrize(
    "text", ['[{"a": 1}]\n{"a": 2}', '[\n{"a": 2}', '{\n{"a": 2}', '[1]\n{"a": 2}', '[3, 4]\n[5]\n{"a": 2}']
)
def test_lines_after_a_broken_first_one_are_kept(tmp_path: Path, text: str) -> None:
    kept, found = jsonl(tmp_path / "x.jsonl", text.encode())
    last = text.count("\n") + 1
    assert (kept, [line for line, _ in found]) == ([(last, {"a": 2})], list(range(1, last)))


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ('{"ä": "ö" "b": 2}', 11, "not JSON: expected ',' or '}'"),
        ('{"a": "ö",}', 11, "not JSON: trailing comma in object"),
        ("{'a': 1}", 2, "not JSON: object keys must be strings"),
        ('{"ä": nul}', 7, "not JSON: invalid character"),
        ('{"ä": NaN}', 7, "not JSON: invalid character"),
        ('{"a": 1} {"a": 2}', 10, "not JSON: trailing characters"),
        ('{"a": 1},', 9, "not JSON: trailing characters"),
        ('{"a": "ö\0"}', 9, "not JSON: a NUL byte"),
        ('{"a": "ö\tx"}', 9, "not JSON: a control character that is not escaped"),
        ("\0\0\0", 1, "not JSON: a NUL byte"),
        ('{"a": "ö', 9, "not JSON: the line breaks off"),
        ('{"a": "x \\ud83d"}', 10, "not JSON: half of a surrogate pair"),
        ('{"a": "\\ud83d\\u0041"}', 8, "not JSON: half of a surrogate pair"),
        ('{"\\udead": nul', 3, "not JSON: half of a surrogate pair"),
        ('{"a": "\\q"}', 9, "not JSON: invalid escape"),
        ('{"a": "\\u12"}', 12, "not JSON: invalid character in unicode escape"),
        ('{"a": trué}', 7, "not JSON: invalid character"),
        ('{"a": 日本}', 7, "not JSON: invalid character"),
        ('{"a": 1e999}', 0, "not JSON: Number out of range"),
        ("[1]", 0, "a row must be an object"),
    ],
)
def test_a_bad_line_is_told_with_its_column(tmp_path: Path, line: str, column: int, message: str) -> None:
    (tmp_path / "x.jsonl").write_text(f'{{"a": 1}}\n{line}\n', newline="")
    got = [*sources.jsonl.build({"path": str(tmp_path / "x.jsonl")}).read()]
    (found,) = (each for each in got if isinstance(each, api.Finding))
    assert (found.line, found.column) == (2, column)
    assert found.message.startswith(message)
    assert found.place == str(tmp_path / "x.jsonl") + (f":2:{column}" if column else ":2")


def test_bytes_that_are_no_text_are_told_with_their_column(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes('{"ä": "ö'.encode() + b'\xff"}')
    (found,) = sources.jsonl.build({"path": str(tmp_path / "x.jsonl")}).read()
    assert isinstance(found, api.Finding)
    assert (found.column, found.message) == (9, "not UTF-8 (byte 11 of the line)")


def test_an_array_is_told_where_it_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[{"a": 1},\n  {"b": "ä", "a": NaN},\n {"c": "\xff"}, {"c": 1},\n{"d" 1}]'
    expected = ["line 2, column 19", "line 4, column 6"]
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    for block in (4, 1 << 22):
        monkeypatch.setattr("ftspec.builtin.files.BLOCK", block)
        found = [message for _, message in read(sources.json, path=str(tmp_path / "x.json"))[1]]
        assert [message.partition("(at ")[2] for message in found] == [f"{place} of the file)" for place in expected]


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r\n', [1, 2]),
        (b'{"a": 123456789012345678901234567890}', [123456789012345678901234567890]),
        (b'{"a": "\\u0000"}', ["\x00"]),
        (b'{"a": 1}\n{"a": "x"}\n{"a": [1]}', [1, "x", [1]]),
        (b'{"a": "2026-01-01T00:00:00"}', ["2026-01-01T00:00:00"]),
    ],
)
def test_unusual_lines_are_rows(tmp_path: Path, content: bytes, values: list[Any]) -> None:
    kept, found = jsonl(tmp_path / "x.jsonl", content)
    assert ([row["a"] for _, row in kept], found) == (values, [])


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    for content in (b"", b"\n\n"):
        kept, ((line, message),) = jsonl(tmp_path / "x.jsonl", content)
        assert (kept, line, "the file is empty" in message) == ([], 1, True)
    (tmp_path / "x.txt").touch()
    ((_, message),) = read(sources.text, path=str(tmp_path / "x.txt"))[1]
    assert "the file is empty" in message


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("x.jsonl", "[1]\n", "write each row as"),
        ("x.jsonl", "{a: 1}\n", "JSON encoder"),
        ("x.json", '{"a": 1}', "say with `pointer`"),
        ("x.csv", "", "header line"),
        ("x.jsonl", '{"a": "b\0"}\n', "what a crash or a full disk has left"),
        ("x.jsonl", '{"a": "b\tc"}\n', "\\t for a tab"),
        ("x.jsonl", '{"a": "\\ud83d"}\n', "both halves"),
        ("x.csv", "a\nb\0\n", "remove the byte"),
        ("x.csv", '{"a": 1}\n', "whether this is a table at all"),
        ("x.parquet", "PAR", "write it anew"),
    ],
)
def test_what_is_no_row_says_what_to_do(tmp_path: Path, name: str, content: str, hint: str) -> None:
    (tmp_path / name).write_text(content)
    component = sources.COMPONENTS[name[2:]]
    (found,) = list(component.build({"path": str(tmp_path / name)}).read())
    assert isinstance(found, api.Finding)
    assert hint in found.hint


def test_utf16_is_one_finding(tmp_path: Path) -> None:
    kept, found = jsonl(tmp_path / "x.jsonl", '{"a": 1}\n{"a": 2}\n'.encode("utf-16"))
    assert (kept, found) == ([], [(1, "the file is UTF-16")])


def test_lines_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 64)
    content = b"\n".join(b'{"a": "%s"}' % (b"x" * size) for size in (1, 5000, 3, 64, 63))
    kept, found = jsonl(tmp_path / "x.jsonl", content)
    assert ([len(row["a"]) for _, row in kept], found) == ([1, 5000, 3, 64, 63], [])
    assert [line for line, _ in kept] == [1, 2, 3, 4, 5]


MANY = b"".join(b'{"a": %d}\n' % number for number in range(50_000))


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_compressed_files(tmp_path: Path, ending: str, pack: Any) -> None:
    packed = pack(MANY)
    kept, found = jsonl(tmp_path / f"x.jsonl{ending}", packed)
    assert (len(kept), kept[-1], found) == (50_000, (50_000, {"a": 49_999}), [])


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_a_truncated_archive_keeps_what_was_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, pack: Any
) -> None:
    monkeypatch.setattr(files, "BLOCK", 4096)
    packed = pack(MANY)
    kept, found = jsonl(tmp_path / f"x.jsonl{ending}", packed[: len(packed) * 3 // 4])
    assert len(kept) > 1000
    ((line, message),) = found
    assert line == len(kept) + 1
    assert f"breaks off after line {len(kept)}" in message


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    kept, found = jsonl(tmp_path / "x.jsonl.gz", b"plain text")
    assert kept == []
    assert [line for line, _ in found] == [1]


def test_globs_and_folders_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "deep/c.jsonl", "other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"a": name}))

    def names(path: str) -> list[Any]:
        return [row["a"] for _, row in read(sources.jsonl, path=str(tmp_path / path))[0]]

    assert names("*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names("**/*.jsonl") == ["a.jsonl", "b.jsonl", "deep/c.jsonl"]
    assert names(".") == ["a.jsonl", "b.jsonl", "deep/c.jsonl"]
    with pytest.raises(api.FtspecError, match="no file matches"):
        names("none-*.jsonl")


def test_a_folder_that_is_called_like_a_glob_is_that_folder(tmp_path: Path) -> None:
    for name in ("run[1]*/a.jsonl", "run[1]*/b[2].jsonl", "run1/c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"a": name}))

    def names(path: str) -> list[Any]:
        return [row["a"] for _, row in read(sources.jsonl, path=str(tmp_path / path))[0]]

    assert names("run[1]*/*.jsonl") == ["run[1]*/a.jsonl", "run[1]*/b[2].jsonl"]
    assert names("run[1]*/b[2].jsonl") == ["run[1]*/b[2].jsonl"]
    assert names("run[1]/*.jsonl") == ["run1/c.jsonl"]


# ---- csv


def csv(path: Path, content: str | bytes, **options: Any) -> tuple[list[Row], list[tuple[int, str]]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(sources.csv, path=str(path), **options)


def test_cells_are_text(tmp_path: Path) -> None:
    kept, found = csv(tmp_path / "x.csv", "zip,price,note\n00700,1.50,\n")
    assert (kept, found) == ([(2, {"zip": "00700", "price": "1.50", "note": ""})], [])


def test_types_are_asked_for(tmp_path: Path) -> None:
    types = {"n": "integer", "x": "number", "b": "boolean", "j": "json"}
    table = 'n,x,b,j,t\n3,1.5,Yes,"[1, 2]",3\n,,,,\nx,1,no,1,a\n1,inf,no,1,b\n1,1,maybe,1,c\n1,1,no,{,d\n1_0,1,no,1,e\n'
    kept, found = csv(tmp_path / "x.csv", table, types=types)
    assert kept == [(2, {"n": 3, "x": 1.5, "b": True, "j": [1, 2], "t": "3"}), (3, {"t": ""})]
    assert [(line, message.split("'")[1]) for line, message in found] == [
        (4, "n"),
        (5, "x"),
        (6, "b"),
        (7, "j"),
        (8, "n"),
    ]


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    table = 'a,b\n"one\ntwo",1\n\nragged\n"x,y","say ""hi"""\n1,2,3\nlast,5\n'
    kept, found = csv(tmp_path / "x.csv", table)
    assert kept == [
        (2, {"a": "one\ntwo", "b": "1"}),
        (6, {"a": "x,y", "b": 'say "hi"'}),
        (8, {"a": "last", "b": "5"}),
    ]
    assert found == [(5, "1 cell where the header has 2"), (7, "3 cells where the header has 2")]


def test_bad_bytes_and_quotes_in_a_table(tmp_path: Path) -> None:
    kept, found = csv(tmp_path / "x.csv", b'a,b\n1,\xff\n"2"x,3\n4,5\n6,"open\n7,8\n')
    assert [line for line, _ in kept] == [4]
    assert [line for line, _ in found] == [2, 3, 5]
    assert found[0][1] == "not UTF-8"
    assert "lines 5 to 6 are in it" in found[2][1]


def test_other_delimiters_and_line_ends(tmp_path: Path) -> None:
    kept, _ = csv(tmp_path / "x.csv", "\ufeffa;b\r\n1;2\r\n", delimiter=";")
    assert kept == [(2, {"a": "1", "b": "2"})]


@pytest.mark.parametrize(("name", "options"), [("x.tsv", {}), ("x.tsv.gz", {}), ("x.csv", {"delimiter": "\t"})])
def test_cells_of_a_tsv_are_parted_by_tabs(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    """With commas it would be one column whose name holds a tab, and no fault at all."""
    text = b"a\tb\n1\t2\n"
    kept, found = csv(tmp_path / name, gzip.compress(text) if "gz" in name else text, **options)
    assert (kept, found) == ([(2, {"a": "1", "b": "2"})], [])


@pytest.mark.parametrize(
    ("table", "part"),
    [
        ("", "is empty"),
        ("a,a\n1,2\n", "two columns are named 'a'"),
        ("a,\n1,2\n", "column 2 has no name"),
        ("_row,b\n1,2\n", "ftspec's own"),
    ],
)
def test_headers_that_cannot_be_used(tmp_path: Path, table: str, part: str) -> None:
    kept, found = csv(tmp_path / "x.csv", table)
    assert kept == []
    assert [(line, part in message) for line, message in found] == [(1, True)]


@pytest.mark.parametrize(
    ("table", "line", "hint"),
    [
        ("a;b\n1,5;2\n", 2, 'say `delimiter: ";"`'),
        ("a\tb\n1,5\t2\n", 2, 'say `delimiter: "\\t"`'),
        ("sep=;\na;b\n1,5;2\n", 3, "that line tells Excel alone"),
        (",a\n0,1\n", 1, "index=False"),
        ("sep=,\na,b\n1,2\n", 1, "that line tells Excel alone"),
        ("a,b,\n1,2,\n", 1, "take away the delimiter"),
        ("a,b\n1,2,3\n", 2, "between quotation marks"),
        ("a,a\n1,2\n", 1, "rename one"),
    ],
)
def test_what_to_do_about_a_table_of_another_making(table: str, line: int, hint: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(table)
    found = [one for one in sources.csv.build({"path": str(tmp_path / "x.csv")}).read() if isinstance(one, api.Finding)]
    assert (found[0].line, hint in found[0].hint) == (line, True), found


def test_every_cell_that_is_of_another_type_is_named(tmp_path: Path) -> None:
    types = {"n": "integer", "x": "number", "b": "boolean", "j": "json"}
    _, found = csv(tmp_path / "x.csv", 'n,x,b,j\n1.5,"1,5",ja,{\n1,nan,1,1\n', types=types)
    assert found == [
        (
            2,
            "column 'n' is not a whole number, column 'x' is not a number, column 'b' is not true or false, "
            "column 'j' is not JSON, as `types` says",
        ),
        (3, "column 'x' is not a number, as `types` says"),
    ]


def test_what_to_do_about_a_number_with_a_comma(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n;x\n1,5;1,5\n7;seven\n")
    built = sources.csv.build({"path": str(tmp_path / "x.csv"), "delimiter": ";", "types": {"x": "number"}})
    hints = [one.hint for one in built.read() if isinstance(one, api.Finding)]
    assert ["have the step `replace` write them so" in hint for hint in hints] == [True, False]


def test_types_of_a_column_that_is_not_there(tmp_path: Path) -> None:
    _, ((line, message),) = csv(tmp_path / "x.csv", "a\n1\n", types={"n": "integer"})
    assert (line, "names column 'n'" in message) == (1, True)


def test_a_large_table_in_batches(tmp_path: Path) -> None:
    kept, _ = csv(tmp_path / "x.csv.gz", gzip.compress(b"a\n" + b"1\n" * 10_000))
    assert [line for line, _ in kept] == list(range(2, 10_002))


# ---- parquet and examples


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2, None], "m": [[{"role": "user", "content": "q"}], None, []]})
    pq.write_table(table.rename_columns(["a", "messages"]), tmp_path / "x.parquet")
    kept, found = read(sources.parquet, path=str(tmp_path / "x.parquet"))
    assert found == []
    assert kept == [
        (1, {"a": 1, "messages": [{"role": "user", "content": "q"}]}),
        (2, {"a": 2}),
        (3, {"messages": []}),
    ]


def test_times_as_pandas_writes_them_are_text(tmp_path: Path) -> None:
    moment = 1_700_000_000_123_456_789
    pq.write_table(pa.table({"at": pa.array([moment], pa.timestamp("ns"))}), tmp_path / "x.parquet")
    kept, _ = read(sources.parquet, path=str(tmp_path / "x.parquet"))
    assert kept == [(1, {"at": "2023-11-14T22:13:20.123456"})]


def test_an_index_that_pandas_wrote_is_no_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["x", "y"], "__index_level_0__": [3, 7]}), tmp_path / "x.parquet")
    assert read(sources.parquet, path=str(tmp_path / "x.parquet")) == ([(1, {"a": "x"}), (2, {"a": "y"})], [])
    kept, _ = read(sources.parquet, path=str(tmp_path / "x.parquet"), columns=["__index_level_0__"])
    assert kept == [(1, {"__index_level_0__": 3}), (2, {"__index_level_0__": 7})]


def test_parquet_with_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1, 2]), pa.array([3, 4])], names=["a", "a"])
    pq.write_table(table, tmp_path / "x.parquet")
    kept, ((_, message),) = read(sources.parquet, path=str(tmp_path / "x.parquet"))
    assert (kept, message) == ([], "two columns are named 'a'")


def test_a_file_that_is_not_parquet(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no")
    kept, ((_, message),) = read(sources.parquet, path=str(tmp_path / "x.parquet"))
    assert kept == []
    assert "not a Parquet file" in message


def test_examples_in_the_spec() -> None:
    kept, found = read(sources.examples, rows=[{"a": 1}, {"messages": 3}, {"a": "x"}])
    assert kept == [(1, {"a": 1}), (3, {"a": "x"})]
    assert [line for line, _ in found] == [2]
