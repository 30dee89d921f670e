"""The composed schema: what it says of every kind of option, and in whose words; the Spec that comes out of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta
from packaging.specifiers import SpecifierSet
from plugged import Acme, plug

from ftspec import api, registry
from ftspec.authoring import starter
from ftspec.common import distributions
from ftspec.document import document
from ftspec.registry import Registry
from ftspec.spec import Spec, Waiver
from ftspec.validation import keys, places, reading, reference, requires, schema

FILE = Path("/specs/spec.yaml")


class Lora(msgspec.Struct):
    rank: Annotated[int, Meta(ge=1, le=256, description="Rank of the update.")] = 8
    targets: list[str] = []


class Csv(msgspec.Struct, tag="csv", tag_field="type"):
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","


class Json(msgspec.Struct, tag="json", tag_field="type"):
    lines: bool = True


class Hyperparameters(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    epochs: Annotated[int, Meta(ge=1)] | Literal["auto"] = "auto"
    learning_rate: float
    lora: Lora | None = None


class Beta(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    beta: Annotated[float, Meta(gt=0, le=2)]


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


@api.source
def table(
    *,
    path: api.Path,
    columns: list[str] | str | None = None,
    form: Csv | Json | None = None,
    limit: Annotated[int, Meta(ge=1)] | None = None,
    level: Literal["low", "high"] = "low",
    weights: Mapping[str, float] = {},
    pair: tuple[int, str] | None = None,
    anything: Any = None,
) -> api.Source:
    """Read a table."""
    raise AssertionError("never built here")


@api.row_step
def keep() -> api.RowStep:
    """Keep every row."""
    raise AssertionError("never built here")


class Tuner(Acme):
    """Tunes nothing."""

    methods: ClassVar[Mapping[str, api.Method]] = {
        "sft": api.Method(Hyperparameters, Nothing),
        "dpo": api.Method(Nothing, Beta),
    }

    def __init__(self, *, key: str = "", retries: int = 0) -> None:
        self.key = key

    def problems(self, request: api.Request) -> Iterable[api.Problem]:
        return ()


@pytest.fixture(scope="module")
def installed() -> Registry:
    return plug(
        Registry(),
        "test",
        ftspec_sources=lambda: {"table": table},
        ftspec_cleaners=lambda: {"keep": keep},
        ftspec_providers=lambda: {"tuner": api.provider(name="tuner")(Tuner)},
    )


GOOD: dict[str, Any] = {
    "version": 1,
    "name": "x",
    "sources": [{"table": {"path": "a"}}],
    "provider": "tuner",
    "model": "m",
    "hyperparameters": {"learning_rate": 0.1},
}


def check(installed: Registry, **changes: Any) -> list[tuple[str, str]]:
    """(place, message) of everything wrong with the good spec after changes; a change to None removes the key."""
    data = {key: value for key, value in (GOOD | changes).items() if value is not None}
    read = document.parse(json.dumps(data), FILE)
    return [(".".join(map(str, found.path)), found.message) for found in schema.check(read, installed)]


def options(installed: Registry, **given: Any) -> list[tuple[str, str]]:
    return [
        (place.removeprefix("sources.0.table."), message)
        for place, message in check(installed, sources=[{"table": {"path": "a", **given}}])
    ]


def test_the_good_one_is_good(installed: Registry) -> None:
    assert check(installed) == []


@pytest.mark.parametrize(
    "given",
    [
        {"columns": ["a"]},
        {"columns": "a"},
        {"columns": None},
        {"form": {"type": "csv", "delimiter": ";"}},
        {"form": {"type": "json", "lines": False}},
        {"limit": 1},
        {"level": "high"},
        {"weights": {"a": 1, "b": 0.5}},
        {"pair": [1, "a"]},
        {"anything": {"nested": [1, None]}},
    ],
)
def test_options_that_fit(installed: Registry, given: Any) -> None:
    assert options(installed, **given) == []


@pytest.mark.parametrize(
    ("given", "place", "message"),
    [
        ({"columns": 3}, "columns", "'columns' must be a list or text, found 3"),
        ({"columns": ["a", 1]}, "columns.1", "item 2 of 'columns' must be text, found 1"),
        ({"form": {"type": "cvs"}}, "form.type", "'type' must be 'csv' or 'json', found 'cvs'"),
        (
            {"form": {"type": "csv", "delimiter": ""}},
            "form.delimiter",
            "'delimiter' needs at least 1 character, it has none",
        ),
        ({"form": {"type": "csv", "lines": True}}, "form.lines", "unknown option 'lines' of 'form'"),
        ({"form": {}}, "form", "'form' needs 'type'"),
        ({"limit": 0}, "limit", "'limit' must be at least 1, found 0"),
        ({"limit": 1.0}, "limit", "'limit' must be a whole number, found 1.0"),
        ({"limit": True}, "limit", "'limit' must be a whole number, found true"),
        ({"level": "hihg"}, "level", "'level' must be 'high' or 'low', found 'hihg'"),
        ({"weights": {"a": "1"}}, "weights.a", "'a' must be a number, found '1'"),
        ({"path": None}, "path", "'path' must be text, found nothing"),
        ({"x" * 200: 1}, "x" * 200, f"unknown option '{'x' * 59}…' of source 'table'"),
    ],
)
def test_options_that_do_not(installed: Registry, given: Any, place: str, message: str) -> None:
    assert options(installed, **given) == [(place, message)]


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"hyperparameters": {}}, "hyperparameters", "'hyperparameters' needs 'learning_rate'"),
        ({"hyperparameters": None}, "", "'hyperparameters' is missing"),
        (
            {"hyperparameters": {"learning_rate": 1, "epochs": "many"}},
            "hyperparameters.epochs",
            "'epochs' must be a whole number or 'auto', found 'many'",
        ),
        (
            {"hyperparameters": {"learning_rate": 1, "epochs": 0}},
            "hyperparameters.epochs",
            "'epochs' must be at least 1, found 0",
        ),
        (
            {"hyperparameters": {"learning_rate": 1, "lora": {"rang": 1}}},
            "hyperparameters.lora.rang",
            "unknown option 'rang' of 'lora'",
        ),
        ({"method": "dpo", "hyperparameters": None}, "method", "method 'dpo' needs 'beta'"),
        ({"method": "dqo", "hyperparameters": None}, "method", "provider 'tuner' has no method 'dqo'"),
        ({"method": {"dqo": {}}, "hyperparameters": None}, "method.dqo", "provider 'tuner' has no method 'dqo'"),
        (
            {"method": {"dpo": {"beta": 3}}, "hyperparameters": None},
            "method.dpo.beta",
            "'beta' must be at most 2, found 3",
        ),
        ({"method": {"dpo": {}}, "hyperparameters": None}, "method.dpo", "method 'dpo' needs 'beta'"),
        (
            {"method": {"dpo": {"beta": 1}}},
            "hyperparameters.learning_rate",
            "unknown hyperparameter 'learning_rate' of provider 'tuner'",
        ),
        ({"provider": None}, "", "'provider' is missing"),
        ({"provider": {"tuner": {"kye": 1}}}, "provider.tuner.kye", "unknown option 'kye' of provider 'tuner'"),
        ({"provider": {"tuner": {}, "id": "x"}}, "provider.id", "unknown key 'id' beside provider 'tuner'"),
    ],
)
def test_the_provider_and_the_method_select(installed: Registry, changes: Any, place: str, message: str) -> None:
    assert check(installed, **{"provider": "tuner", **changes}) == [(place, message)]


@pytest.mark.parametrize(
    ("data", "keyword"),
    [([], "found a list"), ("x", "found 'x'"), (None, "found nothing"), (3, "found 3"), ({}, "'version' is missing")],
)
def test_a_spec_is_keys_with_values(installed: Registry, data: Any, keyword: str) -> None:
    read = document.parse(json.dumps(data), FILE)
    assert any(keyword in problem.message for problem in schema.check(read, installed))


def test_a_newer_version_says_only_that(installed: Registry) -> None:
    assert [place for place, _ in check(installed, version=2, nonsense=1, name=3)] == ["version"]


def test_a_missing_plugin_is_no_unknown_key(installed: Registry) -> None:
    found = check(installed, requires=["ftspec-nonsuch>=1"], provider={"nonsuch": {}}, name=3, extra=1)
    assert [place for place, _ in found] == ["requires.0", "name"]


def test_requirements_are_met_by_what_is_installed(installed: Registry) -> None:
    assert (
        check(installed, requires=["ftspec>=0.0.1", "nonsuch; python_version < '3'", "msgspec"], provider="tuner") == []
    )
    ((_, message),) = check(installed, requires=["msgspec<0.1"], provider="tuner")
    assert "is not met" in message


@pytest.mark.parametrize("installed_version", ["0.9", "1", "1.0.0", "1.2", "1.10", "2.0rc1", "1.2.post1", "1.2.dev3"])
@pytest.mark.parametrize(
    "wanted", ["", ">=1", ">=1.0", " >= 1.2", ">=1.2.0", ">=1.9", ">=2", "==1.2", "<1.2", ">=1,<2"]
)
def test_versions_are_compared_as_packaging_does(
    installed_version: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributions, "version", lambda name: installed_version)
    met = SpecifierSet(wanted.strip()).contains(installed_version, prereleases=True)
    assert bool(requires.problems({"requires": [f"thing{wanted}"]})) is not met


# The bundle.


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


@pytest.fixture(scope="module", params=["test", "all"])
def bundle(request: pytest.FixtureRequest, installed: Registry) -> dict[str, Any]:
    return schema.compose(installed if request.param == "test" else registry.load())


def test_the_bundle_is_a_schema(bundle: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(bundle)
    assert json.loads(json.dumps(bundle)) == bundle, "nothing in it but JSON"


def test_there_is_no_one_of(bundle: dict[str, Any]) -> None:
    assert not [node for node in walk(bundle) if {"oneOf", "anyOf"} & set(node)]


def test_fragments_stand_alone(bundle: dict[str, Any]) -> None:
    """Each has an `$id` of its own and refers to nothing, so that any tool resolves it the same way."""
    fragments = [one for one in bundle["$defs"].values() if "$id" in one]
    assert len({one["$id"] for one in fragments}) == len(fragments)
    assert not [node for one in fragments for node in walk(one) if "$ref" in node]


def test_editors_get_titles_descriptions_and_defaults(bundle: dict[str, Any]) -> None:
    for name, key in bundle["properties"].items():
        assert key.get("description"), name
    fragments = {name: one for name, one in bundle["$defs"].items() if "$id" in one and name.count(".") == 1}
    assert all(one["title"] and one["description"] for one in fragments.values())
    assert bundle["properties"]["eval"]["properties"]["repeat"]["default"] == 1


def test_defaults_in_the_schema_are_those_of_the_spec() -> None:
    spec = {field.name: field.default for field in msgspec.structs.fields(Spec)}
    evaluation = keys.KEYS["eval"]["properties"]
    assert {name: one["default"] for name, one in evaluation["generation"]["properties"].items()} == json.loads(
        msgspec.json.encode(api.Generation())
    )
    assert keys.KEYS["method"]["default"] == spec["method"]
    for name, one in keys.KEYS["split"]["properties"].items():
        assert one["default"] == getattr(spec["split"], name)
    assert set(places.SIBLINGS["check"]["waive"]["properties"]) == set(Waiver.__struct_fields__)


def test_no_component_has_a_reserved_name() -> None:
    assert not {loaded.component.name for loaded in registry.load().all()} & {*places.RESERVED, places.SPLIT_PROMPTS}


# To the Spec.

WHOLE = """
version: 1
name: whole
requires: [msgspec]
sources:
  - table: {path: a.csv}
    id: first
    on_error: skip
  - table: {path: b.csv}
    id: held-out
