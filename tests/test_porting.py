"""`ftspec port`: every key of a spec is in the new one or listed as lost, and comments and order survive."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ftspec import registry
from ftspec.authoring import nearest, porting
from ftspec.authoring.porting import Ported
from ftspec.cli.guard import run as main
from ftspec.cli.root import cli
from ftspec.common.errors import SpecError, SpecPath
from ftspec.document import document as yaml_document
from ftspec.document.document import Document
from ftspec.validation import validate
from ftspec.validation.reading import method_of

SPECS = sorted((Path(__file__).parent.parent / "specs").glob("*.yaml"))
LOADED = registry.load()
PROVIDERS = sorted(LOADED.components["provider"])
MODELS = nearest.read()


def source_of(data: Mapping[str, Any]) -> str:
    return data["provider"] if isinstance(data["provider"], str) else next(iter(data["provider"]))


def port(text: str, file: Path, target: str) -> Ported:
    return porting.port(yaml_document.read_text(text, file), text, target, LOADED, MODELS)


def data_of(text: str, file: Path) -> dict[str, Any]:
    document: Document = yaml_document.read_text(text, file)
    assert not document.problems
    data: dict[str, Any] = document.data
    return data


def leaves(value: Any, path: SpecPath = ()) -> Iterator[tuple[SpecPath, Any]]:
    """Every value that holds no other, with its place."""
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(value, list) and value:
        for index, entry in enumerate(value):
            yield from leaves(entry, (*path, index))
    else:
        yield path, value


def anonymous(data: Mapping[str, Any]) -> dict[SpecPath, Any]:
    """The spec's leaves, whoever the tuner is: its name, and the distribution that it needs, are left out."""
    options = data["provider"] if isinstance(data["provider"], dict) else {data["provider"]: {}}
    flat = dict(leaves({**data, "provider": next(iter(options.values())), "requires": []}))
    return {path: value for path, value in flat.items() if path[:1] != ("requires",) and value != {}}


def told(ported: Ported) -> set[SpecPath]:
    """Places of what is lost, in the terms of `anonymous`."""
    return {("provider", *lost.path[2:]) if lost.path[0] == "provider" else lost.path for lost in ported.lost}


def comments(text: str) -> list[str]:
    return [match[1].strip() for match in re.finditer(r"(?:^|\s)#\s*(.*)$", text, re.MULTILINE)]


def supported(data: Mapping[str, Any]) -> list[str]:
    """Other tuners that have the spec's method."""
    known = LOADED.components["provider"]
    method, source = method_of(data)[0], source_of(data)
    return [name for name in PROVIDERS if name != source and method in known[name].component.methods]


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_every_key_is_there_or_listed_as_lost(file: Path) -> None:
    text = file.read_text()
    data = data_of(text, file)
    before = anonymous(data)
    for target in supported(data):
        there = port(text, file, target)
        after = anonymous(data_of(there.text, file))
        changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
        renamed = {("model",)} if there.model.same else set()
        assert changed <= told(there) | renamed, target
        assert all(after.get(path) != before[path] or path == ("model",) for path in told(there) & before.keys()), (
            target
        )
        assert all(lost.reason and lost.line for lost in there.lost)
        lines = "\n".join(comments(there.text))
        assert [comment for comment in comments(text) if comment not in lines] == [], "comments survive"
        assert source_of(data_of(there.text, file)) == target

        back = port(there.text, file, source_of(data))
        again = anonymous(data_of(back.text, file))
        differs = {path for path in before.keys() | again.keys() if before.get(path) != again.get(path)}
        assert differs <= told(there) | told(back), target
        assert data_of(back.text, file).get("requires") == data.get("requires")
        assert [*data_of(back.text, file)] == [*data], "keys keep their order"


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_what_comes_out_is_valid_or_says_what_to_decide(file: Path) -> None:
    data = data_of(file.read_text(), file)
    for target in supported(data):
        there = port(file.read_text(), file, target)
        try:
            validate.load_text(there.text, file, LOADED)
        except SpecError as error:
            assert all(problem.line and problem.message for problem in error.problems)
            places = {problem.path[:1] for problem in error.problems}
            assert places <= {("provider",), ("model",), ("method",), ("hyperparameters",)}, target


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_a_method_that_is_not_there_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = data_of(file.read_text(), file)
    lacking = set(PROVIDERS) - set(supported(data)) - {source_of(data)}
    for target in lacking:
        with pytest.raises(SpecError) as caught:
            port(file.read_text(), file, target)
        assert (
            f"provider '{target}' has no method" in caught.value.problems[0].message and caught.value.problems[0].line
        )
        assert main(["port", str(file), "--to", target]) == 1
        said = capsys.readouterr()
        assert said.out == "" and "has no method" in said.err


