"""JSON arrays, text, workbooks, databases, datasets: read as they are, and every fault a finding at its place."""

from __future__ import annotations

import datetime
import io
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ftspec import api, rows
from ftspec.builtin import files, sources
from ftspec.builtin.sources import databases, hub
from ftspec.cli import guard

Found = list[tuple[str, int, str]]


def read(component: api.Component, **options: Any) -> tuple[list[tuple[int, dict[str, Any]]], Found]:
    """((line, row) of every row, (file, line, message) of every finding that is an error)."""
    kept: list[tuple[int, dict[str, Any]]] = []
    found: Found = []
    for got in component.build(options).read():
        if isinstance(got, api.Finding):
            found += [(got.file, got.line, got.message)] if got.severity == "error" else []
        else:
            batch, faults = rows.conform(got.batch)
            assert not faults
            kept += zip(got.lines, rows.to_dicts(batch), strict=True)
    return kept, found


# ---- json


def array(path: Path, content: str | bytes, **options: Any) -> tuple[list[Any], list[tuple[int, str]]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    kept, found = read(sources.json, path=str(path), **options)
    return kept, [(line, message) for _, line, message in found]


def test_an_array_of_objects(tmp_path: Path) -> None:
    values = [{"a": 1}, {"b": 'x ] } " ü'}, {"c": [{"d": None}], "e": 1.5}]
    for text in (json.dumps(values), json.dumps(values, indent=2), "\ufeff" + json.dumps(values)):
        kept, found = array(tmp_path / "x.json", text)
        assert found == []
        assert [line for line, _ in kept] == [1, 2, 3]
        assert kept[1][1] == values[1]
    assert array(tmp_path / "x.json", " [ ] ") == ([], [])


@pytest.mark.parametrize("block", [1, 2, 7, 64])
def test_an_array_cut_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(files, "BLOCK", block)
    values = [{"a": 12345, "ü": '\u4e2d\\"' * 40, "t": True, "f": -1.5e-7}, {"a": None, "b": [1, [2, {}]]}, {"a": "z"}]
    kept, found = array(tmp_path / "x.json", json.dumps(values, ensure_ascii=False, indent=1))
    assert found == []
    assert [row.get("ü") for _, row in kept] == [values[0]["ü"], None, None]
    kept, found = array(tmp_path / "x.json", json.dumps({"m": {"n": 1}, "d/e": {"f": values}}), pointer="/d~1e/f")
    assert (len(kept), found) == (3, [])


@pytest.mark.parametrize(
    ("text", "pointer", "lines", "fault"),
    [
        ('[{"a": 1}, 3, {"a": 2}]', "", [1, 3], (2, "must be an object")),
        (b'[{"a": 1}, {"a": "\xff"}, {"a": 2}]', "", [1, 3], (2, "not UTF-8 (byte 8 of the row)")),
        ('[{"a": 1}, {"a": "\\ud800"}, {"a": 2}]', "", [1, 3], (2, "not JSON")),
        ('[{"a": 1}, {"a": ' + "9" * 5000 + '}, {"a": 2}]', "", [1, 3], (2, "not JSON: Integer value out of range")),
        ('{"\\ud800": 1, "x": [{"a": 1}]}', "/x", [], (1, "a name before what `pointer` names is not JSON")),
        (b'{"\xff": 1, "x": [{"a": 1}]}', "/x", [], (1, "not UTF-8 (byte 2 of the name)")),
        ('[{"a": 1}, {"a": NaN}, {"a": 2}]', "", [1, 3], (2, "not JSON")),
        ('[{"a": 1}, {"a": 1e999}, {"a": 2}]', "", [1, 3], (2, "not JSON")),
        ('[{"a": 1},\n {"a" 2}, {"a": 3}]', "", [1], (2, "at line 2, column 7 of the file")),
        ('[{"a": 1}, {"a": "open]', "", [1], (2, "nterminated string")),
        ('[{"a": 1}', "", [1], (2, "the array has no end")),
        ('[{"a": 1}] [', "", [1], (2, "more after the array")),
        ('[{"a": 1}, {"a": ' + "[" * 200_000 + "]" * 200_000 + "}]", "", [1], (2, "nested too deeply")),
        ("", "", [], (1, "empty")),
        ('{"a": 1}\n{"a": 2}', "", [], (1, "these are JSON lines")),
        ('{"data": []}', "", [], (1, "an object, and no array")),
        ('{"data": []}', "/items", [], (1, "has no 'items'")),
        ('{"data": 3}', "/data", [], (1, "`pointer` does not lead to a list")),
        ('{"data": 3}', "data", [], (1, "must begin with a slash")),
        ("[[]]", "/x", [], (1, "no object that could hold 'x'")),
    ],
)
def test_arrays_that_are_none(
    tmp_path: Path, text: str | bytes, pointer: str, lines: list[int], fault: tuple[int, str]
) -> None:
    kept, found = array(tmp_path / "x.json", text, pointer=pointer)
    ((line, message),) = found
    assert [line for line, _ in kept] == lines
    assert (line, fault[1] in message) == (fault[0], True), message


def test_a_large_array_does_not_stand_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr(files, "BLOCK", files.BLOCK // 2)
    with (tmp_path / "x.json").open("w") as file:
        file.write("[" + ",".join(json.dumps({"a": "x" * 2000, "n": number}) for number in range(16_000)) + "]")
    tracemalloc.start()
    count = sum(len(got.lines) for got in sources.json.build({"path": str(tmp_path / "x.json")}).read())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 16_000
    assert peak < (tmp_path / "x.json").stat().st_size


# ---- text

PROSE = b"One.\r\nTwo.\n\n \nThree,\nstill three.\n"


@pytest.mark.parametrize(
    ("per", "expected"),
    [
        ("line", [(1, "One."), (2, "Two."), (5, "Three,"), (6, "still three.")]),
        ("paragraph", [(1, "One.\nTwo."), (5, "Three,\nstill three.")]),
        ("file", [(1, "One.\nTwo.\n\n \nThree,\nstill three.")]),
    ],
)
def test_text(tmp_path: Path, per: str, expected: list[tuple[int, str]]) -> None:
    (tmp_path / "x.txt").write_bytes(PROSE)
    kept, found = read(sources.text, path=str(tmp_path / "x.txt"), per=per)
    assert ([(line, row["text"]) for line, row in kept], found) == (expected, [])


def test_text_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"good\n\xff\nalso good")
    kept, ((_, line, message),) = read(sources.text, path=str(tmp_path / "x.txt"), column="t")
    assert kept == [(1, {"t": "good"}), (3, {"t": "also good"})]
    assert (line, message) == (2, "not UTF-8")
    _, ((_, _, message),) = read(sources.text, path=str(tmp_path / "x.txt"), column="_row")
    assert "ftspec's own" in message


# ---- excel

SHEET = """<?xml version="1.0" encoding="UTF-8"?>
<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{}</sheetData></worksheet>"""
NAMES = "http://schemas.openxmlformats.org"


def workbook(path: Path, sheets: dict[str, list[list[Any]]]) -> str:
    """A workbook as ECMA-376 describes it, the least that is one."""
    kinds = (
        f'<Types xmlns="{NAMES}/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/>'
    )
    kinds += (
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>'
    )
    office = f"{NAMES}/officeDocument/2006/relationships"
    relations = f'<Relationships xmlns="{NAMES}/package/2006/relationships">{{}}</Relationships>'
    link = f'<Relationship Id="r{{}}" Type="{office}/{{}}" Target="{{}}"/>'
    listed = "".join(f'<sheet name="{name}" sheetId="{at}" r:id="r{at}"/>' for at, name in enumerate(sheets, 1))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", kinds)
        archive.writestr("_rels/.rels", relations.format(link.format(1, "officeDocument", "xl/workbook.xml")))
        main = f"{NAMES}/spreadsheetml/2006/main"
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>'
        )
        links = "".join(link.format(at, "worksheet", f"worksheets/s{at}.xml") for at in range(1, len(sheets) + 1))
        archive.writestr("xl/_rels/workbook.xml.rels", relations.format(links))
        for at, table in enumerate(sheets.values(), 1):
            body = "".join(
                f'<row r="{number}">{"".join(cell(value, number, col) for col, value in enumerate(row))}</row>'
                for number, row in enumerate(table, 1)
            )
            archive.writestr(f"xl/worksheets/s{at}.xml", SHEET.format(body))
    return str(path)


