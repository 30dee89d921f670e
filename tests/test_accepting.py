"""The gates `regression` and `forgetting`, and `ftspec accept`, from the command line to the exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ftspec.cli import guard

Cli = Callable[..., tuple[int, str]]

SPEC = """\
version: 1
name: kept
sources:
  - examples: {rows: [{prompt: one, completion: "1"}, {prompt: two, completion: "2"}]}
format: {prompt_completion: {}}
provider:
  simulated: {seconds_per_step: 0.0, idle: 5, base_accuracy: BASE, accuracy: TUNED}
model: some-model
hyperparameters: {epochs: EPOCHS}
eval:
  prompts:
    - examples: {rows: [ROWS]}
  graders: [exact]
gates:
  - GATE
"""
ROWS = ", ".join(f'{{prompt: p{number}, completion: "{number}"}}' for number in range(60))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ftspec(capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*arguments: str) -> tuple[int, str]:
        code = guard.run(list(arguments))
        said = capsys.readouterr()
        return code, said.out + said.err

    return run


def write(gate: str, *, base: float = 0.0, tuned: float = 1.0, epochs: int = 1) -> None:
    values = {"ROWS": ROWS, "GATE": gate, "BASE": base, "TUNED": tuned, "EPOCHS": epochs}
    text = SPEC
    for name, value in values.items():
        text = text.replace(name, str(value))
    Path("spec.yaml").write_text(text)


REGRESSION = "regression: {max_drop: 0.1}"


def test_the_first_run_has_nothing_to_fall_behind_and_the_next_is_compared_with_it(ftspec: Cli) -> None:
    write(REGRESSION)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 0 and "there is nothing to fall behind" in said

    write(REGRESSION, epochs=2)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 0 and "accuracy changed by +0.000" in said and "from the accepted model's 1.000 to 1.000" in said

    write(REGRESSION, epochs=3, tuned=0.0)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == 4 and "accuracy changed by -1.000" in said
    assert said.count("wanted") and sum(f"p{number} " in said or f"p{number}\n" in said for number in range(60)) >= 3


def test_a_run_that_a_gate_refused_counts_once_a_person_accepts_it(ftspec: Cli) -> None:
    write(REGRESSION)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    write(REGRESSION, epochs=2, tuned=0.0)
    assert ftspec("run", "spec.yaml", "-q")[0] == 4

    code, said = ftspec("accept", "spec.yaml")
    assert code == 0 and "must not fall behind" in said

    write(REGRESSION, epochs=3, tuned=0.0)
    assert ftspec("run", "spec.yaml", "-q")[0] == 0


def test_a_run_without_an_evaluation_cannot_be_accepted(ftspec: Cli) -> None:
    write(REGRESSION)
    code, said = ftspec("accept", "spec.yaml")
    assert code == 1 and "run" in said and not Path(".ftspec/accepted").exists()


@pytest.mark.parametrize(("tuned", "expected"), [(1.0, 0), (0.0, 4)])
def test_a_model_that_has_forgotten_fails_and_one_like_the_base_passes(
    ftspec: Cli, tuned: float, expected: int
) -> None:
    write("forgetting: {max_drop: 0.1}", base=1.0, tuned=tuned)
    code, said = ftspec("run", "spec.yaml", "-q")
    assert code == expected
    assert f"general accuracy changed by {tuned - 1:+.3f}" in said
    assert "the smallest change that 308 prompts show is" in said