def test_every_spec_was_ported() -> None:
    ported = [(file.stem, target) for file in SPECS for target in supported(data_of(file.read_text(), file))]
    assert len(ported) >= len(SPECS) and {"local", "simulated"} <= {target for _, target in ported}


# ---- rules

TEXT = """\
version: 1
name: t
requires: ["ftspec-local>=0.1", pyarrow]
sources: [{inline: {rows: [{messages: [{role: user, content: a}, {role: assistant, content: b}]}]}}]
provider:
  local: {device: cpu}            # here
model: {id: my/model, revision: abc}
method: {sft: {train_on: last}}
hyperparameters:
  epochs: 99
  learning_rate: 1.0e-3           # the rate itself
  seed: ${env:FTSPEC_TEST_SEED}
"""


def ported(text: str, target: str = "simulated") -> tuple[dict[str, Any], dict[str, str], Ported]:
    found = port(text, Path("t.yaml"), target)
    return data_of(found.text, Path("t.yaml")), {lost.name: lost.reason for lost in found.lost}, found


def test_each_loss_has_its_reason() -> None:
    data, lost, found = ported(TEXT)
    assert data["provider"] == {"simulated": {}} and data["hyperparameters"] == {"seed": "${env:FTSPEC_TEST_SEED}"}
    assert data["model"] == {"id": "my/model", "revision": "abc"} and data["method"] == {"sft": {"train_on": "last"}}
    assert data["requires"] == ["pyarrow"]
    assert lost == {
        "provider.local.device": "an option of local's own",
        "hyperparameters.epochs": "simulated takes no such value: Expected `int` <= 50",
        "hyperparameters.learning_rate": "simulated takes `learning_rate_multiplier`, a scale of its own rate: "
        "the two are never converted into each other",
    }
    assert "# not for simulated: learning_rate: 1.0e-3           # the rate itself" in found.text
    assert [each.line for each in found.lost] == [6, 10, 11]


def test_the_other_unit_is_never_converted() -> None:
    text = "version: 1\nname: t\nsources: []\nprovider: simulated\nmodel: base\n"
    text += "hyperparameters: {learning_rate_multiplier: 2}\n"
    data, lost, found = ported(text, "local")
    assert (
        data["hyperparameters"] == {}
        and "`learning_rate`, the rate itself" in lost["hyperparameters.learning_rate_multiplier"]
    )
    assert "# not for local: hyperparameters.learning_rate_multiplier: 2\nhyperparameters: {}\n" in found.text
    assert data["provider"] == "local" and data["model"] == "base" and found.open[0].path == ("model",)


def test_defaults_that_differ_are_told() -> None:
    _, _, found = ported(TEXT.replace("  epochs: 99\n", ""), "simulated")
    assert {each.name for each in found.defaults} == set()
    text = "version: 1\nname: t\nsources: []\nprovider: simulated\nmodel: base\nmethod: dpo\n"
    assert {each.name: (each.before, each.after) for each in ported(text, "local")[2].defaults} == {}