def cell(value: Any, row: int, column: int) -> str:
    place = f'r="{chr(65 + column)}{row}"'
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c {place} t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f"<c {place}><v>{value}</v></c>"
    return f'<c {place} t="inlineStr"><is><t>{value}</t></is></c>'


def test_a_sheet(tmp_path: Path) -> None:
    tables = {
        "first": [["no", "rows"]],
        "data": [["Report"], ["q", "n", "x", "ok"], ["a", 3, 1.5, True], [], ["b", None, 2, False]],
    }
    path = workbook(tmp_path / "x.xlsx", tables)
    kept, found = read(sources.excel, path=path, sheet="data", header=2)
    assert found == []
    assert kept == [(3, {"q": "a", "n": 3, "x": 1.5, "ok": True}), (5, {"q": "b", "x": 2, "ok": False})]
    assert read(sources.excel, path=path, sheet=1, header=2)[0] == kept
    assert read(sources.excel, path=path) == ([], [])


def test_a_column_may_be_called_by_a_number(tmp_path: Path) -> None:
    """A year above a column of figures is a number in the sheet, and 2020.0 is none."""
    path = workbook(tmp_path / "x.xlsx", {"s": [["q", 2020, 1.5], ["a", 3, 4]]})
    assert read(sources.excel, path=path) == ([(2, {"q": "a", "2020": 3, "1.5": 4})], [])


