"""load_spec: good specs come out whole, nothing but SpecError is ever raised, secrets stay secret, and it is quick."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from plugged import Acme, plug

from ftspec import api, problems, registry
from ftspec.authoring import starter
from ftspec.common.errors import SpecError
from ftspec.common.references import mask
from ftspec.document import document
from ftspec.plans import stepkeys
from ftspec.registry import Registry
from ftspec.validation import reference, validate
from ftspec.validation.validate import Loaded

ROOT = Path(__file__).parents[1]
HEAVY = {"pyarrow", "jinja2", "numpy", "obstore", "zstandard", "torch", "click", "pydantic", "requests", "httpx"}
SOURCES = "version: 1\nname: x\nsources:\n  - examples: {rows: [{text: a}]}\n"
TUNER = "provider: simulated\nmodel: m\n"
EVAL = "split: {test: 0.5}\neval:\n  prompts: [{split: test}]\n  graders: [exact]\n"


@pytest.fixture(scope="module")
def installed() -> Registry:
    return registry.load()


def load(folder: Path, text: str, installed: Registry, *overrides: str) -> Loaded:
    file = folder / "spec.yaml"
    file.write_text(text, encoding="utf-8")
    return validate.load_spec(file, installed, overrides)


def said(folder: Path, text: str, installed: Registry, *overrides: str) -> str:
    with pytest.raises(SpecError) as raised:
        load(folder, text, installed, *overrides)
    return problems.render(raised.value.problems, raised.value.document)


def test_the_starter_validates_as_it_is(tmp_path: Path, installed: Registry) -> None:
    file, _ = starter.write(tmp_path / "spec.yaml")
    loaded = validate.load_spec(file, installed)
    assert loaded.warnings == ()
    assert loaded.spec.provider.name == "simulated"
    assert loaded.spec.split.test == "held-out"


@pytest.mark.parametrize("file", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda file: file.stem)
def test_our_own_specs_are_valid(file: Path, installed: Registry) -> None:
    validate.load_spec(file, installed)


def test_secrets_may_be_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    text = SOURCES + 'provider: {hosted: {key: "${secret:NOT_SET_ANYWHERE}"}}\nmodel: m\n'
    loaded = load(tmp_path, text, with_plugin())
    assert loaded.spec.secrets == ("NOT_SET_ANYWHERE",)
    assert loaded.spec.provider.options == {"key": "${secret:NOT_SET_ANYWHERE}"}
    assert "NOT_SET_ANYWHERE" in mask.names


def test_overrides_change_the_spec(tmp_path: Path, installed: Registry) -> None:
    loaded = load(tmp_path, SOURCES + TUNER, installed, "hyperparameters.epochs=2", "model=other", "split.test=0.25")
    assert loaded.spec.hyperparameters == {"epochs": 2}
    assert loaded.spec.model.id == "other"
    assert loaded.spec.split.test == 0.25


def test_environment_values_are_used_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: Registry
) -> None:
    monkeypatch.setenv("VALIDATE_MODEL", "private-name")
    text = SOURCES + 'provider: simulated\nmodel: "${env:VALIDATE_MODEL}"\n'
    assert load(tmp_path, text, installed).spec.model.id == "private-name"
    monkeypatch.setenv("VALIDATE_MODEL", "./private-name")
    shown = said(tmp_path, text, installed)
    assert "private-name" not in shown
    assert "no such model folder: ${env:VALIDATE_MODEL}" in shown


def test_greedy_repeats_are_a_warning(tmp_path: Path, installed: Registry) -> None:
    loaded = load(tmp_path, SOURCES + TUNER + EVAL + "  repeat: 3\n", installed)
    (warning,) = loaded.warnings
    assert (warning.severity, warning.line) == ("warning", 11)


@pytest.mark.parametrize(
    "generation", ["{temperature: }", "{temperature: hot}", "5", "{temperature: .inf}", "{temperature: 1e999}"]
)
def test_a_temperature_that_cannot_be_read_is_not_called_greedy(
    tmp_path: Path, installed: Registry, generation: str
) -> None:
    gates = "gates:\n  - consistency: {min: 0.5}\n"
    text = SOURCES + TUNER + EVAL + f"  repeat: 3\n  generation: {generation}\n{gates}"
    shown = said(tmp_path, text, installed)
    assert ":12:" in shown
    assert "greedy" not in shown
    assert "can never pass" not in shown


def test_an_override_that_cannot_be_used_is_not_judged_by_what_it_replaces(tmp_path: Path, installed: Registry) -> None:
    text = SOURCES + TUNER + EVAL + "  repeat: 3\ngates:\n  - consistency: {min: 0.5}\n"
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as raised:
        validate.load_spec(file, installed, ["eval.generation.temperature=.nan"])
    (problem,) = raised.value.problems
    assert problem.file == "--set eval.generation.temperature=.nan"
    assert problem.message == "the value cannot be used: infinity and NaN are not usable numbers"


def test_consistency_without_a_temperature_can_never_pass(tmp_path: Path, installed: Registry) -> None:
    text = SOURCES + TUNER + EVAL + "  repeat: 3\ngates:\n  - consistency: {min: 0.5}\n"
    assert "can never pass" in said(tmp_path, text, installed)


def test_a_waiver_holds_until_its_day(tmp_path: Path, installed: Registry) -> None:
    today = datetime.date.today()
    spec = SOURCES + TUNER + "checks:\n  - leakage: {}\n    waive: {reason: r, owner: o, until: DAY}\n"
    assert load(tmp_path, spec.replace("DAY", f"{today}"), installed).spec.checks[0].waive is not None
    yesterday = today - datetime.timedelta(days=1)
    assert "waiver ended" in said(tmp_path, spec.replace("DAY", f"{yesterday}"), installed)


def test_paths_are_relative_to_the_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: Registry) -> None:
    (tmp_path / "specs" / "data").mkdir(parents=True)
    (tmp_path / "specs" / "data" / "a.jsonl").write_text("{}\n")
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    text = "version: 1\nname: x\nsources:\n  - jsonl: {path: P}\nprovider: simulated\nmodel: ../models/tiny\n"
    for path in ("data/a.jsonl", "data", '"data/*.jsonl"', '"**/a.jsonl"', str(tmp_path / "specs/data/a.jsonl")):
        loaded = load(Path("specs"), text.replace("P", path, 1), installed)
        assert loaded.spec.model.id == str(tmp_path / "models" / "tiny")
        assert loaded.spec.folder == tmp_path / "specs"
    for path in ("a.jsonl", '"data/*.csv"', "specs/data/a.jsonl"):
        assert "no such file" in said(Path("specs"), text.replace("P", path, 1), installed)


def test_what_follows_from_a_fault_is_not_said(tmp_path: Path, installed: Registry) -> None:
    text = SOURCES + TUNER + "hyperparameters:\n  epochs: 1\n  epochs: 2\n  batch_size: .nan\n"
    assert said(tmp_path, text, installed).count("spec.yaml:") == 2


# Plugins that misbehave.


def rule(options: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if options["mode"] == "raise":
        raise ZeroDivisionError("in the rule")
    if options["mode"] == "odd":
        yield ("mode",), "odd modes need `size`"


@api.row_step(rules=[rule])
def moody(*, mode: str = "") -> api.RowStep:
    """Do as the mode says."""
    raise AssertionError("never built here")


class Hosted(Acme):
    """A tuner far away."""

    def __init__(self, *, key: str = "", region: str = "") -> None:
        if region == "moon":
            raise api.FtspecError("no such region", "use another")
        if region == "mars":
            raise KeyError(key)
        self.region = region

    def problems(self, request: api.Request) -> Iterable[api.Problem]:
        if self.region == "full":
            yield api.Problem(message="the model is retired", hint="take another", path=("model",))
            yield api.Problem(message="few epochs", path=("hyperparameters", "epochs"), severity="warning")


def with_plugin() -> Registry:
    import msgspec

    class Options(msgspec.Struct, forbid_unknown_fields=True):
        epochs: int = 1

    Hosted.methods = {"sft": api.Method(Options, Options)}
    return plug(
        registry.load(),
        "test",
        "ftspec-test",
        ftspec_cleaners=lambda: {"moody": moody},
        ftspec_providers=lambda: {"hosted": api.provider(name="hosted")(Hosted)},
    )


def test_rules_see_defaults_and_point_into_the_options(tmp_path: Path) -> None:
    text = SOURCES + "cleaning:\n  - moody\n  - moody: {mode: odd}\n" + TUNER
    shown = said(tmp_path, text, with_plugin())
    assert "spec.yaml:7:19: cleaning step 'moody': odd modes need `size`" in shown


def test_a_plugin_that_raises_is_named(tmp_path: Path) -> None:
    shown = said(tmp_path, SOURCES + "cleaning: [moody: {mode: raise}]\n" + TUNER, with_plugin())
    assert "ZeroDivisionError" in shown
    assert "ftspec-test[test]" in shown


def test_missing_packages_are_a_warning_with_the_line_that_helps(tmp_path: Path) -> None:
    """A spec can be checked where it cannot be run."""
    needy = api.provider(
        name="needy", dependencies=["msgspec", "nonsuch-a", "nonsuch-b>=2", "msgspec<0.1"], install='pip install "x[y]"'
    )(Hosted)
    made = plug(with_plugin(), "needy", ftspec_providers=lambda: {"needy": needy})
    (warning,) = load(tmp_path, SOURCES + "provider: needy\nmodel: m\n", made).warnings
    assert warning.message == "provider 'needy' cannot run here without nonsuch-a, nonsuch-b>=2, msgspec<0.1"
    assert (warning.severity, warning.line, warning.hint) == ("warning", 5, 'pip install "x[y]"')


def test_packages_that_options_name_are_missed_with_their_own_line(tmp_path: Path) -> None:
    """A model that an option names is one. What pip installs is one line, each of the others has its own."""

    def packages(options: Mapping[str, Any]) -> dict[str, str]:
        return {name: f"fetch {name}" for name in options["models"]}

    @api.row_step(dependencies=["msgspec", "nonsuch-a", "nonsuch-b"], packages=packages)
    def modelled(*, models: list[str] = ["click", "nonsuch_c"]) -> api.RowStep:  # noqa: B006
        return dict

    made = plug(with_plugin(), "modelled", ftspec_cleaners=lambda: {"modelled": modelled})
    steps = "cleaning:\n  - modelled\n  - modelled: {models: [nonsuch_d]}\n  - modelled: {models: []}\n"
    found = load(tmp_path, SOURCES + steps + TUNER, made).warnings
    missing = "cleaning step 'modelled' cannot run here without nonsuch-a, nonsuch-b"
    pip = 'pip install "nonsuch-a" "nonsuch-b"'
    assert [(each.line, each.message, each.hint) for each in found] == [
        (6, f"{missing}, nonsuch_c", f"{pip} && fetch nonsuch_c"),
        (7, f"{missing}, nonsuch_d", f"{pip} && fetch nonsuch_d"),
        (8, missing, pip),
    ]
    codes = {stepkeys.code_of(modelled, {"models": names}) for names in (["click"], ["msgspec"], [])}
    assert len(codes) == 2  # msgspec counts anyway
    assert stepkeys.code_of(modelled, {"models": 7}) in codes


def test_what_is_experimental_is_a_warning_and_stands_in_the_reference(tmp_path: Path) -> None:
    raw = api.provider(name="raw", experimental="it never met a real account")(Hosted)
    made = plug(with_plugin(), "raw", ftspec_providers=lambda: {"raw": raw})
    (warning,) = load(tmp_path, SOURCES + "provider: raw\nmodel: m\n", made).warnings
    assert warning.message == "provider 'raw' is experimental: it never met a real account"
    assert (warning.severity, warning.line) == ("warning", 5)
    assert "**Experimental**: it never met a real account." in reference.markdown(made)
    assert "Experimental: it never met a real account." in reference.component_text(made.components["provider"]["raw"])


@pytest.mark.parametrize(
    ("region", "message"),
    [("moon", "no such region; use another"), ("mars", "KeyError"), ("full", "spec.yaml:6:8: the model is retired")],
)
def test_what_a_provider_says(tmp_path: Path, region: str, message: str) -> None:
    text = SOURCES + f"provider: {{hosted: {{region: {region}}}}}\nmodel: m\nhyperparameters: {{epochs: 3}}\n"
    shown = said(tmp_path, text, with_plugin())
    assert message in shown
    assert region != "full" or "warning: few epochs" in shown


# Secrets.

PLACES = [
    'name: "{}"',
    'model: "{}"',
    'requires: ["{}"]',
    'method: "{}"',
    'extra: "{}"',
    '"{}": 1',
    'split: {{by: "{}"}}',
    'hyperparameters: {{epochs: "{}"}}',
    'provider: "{}"',
    'provider: {{simulated: {{outcome: "{}"}}}}',
    'format: {{chat: {{user: "{}", assistant: "{{% {} %}}"}}}}',
    'sources: ["{}"]',
    'sources: [{{jsonl: {{path: "{}"}}}}]',
    'sources: [{{examples: {{rows: ["{}"]}}}}]',
    'eval: {{prompts: ["{}"], graders: [{{regex: {{pattern: "(" , "{}": 1}}}}]}}',
]


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_shown_nowhere(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: Registry
) -> None:
    """Neither as a reference, nor pasted beside one, nor through the environment; in text, JSON and annotations."""
    monkeypatch.setenv("SPEC_SECRET", "s3cr3t-v4lue")
    base = SOURCES + TUNER
    key = place.split(":")[0].strip('"')
    lines = base.splitlines(keepends=True)
    kept = "".join(line for line in lines if not line.startswith(f"{key}:") and not (key == "sources" and "-" in line))
    for value in ("${secret:SPEC_SECRET}", "s3cr3t-v4lue", "${env:SPEC_SECRET}"):
        text = kept + 'engine: {threads: {x: "${secret:SPEC_SECRET}"}}\n' + place.format(value, value) + "\n"
        file = tmp_path / "spec.yaml"
        file.write_text(text)
        with pytest.raises(SpecError) as raised:
            validate.load_spec(file, installed, ["name=s3cr3t-v4lue", "nonsense s3cr3t-v4lue"])
        for form in ("text", "json", "github"):
            assert "s3cr3t-v4lue" not in problems.render(raised.value.problems, raised.value.document, form)
        assert "s3cr3t-v4lue" not in repr(raised.value.problems)
        assert "s3cr3t-v4lue" not in str(raised.value)


# Nothing else gets out.

GOOD = starter.text("fuzz")
DATA = document.parse(GOOD, Path("spec.yaml")).data
WORDS = st.sampled_from(
    [
        "",
        "jsonl",
        "examples",
        "split",
        "test",
        "strip",
        "local",
        "simulated",
        "id",
        "sft",
        "${env:X}",
        "${secret:X}",
        "./x",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | WORDS | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
TARGETS = ["sources[0].examples.rows", "eval.repeat", "cleaning[0].strip", "provider.simulated.idle", "split.test.x"]
SETTINGS = st.text(alphabet="abcdeghlmnoprs[]0.= {}:-'\"", max_size=20) | st.builds(
    "{}={}".format, st.sampled_from(TARGETS), st.text(max_size=5)
)


def only_spec_errors(text: str, folder: Path, installed: Registry, *overrides: str) -> None:
    file = folder / "spec.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        loaded = validate.load_spec(file, installed, overrides)
        problems.render(loaded.warnings, loaded.document)
    except SpecError as error:
        assert error.problems
        for form in ("text", "json", "github"):
            assert "Traceback" not in problems.render(error.problems, error.document, form)
        assert all(problem.message and problem.file for problem in error.problems)


QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
@example("\ufeff")
@example("a: \ud800")
def test_no_text_gets_through(tmp_path: Path, installed: Registry, text: str) -> None:
    only_spec_errors(text, tmp_path, installed)


@QUICK
@given(st.dictionaries(st.sampled_from([*DATA, "checks", "engine", "method", "stages"]), VALUES))
def test_no_structure_gets_through(tmp_path: Path, installed: Registry, changes: dict[str, Any]) -> None:
    only_spec_errors(json.dumps(DATA | changes), tmp_path, installed)


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in entries:
        yield from places(value, (*path, key))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    if isinstance(data, dict):
        return {key: changed(entry, path[1:], value) if key == path[0] else entry for key, entry in data.items()}
    return [changed(entry, path[1:], value) if index == path[0] else entry for index, entry in enumerate(data)]


@QUICK
@given(st.lists(st.tuples(st.sampled_from([*places(DATA)]), VALUES), min_size=1, max_size=2))
@example([(("eval", "prompts", 0, "split"), True)])
def test_no_mutation_of_a_good_spec_gets_through(
    tmp_path: Path, installed: Registry, mutations: list[tuple[tuple[Any, ...], Any]]
) -> None:
    data = DATA
    for path, value in mutations:
        if path in set(places(data)):
            data = changed(data, path, value)
    only_spec_errors(json.dumps(data), tmp_path, installed)


@QUICK
@given(st.integers(0, len(GOOD)), st.integers(0, 30), st.text(alphabet="\n\t :-[]{}&*!|>'\"%@#a1.$~", max_size=6))
def test_no_slip_of_the_keyboard_gets_through(
    tmp_path: Path, installed: Registry, start: int, cut: int, typed: str
) -> None:
    only_spec_errors(GOOD[:start] + typed + GOOD[start + cut :], tmp_path, installed)


@QUICK
@given(st.lists(SETTINGS, max_size=3))
def test_no_override_gets_through(tmp_path: Path, installed: Registry, overrides: list[str]) -> None:
    only_spec_errors(GOOD, tmp_path, installed, *overrides)


# Cost.

LIST_MODULES = """
import sys, time
from pathlib import Path
from ftspec import registry; from ftspec.validation import validate
installed = registry.load()
before = time.process_time()
validate.load_spec(Path(sys.argv[1]), installed)
spent = time.process_time() - before
print(spent, *sys.modules)
"""


def test_validate_imports_nothing_heavy_and_is_quick(tmp_path: Path) -> None:
    file, _ = starter.write(tmp_path / "spec.yaml")
    environment = os.environ | {"FTSPEC_DISABLE_PLUGINS": "all"}
    done = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, file], capture_output=True, text=True, check=True, env=environment
    )
    spent, *modules = done.stdout.split()
    assert not {module.partition(".")[0] for module in modules} & HEAVY
    assert float(spent) < 0.6, "0.12 CPU seconds when this was written; the limit leaves room for slow machines"


def test_data_that_cannot_be_read_twice_are_refused(installed: Registry, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "link.jsonl").symlink_to("nowhere")
    paths = ", ".join(f"{{jsonl: {{path: {path}}}}}" for path in ("pipe.jsonl", "/dev/null", "link.jsonl"))
    with pytest.raises(SpecError) as caught:
        load(tmp_path, f"version: 1\nname: x\nsources: [{paths}]\n{TUNER}", installed)
    assert [problem.message for problem in caught.value.problems] == [
        "neither a file nor a folder: pipe.jsonl",
        "neither a file nor a folder: /dev/null",
        "no such file: link.jsonl",
    ]
    assert caught.value.problems[2].hint == "it is a link that leads nowhere"
