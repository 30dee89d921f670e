"""Files wherever they are: globs, archives, https and buckets; named without a download, fetched once."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from servers.web import Web, serving

from ftspec import api
from ftspec.builtin import sources
from ftspec.cli import guard
from ftspec.files import fetching

LINES = b'{"a": 1}\n{"a": 2}\n'


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "a b.jsonl").write_bytes(LINES)
    with serving(folder) as web:
        yield web


def read(path: str, component: api.Component = sources.jsonl, **options: Any) -> list[tuple[str, int, Any]]:
    """(origin, line, row's `a`) of every row, or (file, line, message) of every finding."""
    found: list[tuple[str, int, Any]] = []
    for got in component.build({"path": path, **options}).read():
        if isinstance(got, api.Finding):
            found.append((got.file, got.line, got.message))
        else:
            values = got.batch.column("a").to_pylist()
            found += [(got.origin, line, value) for line, value in zip(got.lines, values, strict=True)]
    return found


def lz4(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


PACKED = {".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress, ".lz4": lz4, ".xz": lzma.compress}


@pytest.mark.parametrize("ending", PACKED)
def test_compressed_files_of_every_kind(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"x.jsonl{ending}").write_bytes(PACKED[ending](LINES))
    (tmp_path / f"x.csv{ending}").write_bytes(PACKED[ending](b"a\n1\n2\n"))
    assert [row for *_, row in read(str(tmp_path / f"*.jsonl{ending}"))] == [1, 2]
    assert [row for *_, row in read(str(tmp_path / f"x.csv{ending}"), sources.csv)] == ["1", "2"]


@pytest.mark.parametrize("ending", PACKED)
def test_a_cut_archive_is_a_finding_whatever_its_kind(tmp_path: Path, ending: str) -> None:
    packed = PACKED[ending](b"".join(b'{"a": "%064x"}\n' % (7919**n % 10**70) for n in range(5000)))
    (tmp_path / f"x.jsonl{ending}").write_bytes(packed[: len(packed) // 2])
    *_, (file, _, message) = read(str(tmp_path / f"x.jsonl{ending}"))
    assert file.endswith(ending)
    assert "breaks off" in message


def test_a_zip_archive_stands_for_the_files_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deep/b.jsonl", LINES)
        archive.writestr("a.jsonl", b'{"a": 0}\nbroken\n')
        archive.writestr("readme.txt", b"no rows")
    name = str(tmp_path / "x.zip")
    found = read(name)
    assert [(origin, line) for origin, line, _ in found] == [
        (f"{name}/a.jsonl", 2),
        (f"{name}/a.jsonl", 1),
        (f"{name}/deep/b.jsonl", 1),
        (f"{name}/deep/b.jsonl", 2),
    ]
    assert read(name, sources.csv) == [(name, 1, "no file in the archive ends with .csv or .tsv")]
    (tmp_path / "x.zip").write_bytes(b"PK no archive")
    ((_, line, message),) = read(name)
    assert (line, "not a zip archive" in message) == (1, True)


def test_a_file_over_http_is_fetched_once_and_named_without(web: Web) -> None:
    url = f"{web.url}/a%20b.jsonl"
    (named,) = api.input_files(url)
    assert (named.name, named.size, web.fetched) == (url, len(LINES), [])
    assert read(url) == [(url, 1, 1), (url, 2, 2)]
    assert read(url) == [(url, 1, 1), (url, 2, 2)]
    assert len(web.fetched) == 1
    fetched = Path(named.local())
    modes = [oct(path.stat().st_mode & 0o777) for path in (fetched, fetched.parent, fetching.cache())]
    assert modes == ["0o600", "0o700", "0o700"], "training data is for this user only"


@pytest.mark.parametrize(("tags", "times"), [(True, True), (False, True), (False, False)])
def test_a_changed_file_is_another_one(web: Web, tags: bool, times: bool) -> None:
    web.tags, web.times = tags, times
    url = f"{web.url}/a%20b.jsonl"
    (before,) = api.input_files(url)
    (same,) = api.input_files(url)
    assert same.mark == before.mark
    (web.folder / "a b.jsonl").write_bytes(b'{"a": 3}\n')
    (after,) = api.input_files(url)
    assert after.mark != before.mark
    assert read(url) == [(url, 1, 3)]


def test_what_is_secret_in_a_url_is_in_no_name(web: Web) -> None:
    url = web.url.replace("//", "//user:pa55word@") + "/a%20b.jsonl?sig=s3cr3t"
    (found,) = api.input_files(url)
    assert found.name == f"{web.url}/a%20b.jsonl"
    assert {origin for origin, *_ in read(url)} == {found.name}
    with pytest.raises(api.FtspecError) as caught:
        api.input_files(url.replace("jsonl", "none"))
    assert "s3cr3t" not in str(caught.value) + caught.value.hint
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("{web}/none.jsonl", "there is no"),
        ("{web}/*.jsonl", "nothing can be listed"),
        ("http://127.0.0.1:9/x.jsonl", "cannot reach"),
    ],
)
def test_addresses_that_cannot_be_used(web: Web, monkeypatch: pytest.MonkeyPatch, address: str, part: str) -> None:
    monkeypatch.setattr(fetching, "RETRIES", {"max_retries": 0})
    with pytest.raises(api.FtspecError, match=part) as caught:
        api.input_files(address.format(web=web.url))
    assert caught.value.hint


def test_a_broken_connection_leaves_nothing_behind(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "RETRIES", {"max_retries": 0})
    web.cut = 5
    with pytest.raises(api.FtspecError):
        read(f"{web.url}/a%20b.jsonl")
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    web.cut = 0
    assert len(read(f"{web.url}/a%20b.jsonl")) == 2


def test_what_nobody_reads_leaves_the_cache(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    read(f"{web.url}/a%20b.jsonl")
    fetching.sweep(fetching.cache())
    assert len(list(fetching.cache().iterdir())) == 1
    monkeypatch.setattr(fetching, "UNUSED", -1.0)
    fetching.sweep(fetching.cache())
    assert list(fetching.cache().iterdir()) == []


def test_a_file_that_is_fetched_again_after_long_is_not_swept_away(web: Web) -> None:
    web.tags = web.times = False
    url = f"{web.url}/a%20b.jsonl"
    read(url)
    (folder,) = fetching.cache().iterdir()
    os.utime(folder, (0, 0))
    assert read(url) == [(url, 1, 1), (url, 2, 2)]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (
            "abfss://train@account.dfs.core.windows.net/a.jsonl?sig=x",
            "abfss://train@account.dfs.core.windows.net/a.jsonl",
        ),
        ("ABFS://eval@account/a.jsonl", "ABFS://eval@account/a.jsonl"),
        ("abfs://eval:pa55word@account/a.jsonl", "abfs://eval@account/a.jsonl"),
        ("abfs://train/a@b.jsonl", "abfs://train/a@b.jsonl"),
        ("s3://key@bucket/a.jsonl", "s3://bucket/a.jsonl"),
    ],
)
def test_a_container_is_no_user(url: str, name: str) -> None:
    assert fetching.public(url) == name


def test_the_files_of_a_folder_are_told_by_their_last_ending(tmp_path: Path) -> None:
    taken = ["a.jsonl", "b.v2.jsonl", "c.jsonl.gz", "d.jsonl.zip", "e.tar.ndjson"]
    left = ["a.jsonl.bak", "b.jsonl.tmp.gz", "c.jsonl.gz.part", "d.gz", "jsonl"]
    for name in (*taken, *left):
        (tmp_path / name).write_bytes(b"")
    found = api.input_files(str(tmp_path), (".jsonl", ".ndjson"))
    assert [Path(file.name).name for file in found] == taken


SPEC = """\
version: 1
name: elsewhere
sources: [{jsonl: {path: "URL"}}]
format: {chat: {user: "{{ a }}", assistant: "yes"}}
provider: simulated
model: some-model
"""


def test_a_spec_with_an_address_is_validated_planned_and_run(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("URL", f"{web.url}/a%20b.jsonl"))
    assert guard.run(["validate", str(spec)]) == 0
    assert web.fetched == []
    for command in ("plan", "run"):
        assert guard.run([command, str(spec), "-q"]) == 0, capsys.readouterr().err
    assert len(web.fetched) == 1


def test_an_address_that_nobody_can_read_is_told_at_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("URL", "ftp://example.com/x.jsonl"))
    assert guard.run(["validate", str(spec)]) == 1
    said = capsys.readouterr()
    assert "spec.yaml:3:26" in said.out + said.err and "https://" in said.out + said.err
    spec.write_text(SPEC.replace("URL", "http://127.0.0.1:9/x.jsonl"))
    assert guard.run(["plan", str(spec), "-q"]) == 1
    told = capsys.readouterr().err
    assert "http://127.0.0.1:9/x.jsonl" in told and "Traceback" not in told and "report it" not in told