def test_cells_are_called_by_their_place_in_the_sheet(tmp_path: Path) -> None:
    """A reader gives the used part alone: what stands left of it and above it counts as well."""
    right: list[list[Any]] = [[], [], [None, "a", "b"], [None, "1", "2"], [None, "1", "2", "3"]]
    path = workbook(tmp_path / "x.xlsx", {"s": right, "t": [[], [None, None, "a", None, "b"], [None, None, "1"]]})
    kept, found = read(sources.excel, path=path)
    assert kept == [(4, {"a": "1", "b": "2"})]
    assert found == [(f"{path}[s]", 5, "column D has a value and no name in the header")]
    assert read(sources.excel, path=path, sheet="t")[1] == [(f"{path}[t]", 2, "cell D2 names no column")]


def test_sheets_that_cannot_be_used(tmp_path: Path) -> None:
    path = workbook(tmp_path / "x.xlsx", {"s": [["a", None, "c"], ["1"]], "t": [["a"], ["1", "2"]], "u": [["a", "a"]]})

    def fault(**options: Any) -> tuple[str, int, str]:
        _, (found,) = read(sources.excel, path=path, **options)
        return found

    assert fault() == (f"{path}[s]", 1, "cell B1 names no column")
    assert fault(sheet="t") == (f"{path}[t]", 2, "column B has a value and no name in the header")
    assert fault(sheet="u")[2] == "two columns are named 'a'"
    assert fault(sheet="none")[2] == "the workbook has no sheet 'none'; it has 's', 't', 'u'"
    assert fault(sheet=3)[2].startswith("the workbook has no sheet 3")
    assert fault(header=9)[1:] == (9, "the sheet has no row 9 that names the columns")
    (tmp_path / "x.xlsx").write_bytes(b"no workbook")
    assert "not a workbook" in fault()[2]


# ---- sql