cleaning: [keep, keep: {}]
split: {validation: 0.1, test: held-out, seed: 3, by: column}
provider: {tuner: {key: "${secret:KEY}"}}
model: {id: ../models/tiny, revision: abc}
method: {dpo: {beta: 0.5}}
eval:
  prompts: [{split: test}, {table: {path: c.csv}}, {split: validation}]
  graders: []
  generation: {temperature: 1, stop: ["\\n"]}
  repeat: 3
  seed: 9
"""


def test_a_document_becomes_a_spec(installed: Registry) -> None:
    spec = reading.to_spec(document.parse(WHOLE, FILE))
    assert [(item.name, item.id, item.on_error, item.path) for item in spec.sources] == [
        ("table", "first", "skip", ("sources", 0)),
        ("table", "held-out", "fail", ("sources", 1)),
    ]
    assert [(item.name, item.options) for item in spec.cleaning] == [("keep", {}), ("keep", {})]
    assert (spec.split.validation, spec.split.test, spec.split.seed, spec.split.by) == (0.1, "held-out", 3, "column")
    assert spec.provider.options == {"key": "${secret:KEY}"}
    assert spec.secrets == ("KEY",)
    assert (spec.model.id, spec.model.revision) == ("/models/tiny", "abc")
    assert (spec.method, spec.method_options) == ("dpo", {"beta": 0.5})
    assert spec.eval is not None
    assert [prompt if isinstance(prompt, str) else prompt.path for prompt in spec.eval.prompts] == [
        "test",
        ("eval", "prompts", 1),
        "validation",
    ]
    assert spec.eval.generation == api.Generation(temperature=1, stop=("\n",))
    assert (spec.folder, spec.format, spec.engine, spec.gates) == (Path("/specs"), None, None, ())


# The pages made of it.


def test_the_reference_names_everything() -> None:
    installed = registry.load()
    page = reference.markdown(installed)
    for key in keys.KEYS:
        assert f"| `{key}` |" in page
    for loaded in installed.all():
        assert f"\n### {loaded.component.name}\n" in page
        for field in msgspec.structs.fields(loaded.component.options):
            assert f"| `{field.encode_name}` |" in page
    assert reference.markdown(registry.load()) == page


def test_an_options_table(installed: Registry) -> None:
    rows = {row.name: row for row in reference.options_table(installed.components["source"]["table"])}
    assert rows["path"][1:4] == ("path", "required", "")
    assert rows["limit"][1:4] == ("integer or nothing", "", "≥ 1")
    assert rows["level"][1:3] == ('"high" or "low"', '"low"')
    assert rows["columns"].type == "list of text or text or nothing"
    assert rows["form.delimiter"].default == '","'
    text = reference.component_text(installed.components["provider"]["tuner"])
    assert "method dpo" in text
    assert "lora.rank" in text
    assert "Rank of the update." in text


def test_the_starter_is_what_it_says(tmp_path: Path) -> None:
    written = starter.write(tmp_path / "my project" / "spec.yaml")
    assert [path.name for path in written] == ["spec.yaml", "ftspec.schema.json"]
    text = written[0].read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=ftspec.schema.json"
    assert 'name: "my-project"' in text
    data = document.load(written[0]).data
    Draft202012Validator(json.loads(written[1].read_bytes())).validate(data)


def test_the_starter_overwrites_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("mine")
    with pytest.raises(api.FtspecError, match="exists"):
        starter.write(file)
    assert file.read_text() == "mine"
    assert starter.write(file, force=True)[0].read_text() != "mine"


@pytest.mark.parametrize("name", ["", "..", "日本", "a b/c", "x" * 100, "-x-", "true", "12"])
def test_any_name_makes_a_spec_name(name: str) -> None:
    data = document.parse(starter.text(name), FILE).data
    assert Draft202012Validator(keys.KEYS["name"]).is_valid(data["name"])
