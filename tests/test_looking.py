"""`ftspec data show, why, diff, export` from the command line, over real files, a real git repository, real readers."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftspec.cli import guard
from ftspec.common.errors import FtspecError
from ftspec.data import ledger
from ftspec.run import prepared

SPEC = """\
version: 1
name: tiny
sources:
  - jsonl: {path: "data/*.jsonl"}
cleaning:
  - strip
  - drop_empty: {columns: [text]}
  - redact: {entities: [email]}
  - dedupe
format:
  chat: {system: s, user: "{{ text }}", assistant: "{{ label }}"}
provider:
  simulated: {}
model: sim-base
eval:
  prompts:
    - jsonl: {path: asked.jsonl}
  graders: [exact]
"""
ROWS = [(" one ", "a"), ("", "a"), ("mail ann@x.example", "b"), ("one", "a"), ("two", "b"), ("three", "a")]


def write(file: Path, values: list[Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(value) + "\n" for value in values))


def texts(pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"text": text, "label": label} for text, label in pairs]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data/rows.jsonl", texts(ROWS))
    write(tmp_path / "asked.jsonl", texts([(" asked ", "a"), ("asked too", "b")]))
    (tmp_path / "tiny.yaml").write_text(SPEC)
    return tmp_path / "tiny.yaml"


Run = tuple[int, str, str]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> Run:
    code = guard.run([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def asked(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    code, out, err = run(capsys, *arguments, "-q", "--format", "json")
    assert (code, err) == (0, "")
    return json.loads(out)


# ---- show


def test_show(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "data", "show", spec, "-q")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["jsonl", "6", "6"] in lines
    assert ["drop_empty", "6", "5", "1", "16.7%", "empty:", "1"] in lines
    assert ["dedupe", "5", "4", "1", "20.0%", "duplicate:", "1"] in lines
    assert "ann@" not in out


def test_show_samples(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "data", "show", spec, "-q", "--samples")
    assert "data/rows.jsonl:3  changed" in out
    assert "+ text: mail [EMAIL]" in out
    assert "ann@" not in out
    assert "not shown: a step removes what may stand in it" in out


# ---- dropped


def test_every_row_that_went(spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "BLOCK_ROWS", 1)
    write(spec.parent / "asked.jsonl", texts([("asked", "a"), (" ", "b")]))
    code, out, err = run(capsys, "data", "dropped", spec, "-q")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "data/rows.jsonl:2: dropped by drop_empty: empty",
        "data/rows.jsonl:4: dropped by dedupe: duplicate because of data/rows.jsonl:1",
        "asked.jsonl:2: dropped by prompts: drop_empty: empty",
    ]
    _, out, _ = run(capsys, "data", "dropped", spec, "-q", "--format", "json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [(one["row"], one["step"], one["because"]) for one in found[:2]] == [
        (2, "drop_empty", ""), (4, "dedupe", "data/rows.jsonl:1"),
    ]  # fmt: skip


def test_nothing_is_listed_where_nothing_went(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(spec.parent / "data/rows.jsonl", texts([("one", "a"), ("two", "b")]))
    assert run(capsys, "data", "dropped", spec, "-q") == (0, "", "")


# ---- why


def test_why_of_a_duplicate(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = asked(capsys, "data", "why", spec, "data/rows.jsonl:4")
    assert found["life"] == {
        "row": 4, "origin": "data/rows.jsonl:4", "side": "", "step": "dedupe", "reason": "duplicate",
        "because": "data/rows.jsonl:1",
    }  # fmt: skip
    assert [(step["step"], step["what"]) for step in found["steps"]] == [
        ("strip", "same"), ("drop_empty", "same"), ("redact", "same"), ("dedupe", "dropped"),
    ]  # fmt: skip
    _, out, _ = run(capsys, "data", "why", spec, "data/rows.jsonl:4", "-q")
    assert "data/rows.jsonl:4 (row 4): dropped by dedupe: duplicate because of data/rows.jsonl:1" in out
    assert "- text: one" in out
    assert "not shown" not in out


def test_why_of_a_duplicate_shows_nothing_that_is_removed_later(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(SPEC.replace("  - dedupe\n", "").replace("  - redact", "  - dedupe\n  - redact"))
    _, out, _ = run(capsys, "data", "why", spec, "data/rows.jsonl:4", "-q")
    assert "not shown: a step removes what may stand in it" in out
    assert "text: one" not in out


def test_why_of_a_kept_row_shows_nothing_from_before_redaction(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row, end in ((1, "one"), (3, "mail [EMAIL]")):
        (found,) = asked(capsys, "data", "why", spec, f"data/rows.jsonl:{row}")
        assert (found["life"]["side"], found["life"]["step"]) == ("train", "")
        assert found["steps"][-1]["after"]["messages"][1]["content"] == end
        assert "ann@" not in json.dumps(found)
    assert run(capsys, "data", "why", spec, "data/rows.jsonl:3", "-q")[1].count("[EMAIL]") == 2


def test_why_of_a_dropped_row_and_of_a_prompt(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (gone,) = asked(capsys, "data", "why", spec, "data/rows.jsonl:2")
    assert (gone["steps"][-1]["step"], gone["steps"][-1]["what"], gone["steps"][-1]["reason"]) == (
        "drop_empty", "dropped", "empty",
    )  # fmt: skip
    (prompt,) = asked(capsys, "data", "why", spec, "asked.jsonl:1")
    assert prompt["life"]["side"] == "prompt"
    assert [step["step"] for step in prompt["steps"]] == [
        "prompts: strip", "prompts: drop_empty", "prompts: redact", "prompts: chat",
    ]  # fmt: skip


def test_why_of_a_line_that_two_sources_read(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(SPEC.replace('  - jsonl: {path: "data/*.jsonl"}', "  - jsonl: {path: data/rows.jsonl}\n" * 2))
    first, second = asked(capsys, "data", "why", spec, "data/rows.jsonl:5")
    assert (first["life"]["row"], first["life"]["step"]) == (5, "")
    assert (second["life"]["row"], second["life"]["step"], second["life"]["because"]) == (
        11, "dedupe", "data/rows.jsonl:5",
    )  # fmt: skip


def test_why_finds_a_file_from_where_you_are(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(spec.parent / "data")
    (found,) = asked(capsys, "data", "why", spec, "rows.jsonl:5")
    assert found["life"]["origin"] == "data/rows.jsonl:5"
    for name in ("./data/../data/rows.jsonl:5", f"{spec.parent}/data/rows.jsonl:5:1", "./rows.jsonl:5:17"):
        (again,) = asked(capsys, "data", "why", spec, name)
        assert again == found


def test_why_finds_the_only_file_of_an_archive(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(SPEC.replace("data/*.jsonl", "data/*.zip"))
    with zipfile.ZipFile(spec.parent / "data/rows.zip", "w") as archive:
        archive.write(spec.parent / "data/rows.jsonl", "inner.jsonl")
    (found,) = asked(capsys, "data", "why", spec, "data/rows.zip:5")
    assert found["life"]["origin"] == "data/rows.zip/inner.jsonl:5"


def test_why_of_no_row(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "data", "why", spec, "data/rows.jsonl:99", "-q")
    assert code == 1
    assert "no row came from data/rows.jsonl:99" in err
    assert "the last row of that file came from line " in err
    last = int(re.findall(r"from line (\d+)", err)[0])
    assert asked(capsys, "data", "why", spec, f"data/rows.jsonl:{last}")
    for odd in ("data/rows.jsonl:0", "data/rows.jsonl:99999999999999999999", ":1"):
        assert run(capsys, "data", "why", spec, odd, "-q")[0] == 2
    err = run(capsys, "data", "why", spec, "row.jsonl:1", "-q")[2]
    assert "rows came from data/rows.jsonl" in err
    assert run(capsys, "data", "why", spec, "rows", "-q")[0] == 2


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ("drop_empty: {columns: [text, txt]}", "7:34"),
        ("drop_empty: {}\n  - filter:\n      where: len(txt) > 3", "9:14"),
        ("drop_empty: {}\n  - filter: {where: len(txt) > 3}", "8:21"),
    ],
)
def test_a_column_that_no_row_has_is_told_at_its_place_in_the_spec(
    spec: Path, capsys: pytest.CaptureFixture[str], step: str, place: str
) -> None:
    spec.write_text(SPEC.replace("drop_empty: {columns: [text]}", step))
    for command in (["data", "show"], ["plan"]):
        code, _, err = run(capsys, *command, spec, "-q")
        assert code == 1
        assert re.search(
            rf"tiny.yaml:{place}: step '\w+': no row has a column 'txt'\n +columns are 'label', 'text'", err
        )


def test_a_column_that_a_check_expects_is_told_at_its_place_in_the_spec(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = "checks:\n  - expect:\n      columns:\n        text: {not_null: true}\n        txt: {not_null: true}\n"
    spec.write_text(SPEC.replace("provider:", f"{checks}provider:"))
    line = next(at for at, text in enumerate(spec.read_text().splitlines(), 1) if "txt" in text)
    code, _, err = run(capsys, "plan", spec, "-q")
    assert code == 1
    assert f"tiny.yaml:{line}:14: no row has a column 'txt'" in err


# ---- diff


def commit(folder: Path, message: str) -> None:
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", message]):
        identity = ["-c", "user.name=a", "-c", "user.email=a@x.example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


NEXT = [("new", "a"), (" one ", "a"), ("", "a"), ("mail bob@x.example", "b"), ("two", "a"), ("four", "b")]


def test_diff_of_revisions(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit(spec.parent, "first")
    write(spec.parent / "data/rows.jsonl", texts(NEXT))
    found = asked(capsys, "data", "diff", "HEAD", "--spec", spec)
    counts = {name: found[name] for name in ("same", "added", "removed", "changed", "rows_before", "rows_after")}
    # new is at line 1, where `one` was, which is kept; line 5 was two/b; line 6 was three
    assert counts == {"same": 4, "added": 1, "removed": 0, "changed": 2, "rows_before": 6, "rows_after": 7}
    assert [one["origin"] for one in found["samples_added"]] == ["data/rows.jsonl:1"]
    assert [one["origin"] for one in found["samples_changed"]] == ["data/rows.jsonl:5", "data/rows.jsonl:6"]
    commit(spec.parent, "second")
    again = asked(capsys, "data", "diff", "HEAD~1", "HEAD", "--spec", spec)
    assert {name: again[name] for name in counts} == counts
    code, out, _ = run(capsys, "data", "diff", "HEAD~1", "HEAD", "--spec", spec, "-q")
    assert code == 0
    assert "changed data/rows.jsonl:5" in out
    assert "@x.example" not in out
    assert (
        subprocess.run(["git", "status", "--porcelain"], cwd=spec.parent, capture_output=True, text=True).stdout == ""
    )
    nothing = asked(capsys, "data", "diff", "HEAD", "HEAD", "--spec", spec)
    assert (nothing["same"], nothing["added"], nothing["removed"], nothing["changed"]) == (7, 0, 0, 0)


def test_diff_says_how_many_rows_it_does_not_show(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit(spec.parent, "first")
    write(spec.parent / "data/rows.jsonl", texts([*ROWS, *((f"new {number}", "a") for number in range(8))]))
    assert "\nand 3 more" in run(capsys, "data", "diff", "HEAD", "--spec", spec, "-q")[1]


def test_diff_of_runs_and_specs(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "run", spec, "-q")[0] == 0
    capsys.readouterr()
    first = json.loads(run(capsys, "runs", "--format", "json")[1])[0]["id"]
    write(spec.parent / "data/rows.jsonl", texts([*ROWS, ("last", "b")]))
    found = asked(capsys, "data", "diff", first, spec)
    assert (found["same"], found["added"], found["removed"], found["changed"]) == (6, 1, 0, 0)
    assert found["samples_added"][0]["row"]["messages"][1]["content"] == "last"


def test_diff_says_what_it_cannot_find(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit(spec.parent, "first")
    code, _, err = run(capsys, "data", "diff", "no-such", "--spec", spec, "-q")
    assert code == 1
    assert "no revision 'no-such'" in err
    assert run(capsys, "data", "diff", spec, "-q")[0] == 2
    assert run(capsys, "data", "diff", "no-such-run", spec, "-q")[0] == 1


def test_diff_of_a_folder_without_rows_says_so(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(capsys, "data", "export", spec, "--to", "simulated", "-o", "out")
    code, _, err = run(capsys, "data", "diff", "out", spec, "-q")
    assert code == 1
    assert "out holds no rows.arrow" in err
    assert "ftspec data export" in err


def test_a_revision_is_whole(
    spec: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Links anywhere and what archives leave out are there as in a checkout, and nothing is left in the repository."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere / "more.jsonl", texts([("linked", "a")]))
    (spec.parent / "data/more.jsonl").symlink_to(elsewhere / "more.jsonl")
    write(spec.parent / "data/left.jsonl", texts([("left out", "a")]))
    (spec.parent / ".gitattributes").write_text("data/left.jsonl export-ignore\n")
    commit(spec.parent, "first")
    before = sorted(spec.parent.joinpath(".git").rglob("*"))
    found = asked(capsys, "data", "diff", "HEAD", "--spec", spec)
    assert (found["rows_before"], found["added"], found["removed"], found["changed"]) == (8, 0, 0, 0)
    assert sorted(spec.parent.joinpath(".git").rglob("*")) == before


def test_what_git_cannot_write_is_an_error(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit(spec.parent, "first")
    held = ["git", "rev-parse", "HEAD:data/rows.jsonl"]
    blob = subprocess.run(held, cwd=spec.parent, check=True, capture_output=True, text=True).stdout.strip()
    (spec.parent / ".git/objects" / blob[:2] / blob[2:]).unlink()
    code, _, err = run(capsys, "data", "diff", "HEAD", "--spec", spec, "-q")
    assert code == 1
    assert blob in err


def test_a_folder_that_is_gone_is_not_git_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FtspecError, match="there is no folder"):
        prepared._git(tmp_path / "none", "status")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FtspecError, match="git is not installed"):
        prepared._git(tmp_path, "status")


# ---- export


def test_export_for_datasets(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    datasets = pytest.importorskip("datasets")
    found = asked(capsys, "data", "export", spec, "--to", "huggingface", "-o", "out")
    assert [(one["side"], one["rows"]) for one in found] == [("train", 4)]
    loaded = datasets.load_dataset("out", cache_dir="cache")
    assert loaded["train"].num_rows == 4
    assert loaded["train"][1]["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "mail [EMAIL]"},
        {"role": "assistant", "content": "b"},
    ]


def test_export_of_pairs_and_tool_calls_for_datasets(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    datasets = pytest.importorskip("datasets")
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"n": 1}'}}
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [call]}]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    write(
        spec.parent / "calls/rows.jsonl",
        [{"messages": said, "tools": [tool]}, {"messages": [*said[:1], {"role": "assistant", "content": "a"}]}],
    )
    head, _, _ = SPEC.partition("cleaning:")
    tail = "provider: {simulated: {}}\nmodel: sim-base\n"
    spec.write_text(head.replace("data/*", "calls/*") + tail)
    assert run(capsys, "data", "export", spec, "--to", "huggingface", "-o", "calls-out", "-q")[0] == 0
    rows = datasets.load_dataset("calls-out", cache_dir="cache")["train"]
    assert rows[0]["messages"][1]["tool_calls"] == [call]
    assert rows[1]["messages"][1]["content"] == "a"
    assert json.loads(rows[0]["tools"][0]) == tool


def test_export_of_another_providers_model(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ftspec_local")
    code, _, err = run(capsys, "data", "export", spec, "--to", "local", "-o", "more", "-q")
    assert code == 1
    assert "--model" in err


def test_export_for_a_provider(spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(capsys, "data", "export", spec, "--to", "simulated", "-o", "out", "-q")[0] == 0
    assert len((spec.parent / "out/train.jsonl").read_text().splitlines()) == 4
    code, _, err = run(capsys, "data", "export", spec, "--to", "simulated", "-o", "out", "-q")
    assert code == 1
    assert "not an empty folder" in err
    code, _, err = run(capsys, "data", "export", spec, "--to", "huggingfase", "-o", "more", "-q")
    assert code == 1
    assert "did you mean 'huggingface'?" in err
    assert "reading" not in err
    monkeypatch.setenv("FTSPEC_DISABLE_PLUGINS", "all")
    code, _, err = run(capsys, "data", "export", spec, "--to", "openai", "-o", "more")
    assert code == 1
    assert "pip install ./plugins/ftspec-openai" in err
    assert "reading" not in err
    assert not (spec.parent / "more").exists()


WRITTEN = {
    "openai": ("messages", 0, "content"),
    "together": ("messages", 0, "content"),
    "vertex": ("systemInstruction", "parts", 0, "text"),
    "bedrock": ("system", 0, "text"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_export_for_hosted_tuners(name: str, spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their formats are held to what others wrote in each plugin's tests; here: no account, no key, nothing is sent."""
    if importlib.util.find_spec(f"ftspec_{name}") is None:
        pytest.skip(f"ftspec-{name} is not installed")
    assert run(capsys, "data", "export", spec, "--to", name, "-o", "out", "-q")[0] == 0
    lines = (spec.parent / "out/train.jsonl").read_text().splitlines()
    assert len(lines) == 4
    value = json.loads(lines[0])
    for key in WRITTEN[name]:
        value = value[key]
    assert value == "s"


