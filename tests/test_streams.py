"""Standard output and error, whoever writes there: secrets are masked, and all else is as it was."""

from __future__ import annotations

import copy
import io
import sys

import click
import pytest

from ftspec.cli.streams import Masked
from ftspec.common.masking import MASK
from ftspec.common.references import mask

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
    assert written.getvalue() == data + b"\xff" + MASK.encode() + b"\xfe"


def test_it_can_be_copied_and_closed_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    out, written = stream("utf-8", monkeypatch)
    assert copy.copy(out).unmasked is out.unmasked
    assert (out.encoding, out.isatty(), out.closed) == ("utf-8", False, False)
    with out as same:
        assert same is out
    assert written.closed
    assert not hasattr(Masked(io.StringIO()), "buffer")
