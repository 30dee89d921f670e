"""Standard output and error, whoever writes there: secrets are masked, and all else is as it was."""

from __future__ import annotations

import copy
import io
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest

from ftspec.common import streams, terminal
from ftspec.common.masking import MASK
from ftspec.common.references import mask
from ftspec.common.streams import Masked

KEY = "sk-Zq81LmPv0aTq93kX"


def stream(encoding: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Masked, io.BytesIO]:
    monkeypatch.setenv("STREAMS_KEY", KEY)
    monkeypatch.setattr(mask, "names", {"STREAMS_KEY"})
    written = io.BytesIO()
    return Masked(io.TextIOWrapper(written, encoding=encoding)), written


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_however_a_text_is_written(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, written = stream(encoding, monkeypatch)
    monkeypatch.setattr(sys, "stdout", out)
    print("a", KEY, flush=True)
    click.echo(f"b {KEY}")
    out.writelines([f"c {KEY}\n"])
    out.flush()
    click.echo(f"d {KEY}".encode())
    assert written.getvalue().decode().split() == ["a", MASK, "b", MASK, "c", MASK, "d", MASK]


def test_bytes_that_are_no_text_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    out, written = stream("utf-8", monkeypatch)
    data = bytes(range(256))
    assert out.buffer.write(memoryview(data)) == 256
    out.buffer.write(b"\xff" + KEY.encode() + b"\xfe")
    out.flush()
    assert written.getvalue() == data + b"\xff" + MASK.encode() + b"\xfe"


def test_a_secret_that_comes_in_pieces_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line waits until it has ended, or is to be shown."""
    out, written = stream("utf-8", monkeypatch)
    for piece in ("a ", KEY[:7], KEY[7:9], KEY[9:], " b\nnext"):
        assert out.write(piece) == len(piece)
    out.unmasked.flush()
    assert written.getvalue() == f"a {MASK} b\n".encode()
    terminal.write(" line\n", out)  # what others have begun comes before what ftspec says
    for at in range(0, len(KEY), 2):
        out.buffer.write(KEY[at : at + 2].encode())
    assert written.getvalue() == f"a {MASK} b\nnext line\n".encode()
    out.flush()
    assert written.getvalue() == f"a {MASK} b\nnext line\n{MASK}".encode()


def test_a_line_without_an_end_is_held_back_for_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    out, written = stream("utf-8", monkeypatch)
    for _ in range(100):
        out.write("x" * 1000)
    assert len(written.getvalue()) > 2**16
    out.write("50 %\r")
    out.unmasked.flush()
    assert written.getvalue().endswith(b"50 %\r")
    for piece in (KEY[:7], KEY[7:], "\r\n"):  # however much has gone before
        out.write(piece)
    out.unmasked.flush()
    assert written.getvalue().endswith(f"\r{MASK}\r\n".encode())
    with pytest.raises(TypeError):
        out.write(5)
    out.close()
    assert out.closed


def test_threads_that_write_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    out, written = stream("utf-8", monkeypatch)
    with ThreadPoolExecutor(8) as pool:
        for number in range(8):
            pool.submit(lambda number=number: [out.write(f"{number}") + out.write("\n") for _ in range(2000)])
    out.flush()
    assert sorted(written.getvalue().replace(b"\n", b"")) == sorted(b"01234567" * 2000)


def test_it_can_be_copied_and_closed_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, written = stream("utf-8", monkeypatch)
    assert copy.copy(out).unmasked is out.unmasked
    assert (out.encoding, out.isatty(), out.closed) == ("utf-8", False, False)
    with out as same:
        assert same is out
    assert written.closed
    with Masked((tmp_path / "out").open("w")) as file:
        file.write("begun")
    file.close()
    assert (tmp_path / "out").read_text() == "begun"
    bare = Masked(io.StringIO())
    bare.flush()
    assert not hasattr(bare, "buffer")


def test_what_others_print_is_masked_and_spelled_out_where_the_encoding_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAMS_KEY", KEY)
    monkeypatch.setattr(mask, "names", {"STREAMS_KEY"})
    written = {name: io.BytesIO() for name in ("stdout", "stderr")}
    for name, below in written.items():
        monkeypatch.setattr(sys, name, io.TextIOWrapper(below, encoding="ascii"))
    streams.open_all()
    for name, below in written.items():
        print(f"→ {KEY}", file=getattr(sys, name), flush=True)
        assert below.getvalue() == f"\\u2192 {MASK}\n".encode()