# ---- the counts of the waterfall

VALUES = st.lists(
    st.tuples(st.sampled_from(["", " ", "a", "a ", "b", "ann@x.example", "c" * 30]), st.sampled_from("xy"))
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES)
def test_rows_in_are_rows_out_and_dropped(
    values: list[tuple[str, str]], spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(spec.parent / "data/rows.jsonl", texts([*values, ("kept", "z")]))
    shown = asked(capsys, "data", "show", spec)
    counts = shown["counts"]
    own = [count for count in counts if not count["name"].startswith("prompts: ")]
    assert own[0]["rows_in"] == len(values) + 1
    for count in counts:
        assert count["rows_in"] - count["rows_out"] == sum(count["reasons"].values())
        assert 0 <= count["changed"] <= count["rows_out"]
    assert all(before["rows_out"] == after["rows_in"] for before, after in pairwise(own))
    assert own[-1]["rows_out"] == shown["size"]["rows"]


# ---- data that cannot be used


def test_diff_of_data_that_cannot_be_used(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What made a check fail is what one wants to see."""
    spec.write_text(SPEC.replace("provider:", "checks:\n  - expect: {columns: {label: {in_set: [a, b]}}}\nprovider:"))
    commit(spec.parent, "good")
    write(spec.parent / "data/rows.jsonl", texts([*ROWS, ("four", "c")]))
    found = asked(capsys, "data", "diff", "HEAD", "--spec", spec)
    assert [one["origin"] for one in found["samples_added"]] == ["data/rows.jsonl:7"]
    assert "a git revision takes --spec" in run(capsys, "data", "diff", "HEAD", spec, "-q")[2]


def test_show_and_why_of_data_that_cannot_be_used(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who is told of a wrong row looks at it: the waterfall and the row's life are there, and so is what is wrong."""
    spec.write_text(SPEC.replace("provider:", "checks:\n  - expect: {columns: {label: {in_set: [a]}}}\nprovider:"))
    code, out, err = run(capsys, "data", "show", spec, "-q")
    assert code == 1
    assert ["dedupe", "5", "4", "1", "20.0%", "duplicate:", "1"] in [line.split() for line in out.splitlines()]
    assert "data/rows.jsonl:5: column 'label' is none of 'a'" in err
    found = {line: asked(capsys, "data", "why", spec, f"data/rows.jsonl:{line}")[0] for line in (1, 4, 5)}
    assert found[5]["life"]["side"] == "train"
    assert [one["message"] for one in found[5]["findings"]] == ["column 'label' is none of 'a'"]
    assert found[4]["life"]["because"] == "data/rows.jsonl:1"
    assert not found[1]["findings"] and not found[4]["findings"]
    assert "  error: column 'label' is none of 'a'" in run(capsys, "data", "why", spec, "data/rows.jsonl:5", "-q")[1]


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_why_of_a_line_that_is_no_row(on_error: str, spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = '  - jsonl: {path: "data/*.jsonl"}'
    spec.write_text(SPEC.replace(source, f"{source}\n    on_error: {on_error}"))
    (spec.parent / "data/rows.jsonl").write_text('{"text": "a", "label": "b"}\n{oops\n')
    code, _, err = run(capsys, "data", "why", spec, "data/rows.jsonl:2", "-q")
    assert code == 1
    assert "data/rows.jsonl:2:2: not JSON" in err


SHAREGPT = [{"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}]


def test_a_life_begins_with_what_was_read(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where no step follows: else nothing would say what became of a row in another shape."""
    spec.write_text(SPEC.partition("cleaning:")[0] + "provider:\n  simulated: {}\nmodel: sim-base\n")
    write(spec.parent / "data/rows.jsonl", SHAREGPT)
    (found,) = asked(capsys, "data", "why", spec, "data/rows.jsonl:1")
    (step,) = found["steps"]
    assert (step["step"], step["what"]) == ("source", "read")
    assert [message["content"] for message in step["after"]["messages"]] == ["hi", "ho"]


def test_white_space_of_what_was_read_and_dropped_is_shown(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It may be the reason: of what a step changed it was shown."""
    spec.write_text(SPEC.replace("  - redact: {entities: [email]}\n", "").replace("  - strip\n", ""))
    write(spec.parent / "data/rows.jsonl", texts([("  two\t words\n", "a"), ("  two\t words\n", "a")]))
    _, out, _ = run(capsys, "data", "why", spec, "data/rows.jsonl:2", "-q")
    assert "    + text:   two\\t words⏎\n" in out
    assert "    - text:   two\\t words⏎\n" in out


def test_why_of_a_row_that_a_mixture_repeats(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (spec.parent / "more").mkdir()
    write(spec.parent / "more/own.jsonl", texts([("own", "a")]))
    mixed = "  - jsonl: {path: more/own.jsonl}\nmix: {until: 9, seed: 1}\ncleaning:\n  - strip\nformat:"
    head, _, rest = SPEC.partition("cleaning:")
    spec.write_text(head + mixed + rest.partition("format:")[2])
    found = asked(capsys, "data", "why", spec, "more/own.jsonl:1")
    assert len(found) > 1
    assert len({one["life"]["row"] for one in found}) == len(found)
    for one in found:
        assert [step["what"] for step in one["steps"]] == ["read", "same", "changed"]
        assert one["steps"][-1]["after"]["messages"][1]["content"] == "own"


def test_warnings_are_seen_in_a_plan_and_told_by_a_run(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check = "checks:\n  - expect: {columns: {label: {in_set: [b]}}}\n    severity: warning\nprovider:"
    spec.write_text(SPEC.replace("provider:", check, 1))
    (spec.parent / "data/rows.jsonl").write_text(
        "".join(json.dumps({"text": f"text {at}", "label": "a"}) + "\n" for at in range(9))
    )
    code, out, _ = run(capsys, "plan", "-q", spec)
    assert code == 0
    lines = [line for line in out.splitlines() if line.startswith("  warning")]
    assert lines[0] == "  warning  data/rows.jsonl:1: column 'label' is none of 'b' [expect]; here it is 'a'"
    assert lines[-1] == "  warning  column 'label' is none of 'b' (in 4 more rows)"
    for epochs in (1, 2):  # data that are made, and data that are kept from before
        told = run(capsys, "run", spec, "--set", f"hyperparameters.epochs={epochs}")[2]
        see = f"see `ftspec data show {spec} --set hyperparameters.epochs={epochs}`"
        assert f"9 warnings about the data: {see}" in told
