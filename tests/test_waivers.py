"""Waivers from the command line: a day's edges, who answers for it, and what is said when it is over."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from ftspec.cli import guard

SPEC = """\
version: 1
name: tiny
sources:
  - jsonl: {path: rows.jsonl}
format:
  chat: {user: "{{ text }}", assistant: "{{ label }}"}
provider:
  simulated: {}
model: sim-base
checks:
  - expect: {columns: {label: {in_set: [a, b]}}}
    waive: {reason: pilot, owner: ana, until: DAY}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    labels = "abcab"
    lines = (json.dumps({"text": f"word {at}", "label": label}) for at, label in enumerate(labels))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "tiny.yaml"


def plan(spec: Path, capsys: pytest.CaptureFixture[str], day: object, *more: str) -> tuple[int, str, str]:
    spec.write_text(SPEC.replace("DAY", str(day)))
    code = guard.run(("plan", "-q", str(spec), *more))
    return code, *capsys.readouterr()


TODAY = datetime.date.today
FOUND = "rows.jsonl:3: column 'label' is none of 'a', 'b'"


@pytest.mark.parametrize("days", [0, 1, 4000])
def test_it_holds_up_to_its_last_day(days: int, spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = TODAY() + datetime.timedelta(days=days)
    code, out, err = plan(spec, capsys, day)
    assert (code, "this waiver ends" in err) == (0, days < 14)
    assert "5 training rows" in out
    assert guard.run(("data", "show", "-q", str(spec))) == 0
    assert f"{FOUND} (waived by ana until {day}: pilot)" in capsys.readouterr().out


@pytest.mark.parametrize(("days", "said"), [(0, "today"), (1, "in 1 day, on "), (14, "in 14 days, on "), (15, "")])
def test_its_end_is_warned_of_in_time(days: int, said: str, spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A team's CI must not turn red overnight, without a word before."""
    spec.write_text(SPEC.replace("DAY", str(TODAY() + datetime.timedelta(days=days))))
    assert guard.run(("validate", "--format", "github", str(spec))) == 0
    out = capsys.readouterr().out
    assert (f"::warning file={spec},line=12,col=47,endColumn=57::this waiver ends {said}" in out) == bool(said)
    assert bool(out) == bool(said)


def test_it_fails_from_the_next_day_on(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    day = TODAY() - datetime.timedelta(days=1)
    code, out, err = plan(spec, capsys, day)
    assert (code, out) == (1, "")
    assert f"tiny.yaml:12:47: this waiver ended on {day}" in err


@pytest.mark.parametrize("day", ["2026-02-30", "2026-13-01", "20260101", "'31.12.2099'", "never"])
def test_a_wrong_day_is_shown_at_its_place(day: str, spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = plan(spec, capsys, day)
    assert (code, out) == (1, "")
    assert "tiny.yaml:12:47:" in err


def test_a_waiver_that_ends_between_two_runs(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is cached is no excuse: the day is looked at each time."""
    spec.write_text(SPEC.replace("DAY", str(TODAY())))
    assert guard.run(("run", "-q", str(spec))) == 0
    capsys.readouterr()
    tomorrow = TODAY() + datetime.timedelta(days=1)

    class Tomorrow(datetime.date):
        @classmethod
        def today(cls) -> Tomorrow:
            return cls(tomorrow.year, tomorrow.month, tomorrow.day)

    monkeypatch.setattr(datetime, "date", Tomorrow)
    assert guard.run(("run", "-q", str(spec))) == 1
    assert "this waiver ended on" in capsys.readouterr().err


def test_money_and_tokens_are_weighed_each_time(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Epochs do not change the data, and the data step is not run again: the check looks all the same."""
    text = SPEC.partition("checks:")[0] + "hyperparameters: {epochs: 2}\nchecks:\n  - token_budget: {max_tokens: 500}\n"
    spec.write_text(text)
    assert guard.run(("run", "-q", str(spec))) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert guard.run(("plan", "-q", str(spec), "--set", "hyperparameters.epochs=50")) == 1
    said = capsys.readouterr().err
    assert "x 50 epochs), at most 500 are allowed" in said
    assert guard.run(("run", "-q", str(spec), "--set", "hyperparameters.epochs=50")) == 1
