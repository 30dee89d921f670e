"""Batches that wait between two passes: read back as they were, by pages of the file or in memory of their own."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ftspec import rows
from ftspec.data.spool import Held, Spool
from ftspec.layout.arrays import stream


def made(first: int, count: int) -> pa.RecordBatch:
    texts = [None if number % 7 == 0 else f"row {number} " * (number % 50) for number in range(first, first + count)]
    numbers = rows.integers(range(first, first + count))
    return pa.RecordBatch.from_arrays([rows.strings(texts), numbers], names=["text", rows.ROW])


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Batches of two schemas, some longer and some shorter than a page, one empty."""
    made_ = Spool(tmp_path)
    for first, count in ((0, 3), (3, 900), (903, 0), (903, 1)):
        made_.write(made(first, count))
    made_.write(made(904, 5).drop_columns(["text"]))
    return made_


def test_batches_are_read_as_they_were_written(spool: Spool) -> None:
    wanted = [made(0, 3), made(3, 900), made(903, 0), made(903, 1), made(904, 5).drop_columns(["text"])]
    assert list(spool.read()) == wanted
    assert [spool.batch(index) for index in range(5)] == wanted


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted by Linux's /proc")
def test_what_is_read_outlives_the_spool_and_holds_no_file_once_it_is_gone(spool: Spool) -> None:
    before = open_files()
    batches = list(spool.read())
    own = spool.batch(1)
    spool.close()
    assert batches[1] == own == made(3, 900)
    del batches
    assert open_files() == before - 1


def test_a_stream_is_what_serialize_gives_and_no_copy() -> None:
    said = [[{"role": "user", "content": text}] * len(text) for text in ("a", "bb", "", "ddd")]
    whole = rows.from_dicts([{"messages": each, "n": {"x": len(each)}} for each in said])
    for batch in (whole, whole.slice(1, 2)):
        pieces = stream(batch)
        assert b"".join(pieces).startswith(batch.schema.serialize().to_pybytes() + batch.serialize().to_pybytes())
        assert pa.ipc.open_stream(b"".join(pieces)).read_next_batch().equals(batch)
    texts = rows.strings(["x" * 999] * 9)
    (found,) = [piece for piece in stream(pa.RecordBatch.from_arrays([texts], names=["a"])) if len(piece) == 8991]
    assert found.address == texts.buffers()[2].address


def test_what_a_file_holds_is_not_written_again(tmp_path: Path) -> None:
    """It is numbered from the first row's number, and there when others remove the file."""
    (tmp_path / "out").mkdir()
    spool, kept = Spool(tmp_path / "out"), tmp_path / "kept"
    pieces = stream(made(0, 900))
    kept.write_bytes(b"x" * 16 + b"".join(pieces))
    held = Held(kept, 16, 16 + sum(map(len, pieces)), 7)
    spool.write(made(0, 7))
    spool.write(made(7, 900), held)
    spool.write(made(907, 3), held._replace(path=tmp_path / "nowhere"))
    spool.write(made(910, 2))
    kept.unlink()
    assert spool.end == sum(len(piece) for part in ((0, 7), (907, 3), (910, 2)) for piece in stream(made(*part)))
    assert [batch.column(rows.ROW).to_pylist() for batch in spool.read()] == [
        list(range(7)), list(range(7, 907)), list(range(907, 910)), [910, 911],
    ]  # fmt: skip
    assert spool.batch(1).column("text").to_pylist() == made(0, 900).column("text").to_pylist()
    spool.close()
    assert not list((tmp_path / "out").iterdir())
