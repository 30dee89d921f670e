"""The commands that messages propose work where the user is: they have the spec, the store and the overrides given."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from ftspec.cli import guard
from ftspec.cli.hints import Typed, completed, typed

SPEC = """\
version: 1
name: tiny
sources:
  - jsonl: {path: rows.jsonl}
format:
  chat: {user: "{{ q }}", assistant: "{{ a }}"}
provider: simulated
model: sim-base
"""
BOTH = "--store 'my state' --set hyperparameters.epochs=1"


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        (["run", "a/s.yaml", "--store", "x", "--set=a=1", "--set", "b=2"], Typed("a/s.yaml", "", "x", ("a=1", "b=2"))),
        (["run", "--again", "tuning", "s.yml"], Typed("s.yml")),
        (["data", "show", "s", "--store=x"], Typed("s", "", "x")),
        (["status", "tiny-1"], Typed("", "tiny-1")),
        (["status", "s.yaml", "-q"], Typed("s.yaml")),
        (["--version"], Typed()),
        (["data"], Typed()),
        (["nothing", "s.yaml"], Typed()),
        ([], Typed()),
    ],
)
def test_what_was_given(arguments: list[str], given: Typed) -> None:
    assert typed(arguments) == given


@pytest.mark.parametrize(
    ("said", "then"),
    [
        ("`ftspec run --again tuning` makes one", f"`ftspec run 'a b/s.yaml' --again tuning {BOTH}` makes one"),
        ("look at it: ftspec data show s.yaml\ngo on: ftspec run s.yaml",
         f"look at it: ftspec data show 'a b/s.yaml' {BOTH}\ngo on: ftspec run 'a b/s.yaml' {BOTH}"),
        ("see `ftspec status`", "see `ftspec status 'a b/s.yaml' --store 'my state'`"),
        ("see `ftspec status tiny-1`", "see `ftspec status tiny-1 --store 'my state'`"),
        ("see `ftspec plugins show filter`, write `a`", "see `ftspec plugins show filter`, write `a`"),
        ("`ftspec gc --delete` deletes this", "`ftspec gc --delete --store 'my state'` deletes this"),
        ("`ftspec run SPEC --set a=1`", "`ftspec run 'a b/s.yaml' --set a=1 --store 'my state'`"),
        ("ftspec does not, nor `ftspec nothing`", "ftspec does not, nor `ftspec nothing`"),
    ],
)  # fmt: skip
def test_what_is_proposed(said: str, then: str) -> None:
    assert completed(said, Typed("a b/s.yaml", "", "my state", ("hyperparameters.epochs=1",))) == then
    assert completed(said, Typed()) == said


def test_a_run_is_named_again() -> None:
    assert completed("`ftspec resume`, `ftspec run`", Typed("", "tiny-1", "x")) == (
        "`ftspec resume tiny-1 --store x`, `ftspec run --store x`"
    )


def test_what_a_run_proposes_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deep/down").mkdir(parents=True)
    spec = tmp_path / "deep/down/tiny.yaml"
    spec.write_text(SPEC)
    (spec.parent / "rows.jsonl").write_text("".join(json.dumps({"q": f"q{n}", "a": "x"}) + "\n" for n in range(9)))
    monkeypatch.chdir(tmp_path)
    given = ["deep/down/tiny.yaml", "--store", "my state", "--set", "hyperparameters.epochs=1"]
    assert guard.run(["run", *given, "--until", "data"]) == 0
    look, on = (line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()[-2:])
    assert shlex.split(look) == ["ftspec", "data", "show", *given]
    assert shlex.split(on) == ["ftspec", "run", *given]
    assert guard.run(shlex.split(look)[1:]) == guard.run([*shlex.split(on)[1:], "-q"]) == 0
    capsys.readouterr()
    assert guard.run(["accept", given[0], "--store", "my state"]) == 1
    see = capsys.readouterr().err.rpartition("see `")[2].partition("`")[0]
    assert shlex.split(see) == ["ftspec", "status", *given[:3]]
    assert guard.run(shlex.split(see)[1:]) == 0