@pytest.fixture
def orders(tmp_path: Path) -> str:
    path = tmp_path / "orders 50%.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("create table orders (id integer primary key, item text, price numeric, raw blob)")
        made = [(n, f"item {n}", n / 2, b"\xc3\xbc" if n % 2 else None) for n in range(1, 10_001)]
        base.executemany("insert into orders values (?, ?, ?, ?)", made)
    base.close()
    return str(path)


def test_rows_of_sqlite(orders: str) -> None:
    query = "select * from orders where id <= :most order by id"
    kept, found = read(sources.sql, database=orders, query=query, parameters={"most": 2})
    assert found == []
    assert kept == [
        (1, {"id": 1, "item": "item 1", "price": 0.5, "raw": "ü"}),
        (2, {"id": 2, "item": "item 2", "price": 1}),
    ]
    kept, _ = read(sources.sql, database=orders, query="select id from orders order by id")
    assert [line for line, _ in kept] == list(range(1, 10_001))


def test_a_database_is_only_read(orders: str) -> None:
    with pytest.raises(api.FtspecError, match="readonly"):
        read(sources.sql, database=orders, query="delete from orders returning id")
    assert len(read(sources.sql, database=orders, query="select id from orders order by id")[0]) == 10_000


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("select * from none order by 1", "no such table: none"),
        ("selct", "syntax error"),
        ("select id, id from orders order by 1", "two columns named 'id'"),
        ("select :missing", "missing"),
    ],
)
def test_queries_that_cannot_be_run(orders: str, query: str, part: str) -> None:
    with pytest.raises(api.FtspecError, match=part):
        read(sources.sql, database=orders, query=query)


def test_an_error_of_a_database_quotes_no_cell(orders: str) -> None:
    query = "select cast(x'534543524554ff' as text) as a order by 1"
    with pytest.raises(api.FtspecError) as caught:
        read(sources.sql, database=orders, query=query)
    assert "SECRET" not in caught.value.message and "OperationalError" in caught.value.message


def test_an_error_of_the_library_quotes_no_row() -> None:
    def opened() -> Any:
        int("SECRET of a row")

    (finding,) = hub._chunks(opened, "hf://x", "train")
    assert isinstance(finding, api.Finding)
    assert finding.message == "cannot be read after row 0: ValueError"


def test_half_a_file_of_the_hub_is_told_as_that() -> None:
    import pyarrow.parquet as pq

    def opened() -> Any:
        return pq.ParquetFile(io.BytesIO(b"PAR1 and half of the rest"))

    (finding,) = hub._chunks(opened, "hf://a/b", "train", "a/b")
    assert isinstance(finding, api.Finding)
    assert finding.message == "cannot be read after row 0: one of its files cannot be read (ArrowInvalid)"
    assert "whole on the hub" in finding.hint


def test_an_order_is_wanted(orders: str) -> None:
    source = sources.sql.build({"database": orders, "query": "select id from orders"})
    first = next(source.read())
    assert (first.severity, "no ORDER BY" in first.message) == ("warning", True)


def test_a_database_whose_log_is_not_merged(orders: str) -> None:
    base = sqlite3.connect(orders)
    base.execute("pragma journal_mode=wal")
    base.execute("insert into orders values (0, 'new', 1, null)")
    base.commit()
    with pytest.raises(api.DataError) as caught:
        read(sources.sql, database=orders, query="select id from orders order by id")
    assert "still in its log" in caught.value.findings[0].message
    base.close()


def test_places_that_do_not_go_together() -> None:
    options = {"query": "select 1", "url": "", "database": None}
    messages = [
        message
        for url, database in (("", None), ("postgresql://h/d", "x.sqlite"), ("sqlite:///x.sqlite", None))
        for _, message in databases.sql.rules[0]({**options, "url": url, "database": database})
    ]
    assert ["`database`" in message for message in messages] == [True, True, True]