@pytest.mark.parametrize(
    ("target", "message"), [("nowhere", "no provider 'nowhere'"), ("local", "is for 'local' already")]
)
def test_where_there_is_nothing_to_port(target: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        ported(TEXT, target)
    assert message in caught.value.problems[0].message and caught.value.problems[0].line == 5


def test_the_plugin_of_the_other_tuner_is_told() -> None:
    without = registry.load()
    del without.components["provider"]["azure"]
    file = SPECS[0]
    with pytest.raises(SpecError) as caught:
        porting.port(yaml_document.read_text(TEXT, file), TEXT, "azure", without, MODELS)
    assert [problem.hint for problem in caught.value.problems] == ["pip install ./plugins/ftspec-openai"]


# ---- models


def test_one_model_under_two_names_is_the_same() -> None:
    found = MODELS.find("meta-llama/Llama-3.1-8B-Instruct", "local", "bedrock")
    assert found.same and found.model == "meta.llama3-1-8b-instruct-v1:0:128k" and found.source and found.as_of


def test_a_model_of_the_same_class_is_a_suggestion() -> None:
    found = MODELS.find("gpt-4.1", "openai", "local")
    assert not found.same and found.model == "meta-llama/Llama-3.3-70B-Instruct" and "large" in found.why
    near = MODELS.find("gpt-4.1-mini", "openai", "together")
    assert near.model and "medium there, small here" in near.why


def test_what_nobody_knows_has_no_counterpart() -> None:
    assert MODELS.find("house/model", "local", "openai").model == ""
    assert MODELS.find("house/model", "local", "simulated") == nearest.Nearest(model="house/model", same=True)


def test_every_name_of_the_table_leads_back() -> None:
    for entry in MODELS.same:
        for source, name in entry.names.items():
            for target, other in entry.names.items():
                if source != target:
                    assert MODELS.find(name, source, target).model == other
                    assert MODELS.find(other, target, source).model == name


# ---- the command


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["port", *arguments])


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "data.jsonl").write_text('{"q": "a", "a": "b"}\n' * 3)
    file = tmp_path / "spec.yaml"
    file.write_text(
        "# mine\nversion: 1\nname: t\nsources: [{jsonl: {path: data.jsonl}}]\n"
        "format: {chat: {user: '{{ q }}', assistant: '{{ a }}'}}\n"
        "provider: {simulated: {accuracy: 0.5}}   # for now\nmodel: smollm2-135m-instruct\n"
        "hyperparameters: {epochs: 2, learning_rate_multiplier: 2.0, seed: 1}\n"
    )
    return file


def test_the_spec_goes_to_standard_output_and_the_rest_beside_it(spec: Path) -> None:
    done = run(str(spec), "--to", "local")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("# mine\n") and "provider: {local: {}}   # for now\n" in done.stdout
    assert (
        "simulated → local: 3 keys kept, 2 lost" in done.stderr
        and "line 8: hyperparameters.learning_rate_multiplier: 2.0" in done.stderr
    )
    assert "0.00 USD" in done.stderr
    assert yaml_document.read_text(done.stdout, spec).problems == ()


def test_a_file_is_written_once(spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "local.yaml"
    assert run(str(spec), "--to", "local", "-o", str(out)).exit_code == 0
    assert validate.load_spec(out, LOADED).spec.provider.name == "local"
    assert main(["port", str(spec), "--to", "local", "-o", str(out)]) == 1
    assert run(str(spec), "--to", "local", "-o", str(out), "--force").exit_code == 0


def test_json_lists_what_is_lost(spec: Path) -> None:
    done = run(str(spec), "--to", "local", "--format", "json")
    said = json.loads(done.stdout)
    assert [".".join(map(str, lost["path"])) for lost in said["lost"]] == [
        "provider.simulated.accuracy",
        "hyperparameters.learning_rate_multiplier",
    ]
    assert said["target"] == "local" and said["text"].startswith("# mine\n") and said["problems"] == []


def test_what_is_left_to_decide_exits_1_and_is_written(spec: Path, tmp_path: Path) -> None:
    spec.write_text(spec.read_text().replace("smollm2-135m-instruct", "no such model"))
    out = tmp_path / "local.yaml"
    done = run(str(spec), "--to", "local", "-o", str(out))
    assert done.exit_code == 1 and out.exists()
    assert f"{out}:8:8: " in done.stderr and "no model of local is known" in done.stderr
