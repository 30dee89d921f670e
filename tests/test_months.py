"""What a team meets over the months: a job that died, a run that somebody else goes on with, changes that are told."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ftspec.cli import guard

Cli = Callable[..., tuple[int, str]]

SPEC = """\
version: 1
name: months
sources:
  - examples: {rows: [{prompt: one, completion: "1"}, {prompt: two, completion: "2"}]}
format: {prompt_completion: {}}
provider:
  simulated: {seconds_per_step: 0.0, idle: 5}
model: some-model
eval:
  prompts:
    - examples: {rows: [{prompt: three, completion: "3"}]}
  graders: [exact]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)


@pytest.fixture
def ftspec(capsys: pytest.CaptureFixture[str]) -> Cli:
    return lambda *arguments: (guard.run(arguments), "".join(capsys.readouterr()))


@pytest.mark.parametrize(("outcome", "said"), [("cancelled", "cancelled"), ("failed", "failed: ")])
def test_the_plan_says_of_a_dead_job_what_the_run_will(ftspec: Cli, outcome: str, said: str) -> None:
    changed = ("spec.yaml", "-q", "--set", f"provider.simulated.outcome={outcome}")
    code, ran = ftspec("run", *changed)
    assert code == 1 and f" {said}" in ran and "no reason" not in ran
    code, planned = ftspec("plan", *changed)
    again = f"`ftspec run spec.yaml --again tuning --set provider.simulated.outcome={outcome}` makes a new job"
    assert code == 1 and again in ran and again in planned
    assert "tuning         to do   job job-" in planned and f" {said}" in planned
    assert again in ftspec("status")[1]


def test_who_finds_a_job_that_has_ended_is_told_how_to_go_on(ftspec: Cli) -> None:
    Path("spec.yaml").write_text(SPEC.replace("idle: 5", "idle: 5, queue_seconds: 1"))
    assert ftspec("run", "spec.yaml", "-q", "--detach", "--set", "hyperparameters.epochs=2")[0] == 5
    code, said = ftspec("follow")
    assert code == 0 and "next: ftspec run spec.yaml --set hyperparameters.epochs=2" in said
    assert "next           `ftspec run spec.yaml --set hyperparameters.epochs=2` goes on with" in ftspec("status")[1]
    assert ftspec("run", "spec.yaml", "-q", "--set", "hyperparameters.epochs=2")[0] == 0


def test_what_is_removed_is_not_looked_for_elsewhere(ftspec: Cli) -> None:
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    [run] = Path(".ftspec/runs").iterdir()
    ftspec("runs", "--remove", run.name)
    code, said = ftspec("status", run.name)
    assert code == 1 and "was removed" in said and "for those that are kept" in said and "--store" not in said


def test_an_item_that_is_added_is_told_once(ftspec: Cli) -> None:
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    Path("spec.yaml").write_text(SPEC.replace("[exact]", "[exact, {contains: {any: [a]}}]"))
    reasons = ftspec("plan", "spec.yaml", "-q")[1]
    assert "report         to do   eval.graders[1] added\n\n" in reasons


def test_the_log_says_who_worked_on_a_run_and_what_its_gates_said(ftspec: Cli) -> None:
    Path("spec.yaml").write_text(f"{SPEC}gates: [{{accuracy: {{min: 0.9}}}}]\n")
    assert ftspec("run", "spec.yaml", "-q")[0] == 4
    said = ftspec("logs")[1]
    assert "judged  accuracy insufficient evidence" in said or "judged  accuracy fail" in said
    assert f", by {socket.gethostname()}-" in said


def began(ftspec: Cli, spec: Path) -> str:
    """The id of the run that this makes of the file in the store that is shared."""
    known = {run.name for run in Path("shared").glob("runs/*")}
    assert ftspec("run", str(spec), "-q", "--store", "shared")[0] == 0
    [run] = {run.name for run in Path("shared").glob("runs/*")} - known
    return run


def test_in_a_shared_store_a_spec_means_its_own_runs(ftspec: Cli) -> None:
    mine, theirs, other = Path("mine/spec.yaml"), Path("theirs/spec.yaml"), Path("other/spec.yaml")
    for file, text in ((mine, SPEC), (theirs, SPEC.replace("three", "four")), (other, SPEC.replace("months", "days"))):
        file.parent.mkdir()
        file.write_text(text)
    runs = began(ftspec, mine), began(ftspec, theirs)  # another branch's is the last one
    at = ("--store", "shared")
    assert f"/{runs[0]}/" in ftspec("report", str(mine), *at)[1]
    assert f"/{runs[1]}/" in ftspec("report", str(theirs), *at)[1]
    code, said = ftspec("cancel", str(other), *at)  # another team's, whose file is called the same
    assert code == 1 and "other/spec.yaml has not been run yet" in said
    for event in Path("shared/runs").glob("months-*/events/00000001"):
        event.rename(event.with_suffix(".kept"))
        event.write_bytes(b"{")
    assert "other/spec.yaml has not been run yet" in ftspec("status", str(other), *at)[1]  # their damage is not ours
    for kept in Path("shared/runs").glob("months-*/events/*.kept"):
        kept.replace(kept.with_suffix(""))

    renamed = mine.rename("mine/renamed.yaml")
    assert ftspec("report", str(renamed), *at)[1] == f"{Path('shared').absolute()}/runs/{runs[0]}/report/report.html\n"
    renamed = renamed.rename(mine)
    renamed.write_text(f"{SPEC}# a word more\n")
    said = ftspec("cancel", str(mine), *at)[1]
    assert (
        "no run was begun with mine/spec.yaml and its files as they are now: " in said
        and f", on {socket.gethostname()}); see" in said
    )
    assert f" of {runs[1]} had ended already" in said
    told = ftspec("compare", f"{mine}@tuned", f"{theirs}@tuned", *at)[1]
    assert told.count("note: no run was begun with mine/spec.yaml and its files") == 1


def test_a_spec_that_was_edited_since_has_its_last_run_and_says_so(ftspec: Cli) -> None:
    assert ftspec("run", "spec.yaml", "-q")[0] == 0
    assert "no run was begun with" not in ftspec("status", "spec.yaml")[1]
    Path("spec.yaml").write_text(SPEC.replace("three", "four").replace("months", "years"))
    for command in ("status", "logs", "report", "model show"):
        code, said = ftspec(*command.split(), "spec.yaml")
        assert code == 0 and "no run was begun with spec.yaml and its files as they are now: months-" in said, command


def test_a_branch_that_changes_data_alone_has_its_own_runs(ftspec: Cli) -> None:
    text = SPEC.replace(
        "examples: {rows: [{prompt: one", "jsonl: {path: rows.jsonl}\n  - examples: {rows: [{prompt: one"
    )
    runs = []
    for name in ("mine", "theirs"):
        (file := Path(name, "spec.yaml")).parent.mkdir()
        file.write_text(text)
        Path(name, "rows.jsonl").write_text(f'{{"prompt": "of {name}", "completion": "3"}}\n')
        runs.append(began(ftspec, file))
    for name, run in zip(("mine", "theirs"), runs, strict=True):
        assert f"/{run}/" in ftspec("report", f"{name}/spec.yaml", "--store", "shared")[1]
    Path("mine/rows.jsonl").unlink()  # not brought here: nothing speaks against it
    said = ftspec("report", "mine/spec.yaml", "--store", "shared")[1]
    assert f"/{runs[1]}/" in said and "as they are now" not in said
