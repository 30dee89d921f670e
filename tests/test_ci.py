"""What a CI sees: the workflow of docs/ci.md, step by step in the shell that runs it; annotations; the summary."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ftspec.cli import annotations, guard
from ftspec.common.errors import Finding

ROOT = Path(__file__).parents[1]
Cli = Callable[..., tuple[int, str, str]]

SPEC = """\
version: 1
name: router
sources:
  - jsonl: {path: data/rows.jsonl}
format: {prompt_completion: {}}
checks:
  - min_examples: {count: 2}
provider:
  simulated: {seconds_per_step: 0.0, idle: 5, base_accuracy: 0.0, accuracy: 1.0}
model: some-model
eval:
  prompts:
    - jsonl: {path: data/rows.jsonl}
  graders: [exact]
gates:
  - accuracy: {min: 0.5}
  - regression: {max_drop: 0.1}
"""


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs/data").mkdir(parents=True)
    (tmp_path / "specs/router.yaml").write_text(SPEC)
    rows = (f'{{"prompt": "p{number}", "completion": "{number}"}}\n' for number in range(40))
    (tmp_path / "specs/data/rows.jsonl").write_text("".join(rows))
    return tmp_path


@pytest.fixture
def ftspec(capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = guard.run([*arguments, "-q"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def steps(job: str) -> list[str]:
    """The commands of a job of the workflow in the docs, but for installing."""
    [block] = [text.partition("\n```")[0] for text in (ROOT / "docs/ci.md").read_text().split("```yaml\n")[1:]]
    found = yaml.safe_load(block)["jobs"][job]["steps"]
    return [step["run"] for step in found if "run" in step and not step["run"].startswith("pip ")]


def github(repository: Path, commands: list[str], **more: str) -> tuple[int, str, str]:
    """The commands as GitHub runs steps: each in a bash of its own that ends at the first error."""
    summary = repository / "summary.md"
    summary.unlink(missing_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    given = {"PATH": path, "GITHUB_STEP_SUMMARY": str(summary), "FTSPEC_STORE": str(repository / "store")}
    log = ""
    for command in commands:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command],
            cwd=repository, env=os.environ | given | {"TRIED": ""} | more, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        log += done.stdout + done.stderr
        if done.returncode:
            return done.returncode, log, summary.read_text() if summary.exists() else ""
    return 0, log, summary.read_text() if summary.exists() else ""


def test_the_workflow_of_the_docs(repository: Path) -> None:
    tried = {"TRIED": "--no-accept"}
    assert github(repository, steps("validate"))[0] == 0
    code, log, summary = github(repository, steps("tune"), **tried)
    assert code == 0 and "::error" not in log
    assert "what a run would do" in summary and "tuning         to do   never run" in summary and "PASS" in summary
    assert "no run of this spec was accepted yet" in summary

    code, log, summary = github(repository, steps("tune"))  # merged
    assert code == 0 and "nothing had to be done again" in log and "everything is done" in summary

    spec = repository / "specs/router.yaml"
    spec.write_text(SPEC.replace("accuracy: 1.0", "accuracy: 0.0") + "hyperparameters: {epochs: 1}\n")
    code, log, summary = github(repository, steps("tune"), **tried)
    assert code == 4 and "FAIL" in summary and "1.000 to 0.000" in summary
    assert "::error file=specs/router.yaml,line=16,col=5" in log and "line=17,col=5" in log


def test_faulty_data_are_annotated_at_their_lines_and_told_in_the_summary(repository: Path, ftspec: Cli) -> None:
    with Path("specs/data/rows.jsonl").open("a") as rows:
        rows.write('{"prompt": "a"\n')
    code, out, err = ftspec("plan", "specs/router.yaml", "--format", "github", "--summary", "summary.md")
    assert code == 1 and "::error file=specs/data/rows.jsonl,line=41," in out and "data/rows.jsonl:41" in err
    summary = Path("summary.md").read_text()
    assert summary.startswith("## ❌ `specs/router.yaml` stopped\n\n```text\n") and "rows.jsonl:41" in summary
    assert "::" not in ftspec("plan", "specs/router.yaml")[1]


@pytest.mark.parametrize("file", ["hf://team/data[train]", "s3://bucket/rows.jsonl", "book.xlsx[Sheet1]", "x" * 300])
def test_what_is_no_file_of_the_checkout_is_annotated_at_the_spec(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations.of_data("github", [Finding(message="is empty", file=file, line=7)], "specs/router.yaml")
    assert capsys.readouterr().out == f"::error file=specs/router.yaml::specs/router.yaml: {file}:7: is empty\n"


def test_a_faulty_spec_and_one_that_is_too_dear_are_annotated_once(repository: Path, ftspec: Cli) -> None:
    spec = Path("specs/router.yaml")
    spec.write_text(SPEC.replace("exact", "exat"))
    code, out, _ = ftspec("run", "specs/router.yaml", "--format", "github", "--summary", "summary.md")
    assert code == 1 and out.count("::error file=specs/router.yaml,line=14,") == 1
    spec.write_text(SPEC.replace("accuracy: 1.0", "outcome: failed"))
    assert ftspec("run", "specs/router.yaml", "--format", "github")[0] == 1
    code, out, _ = ftspec("plan", "specs/router.yaml", "--format", "github")
    assert code == 1 and out.count("::error file=specs/router.yaml,line=8,") == 1 and "--again tuning" in out


def test_text_in_the_summary_cannot_leave_its_block(repository: Path, ftspec: Cli) -> None:
    Path("specs/router.yaml").write_text(
        SPEC.replace("prompt_completion: {}", 'chat: {user: "{{ ``` }}", assistant: x}')
    )
    assert ftspec("plan", "specs/router.yaml", "--summary", "summary.md")[0] == 1
    lines = Path("summary.md").read_text().splitlines()
    fence = lines[2].removesuffix("text")
    assert lines.count(fence) == 1 and (len(fence) > 3 or not any("```" in line for line in lines[3:-2]))


def test_a_summary_that_cannot_be_written_is_an_error(ftspec: Cli) -> None:
    code, out, err = ftspec("plan", "specs/router.yaml", "--summary", "nowhere/summary.md")
    assert (code, out) == (1, "") and "cannot write nowhere/summary.md" in err  # before hours of work, and not after


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_summary_that_cannot_be_written_hides_no_other_error(repository: Path, ftspec: Cli) -> None:
    Path("specs/router.yaml").write_text(SPEC.replace("exact", "exat"))
    code, _, err = ftspec("plan", "specs/router.yaml", "--summary", "/dev/full")
    assert code == 1 and "cannot write /dev/full" in err and "specs/router.yaml:14" in err


def test_a_name_that_is_not_utf8_can_be_in_the_summary(repository: Path, ftspec: Cli) -> None:
    Path("specs/no\udcff.yaml").write_text(SPEC.replace("exact", "exat"))
    assert ftspec("plan", "specs/no\udcff.yaml", "--summary", "summary.md")[0] == 1
    assert Path("summary.md").read_text().startswith("## ❌ `specs/no\\udcff.yaml` stopped")


def test_annotations_are_at_files_of_the_checkout(
    repository: Path, ftspec: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step may work in a folder of a larger repository; GitHub looks from its top."""
    monkeypatch.setenv("GITHUB_WORKSPACE", str(repository))
    monkeypatch.chdir(repository / "specs")
    Path("router.yaml").write_text(SPEC.replace("exact", "exat"))
    assert "::error file=specs/router.yaml,line=14," in ftspec("validate", "router.yaml", "--format", "github")[1]
    Path("router.yaml").write_text(SPEC)
    with Path("data/rows.jsonl").open("a") as rows:
        rows.write("{")
    assert "::error file=specs/data/rows.jsonl,line=41," in ftspec("plan", "router.yaml", "--format", "github")[1]
