"""What a terminal shows: widths, escapes, numbers, and progress that never gets in the way."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest

from ftspec.cli.drawing import Drawing, progress
from ftspec.common import terminal


def test_data_cannot_drive_the_terminal() -> None:
    assert terminal.safe("a\x1b[2Jb\u202ec\x00") == "a\\x1b[2Jb\\u202ec\\x00"
    assert terminal.safe("naïve 日本\nline") == "naïve 日本\nline"


def test_tables_align_wide_characters() -> None:
    lines = terminal.table([("日本", "1"), ("ab", "22")], ("NAME", "N"), right=[1]).splitlines()
    assert lines == ["NAME   N", "日本   1", "ab    22"]


def test_a_cell_stays_in_its_line() -> None:
    assert len(terminal.table([("a\nb\x1b[31m",)], ("X",)).splitlines()) == 2


def test_clip_counts_columns() -> None:
    assert terminal.clip("日本語", 5) == "日本…"
    assert terminal.clip("abc", 3) == "abc"


def test_colour_follows_the_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    assert not terminal.colourful(stream)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert terminal.colourful(stream)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not terminal.colourful(stream)


def test_a_stream_gets_what_its_encoding_can_hold() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert terminal.spell("0% → 90% é", stream) == "0% -> 90% \\xe9"


def test_many_lines_are_written_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(terminal, "LINES", 2)
    monkeypatch.setattr(terminal, "say", said.append)
    terminal.say_all(iter("abcde"))
    terminal.say_all([])
    assert said == ["a\nb", "c\nd", "e"]


def test_elsewhere_a_phase_is_one_line_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    with Drawing(live=False) as drawing:
        drawing.phase("tuning", total=60, unit="steps")
        for step in range(61):
            drawing.advance(step, detail="loss 0.42")
        assert capsys.readouterr().err == ""
        drawing.phase("report")
        drawing.note("a plugin said\x1b[2J something")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "✓ tuning: 60 steps, 0.0 s, loss 0.42"
    assert lines[1] == "a plugin said\\x1b[2J something"
    assert lines[2].startswith("✓ report: 0.")
    assert len(lines) == 3


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet=True) as drawing:
        drawing.phase("tuning")
        drawing.advance(1)
        drawing.note("hello")
    assert capsys.readouterr().err == ""


def test_a_phase_that_fails_does_not_look_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), Drawing(live=False) as drawing:
        drawing.phase("tuning")
        raise ValueError("no")
    assert capsys.readouterr().err.startswith("✗ tuning: stopped after")


def test_the_live_line_says_how_far_how_fast_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    drawing = Drawing(live=False)
    drawing.phase("tuning", total=60, unit="steps")
    drawing.advance(30)  # a continued run: what was there before does not count as speed
    for step in range(31, 41):
        now[0] += 0.5
        drawing.advance(step, detail="loss 0.42")
    assert drawing.line().split("  ")[1:] == [
        "tuning", "━" * 13 + "─" * 7, "40/60 steps", "2 steps/s", "10 s left", "loss 0.42",
    ]  # fmt: skip


def test_the_live_line_is_redrawn_in_place_and_fits() -> None:
    main, terminal_end = pty.openpty()
    with os.fdopen(terminal_end, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("COLUMNS", "40")
        patch.setenv("TERM", "xterm")
        with Drawing() as drawing:
            drawing.phase("answering", total=9, unit="answers")
            drawing.advance(3, detail="x" * 100)
            drawing._draw(force=True)
    shown = os.read(main, 10000).decode()
    os.close(main)
    frames = [frame for frame in shown.replace("\r\n", "\n").split("\r\x1b[2K") if frame and "\n" not in frame]
    assert len(frames) == 2
    assert all(terminal.width(frame) <= 39 for frame in frames)


def test_a_stream_that_breaks_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    drawing = Drawing(live=True)
    drawing.phase("tuning")
    assert "tuning" in stream.getvalue()
    stream.close()
    drawing.advance(1)
    drawing.note("still here")
    drawing.close()