def test_urls_that_cannot_be_used() -> None:
    for url, part in (
        ("no url", "not a SQLAlchemy URL"),
        ("nonsense://h/d", "no driver"),
        ("postgresql://me:s3cr3t", "not a SQLAlchemy URL"),
        ("postgresql://me:a@s3cr3t@h/d", "has an `@` too many"),
        ("postgresql://me:a@s3cr3t/b@h/d", "has an `@` too many"),
    ):
        with pytest.raises(api.FtspecError, match=part) as caught:
            read(sources.sql, url=url, query="select 1 order by 1")
        assert caught.value.hint
        assert caught.value.option == "url"
        assert "s3cr3t" not in str(caught.value)


SQL = """\
version: 1
name: of-a-database
sources:
  - sql:
      query: select nobody from orders order by 1
      database: orders.sqlite
format: {prompt_completion: {}}
provider: {simulated: {}}
model: some-model
"""


@pytest.mark.parametrize(
    ("line", "place", "said"),
    [
        ("database: orders.sqlite", "5:14", "no such column: nobody"),
        ("database: text.sqlite", "6:17", "file is not a database"),
        ("url: nonsense://h/d", "6:12", "no driver 'nonsense' is installed"),
        ("url: postgresql://me@127.0.0.1:9/d", "6:12", "connection failed"),
    ],
)
def test_what_is_wrong_with_a_database_is_told_at_the_option(
    tmp_path: Path, orders: str, line: str, place: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(orders, tmp_path / "orders.sqlite")
    (tmp_path / "text.sqlite").write_text("no database" * 100)
    spec = tmp_path / "spec.yaml"
    spec.write_text(SQL.replace("database: orders.sqlite", line))
    assert guard.run(["plan", str(spec), "-q"]) == 1
    err = capsys.readouterr().err
    assert f"spec.yaml:{place}: " in err and said in err


PASSWORD = "pa55w0rd@of/a?test#%41"
"""With what ends a password in an address, unless it is written as addresses have it."""


def _postgres() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    where = found[-1] if found else shutil.which("initdb")
    return Path(where).resolve().parent if where else None


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of its own, on a free port, owned by a user who is not root: its URL, with a password."""
    tools = _postgres()
    if tools is None:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("postgres")
    user: dict[str, Any] = {}
    if os.getuid() == 0:  # which PostgreSQL refuses to run as
        user = {"user": "nobody", "group": "nogroup"}
        shutil.chown(folder, "nobody", "nogroup")
        for parent in folder.parents:
            if parent.owner() == "root" and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run: dict[str, Any] = {"check": True, "capture_output": True, "cwd": folder, "timeout": 120, **user}
    data = folder / "data"
    subprocess.run(
        [tools / "initdb", "-D", data, "-U", "tester", "-A", "scram-sha-256", "--pwfile", folder / "password", "-N"],
        **run,
    )
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    subprocess.run(
        [tools / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"],
        **{**run, "capture_output": False, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL},
    )
    yield f"postgresql://tester:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"
    subprocess.run([tools / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **{**run, "check": False})


def test_rows_of_postgresql(postgres: str) -> None:
    query = """select n as id, 'text ' || n as t, n::numeric / 4 as price, date '2026-01-01' + n as day,
        jsonb_build_object('k', n) as j, n > 1 as ok, null as nothing
        from generate_series(1, :most) as n order by n"""
    kept, found = read(sources.sql, url=postgres, query=query, parameters={"most": 2})
    assert found == []
    price = kept[0][1].pop("price")
    assert float(price) == 0.25
    assert kept[0] == (1, {"id": 1, "t": "text 1", "day": "2026-01-02", "j": {"k": 1}, "ok": False})


def test_a_password_is_the_secret_as_it_is(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    url = f"postgresql://tester:${{secret:DB_PASSWORD}}@{postgres.rpartition('@')[2]}"
    kept, _ = read(sources.sql, url=api.resolve(url), query="select 1 as a order by 1")
    assert kept == [(1, {"a": 1})]


def test_postgresql_is_streamed(postgres: str) -> None:
    """A billion rows would never come if they were fetched first."""
    source = sources.sql.build({"url": postgres, "query": "select generate_series(1, 1000000000) as n --order by"})
    chunks = source.read()
    assert [len(next(chunks).lines) for _ in range(3)] == [files.BATCH_ROWS] * 3
    chunks.close()


def test_what_a_query_returns_is_its_fingerprint(postgres: str) -> None:
    def mark(**options: Any) -> str:
        return str(sources.sql.build({"url": postgres, "query": "select 1 as a order by 1", **options}).fingerprint())

    assert mark() == mark()
    assert mark() != mark(query="select 2 as a order by 1")
    assert mark(version="select 7") == mark(version="select 7", query="select 2 as a order by 1")


def test_nothing_secret_is_in_an_error(postgres: str) -> None:
    cases = [
        {"url": postgres.replace("pa55w0rd", "wr0ng-password"), "query": "select 1"},
        {"url": postgres.replace("127.0.0.1", "127.0.0.9"), "query": "select 1"},
        {"url": postgres, "query": "select * from none where x = :p", "parameters": {"p": "s3cret-value"}},
        {"url": postgres, "query": "select cast(:p as integer)", "parameters": {"p": "s3cret-value"}},
    ]
    for options in cases:
        with pytest.raises(api.FtspecError) as caught:
            read(sources.sql, **options)
        said = caught.value.message + caught.value.hint
        assert caught.value.option == ("query" if "none" in options["query"] or "cast" in options["query"] else "url")
        assert not [secret for secret in ("pa55w0rd", "wr0ng", "s3cret") if secret in said], said
        assert "postgresql database 'postgres'" in said


# ---- huggingface


def test_a_dataset_that_was_saved(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    values = {"q": ["a", "b", "c"], "at": [datetime.date(2026, 1, day) for day in (1, 2, 3)]}
    made = datasets.Dataset.from_dict(values)
    made.select([2, 0]).save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"train": made, "test": made.select([1])}).save_to_disk(str(tmp_path / "many"))
    kept, found = read(sources.huggingface, folder=str(tmp_path / "one"))
    assert (kept, found) == ([(1, {"q": "c", "at": "2026-01-03"}), (2, {"q": "a", "at": "2026-01-01"})], [])
    assert [row["q"] for _, row in read(sources.huggingface, folder=str(tmp_path / "many"), split="test")[0]] == ["b"]
    with pytest.raises(api.FtspecError, match="no split 'none'"):
        read(sources.huggingface, folder=str(tmp_path / "many"), split="none")


@pytest.mark.parametrize("streaming", [True, False])
def test_a_folder_of_data_files(tmp_path: Path, streaming: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.jsonl").write_text('{"q": "a"}\n{"q": "b"}\n')
    kept, found = read(sources.huggingface, folder=str(tmp_path / "set"), streaming=streaming)
    assert ([row["q"] for _, row in kept], found) == (["a", "b"], [])


def test_a_pinned_commit_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    commit = "0123456789abcdef0123456789abcdef01234567"
    source = sources.huggingface.build({"dataset": "org/name", "revision": commit})
    assert source.fingerprint() == f"org/name {commit}"


def test_a_branch_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    import huggingface_hub

    hub = huggingface_hub.HfApi(endpoint="http://127.0.0.1:9")  # the library reads the variable once, when imported
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    with pytest.raises(api.FtspecError, match="does not say what revision 'main' of 'a/b' is") as raised:
        sources.huggingface.build({"dataset": "a/b"}).fingerprint()
    assert all(part in raised.value.hint for part in ("network", "revision", "folder"))


def test_a_wrong_pointer_is_the_specs(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"data": 3}')
    for pointer in ("/data", "/items", "data"):
        (found,) = list(sources.json.build({"path": str(tmp_path / "x.json"), "pointer": pointer}).read())
        assert "in the spec" in found.hint
