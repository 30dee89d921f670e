"""The first look at a document says what jsonschema says."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec import registry
from ftspec.document import document
from ftspec.registry import Registry
from ftspec.validation import glance, schema

SPECS = sorted((Path(__file__).parents[1] / "specs").glob("*.yaml"))
VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    1.0,
    2.5,
    -1,
    "",
    "a",
    "abc",
    [],
    [1],
    ["a", 1, True],
    {},
    {"a": 1},
    {"b": "x", "a": 0},
)
SCHEMAS: tuple[dict[str, Any], ...] = (
    {"type": "integer"},
    {"type": "number"},
    {"type": "boolean"},
    {"type": ["null", "object"]},
    {"enum": [1, "a", None]},
    {"enum": [True, 2.5]},
    {"const": 0},
    {"const": False},
    {"minimum": 1, "maximum": 1},
    {"exclusiveMinimum": 0, "exclusiveMaximum": 2.5},
    {"minLength": 1, "maxLength": 2},
    {"pattern": "b"},
    {"minItems": 1, "maxItems": 2},
    {"items": {"type": "string"}},
    {"prefixItems": [{"type": "string"}, {"minimum": 1}], "items": False},
    {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
    {"minProperties": 1, "maxProperties": 1},
    {"properties": {"a": {"minimum": 1}}, "additionalProperties": False},
    {"properties": {"a": True, "b": False}},
    {"additionalProperties": {"type": "string"}},
    {"required": ["a", "b"]},
    {"propertyNames": {"enum": ["a"]}},
    {"dependentSchemas": {"b": {"required": ["c"]}}},
    {"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"type": "object"}},
    {"if": {"type": "string"}, "else": False},
    {"if": {"type": "string"}, "then": False},
    {"not": {"type": "string"}},
    {"allOf": [{"type": "number"}, {"not": {"const": 1}}]},
    {"$ref": "#/$defs/few", "title": "t", "default": 3},
)


@pytest.fixture(scope="module")
def installed() -> Registry:
    return registry.load()


@pytest.mark.parametrize("claim", SCHEMAS, ids=str)
def test_every_keyword_means_the_same(claim: dict[str, Any]) -> None:
    whole = {**claim, "$defs": {"few": {"maxItems": 1}}}
    for value in VALUES:
        assert glance.follows(value, whole) == schema.validator(whole).is_valid(value), value


def test_they_are_all_the_keywords() -> None:
    assert {name for claim in SCHEMAS for name in claim} >= glance.KEYWORDS.keys()


@pytest.mark.parametrize(
    "claim",
    [
        {"not": {"multipleOf": 2}},
        {"enum": [[1]]},
        {"type": "nonsense"},
        {"$ref": "urn:ftspec:elsewhere"},
        {"$ref": "#/$defs/none"},
        {"$ref": "#"},
    ],
    ids=str,
)
def test_what_is_not_known_is_not_vouched_for(claim: dict[str, Any]) -> None:
    assert not glance.follows([True], {"allOf": [claim], "$defs": {}})


def keywords(claim: Any) -> set[str]:
    """Of a schema and all in it."""
    if isinstance(claim, list):
        return {name for one in claim for name in keywords(one)}
    if not isinstance(claim, dict):
        return set()
    found = set(claim)
    for name, value in claim.items():
        if name in {"properties", "$defs", "dependentSchemas"}:
            found |= keywords(list(value.values()))
        elif name not in {"default", "enum", "const"}:
            found |= keywords(value)
    return found


def test_it_knows_all_that_the_plugins_here_say(installed: Registry) -> None:
    assert keywords(schema.compose(installed)) <= glance.KEYWORDS.keys() | glance.NO_CLAIMS


@pytest.mark.parametrize("file", SPECS, ids=lambda file: file.stem)
def test_good_specs_are_good(file: Path, installed: Registry) -> None:
    assert glance.follows(document.read(file).data, schema.compose(installed))


ODD = st.sampled_from([None, True, 0, 1, -1, 1.0, 0.5, "", "a", "sft", "simulated", [], ["a"], {}, {"a": 1}])


def places(data: Any) -> list[tuple[Any, Any]]:
    """Everything that holds something, with its keys."""
    inner = list(data.items()) if isinstance(data, dict) else list(enumerate(data)) if isinstance(data, list) else []
    return [*((data, key) for key, _ in inner), *(place for _, value in inner for place in places(value))]


@settings(max_examples=400, deadline=None)
@given(draw=st.data())
def test_specs_that_are_changed_at_random(draw: st.DataObject, installed: Registry) -> None:
    file = draw.draw(st.sampled_from(SPECS))
    data = copy.deepcopy(document.read(file).data)
    for _ in range(draw.draw(st.integers(1, 2))):
        holder, key = draw.draw(st.sampled_from(places(data)))
        change = draw.draw(st.sampled_from(["set", "drop", "add"]))
        if change == "set":
            holder[key] = draw.draw(ODD)
        elif change == "drop":
            del holder[key]
        elif isinstance(holder, list):
            holder.append(draw.draw(ODD))
        else:
            holder[draw.draw(st.sampled_from(["id", "split", "weight", "sft", "jsonl", "x"]))] = draw.draw(ODD)
    composed = schema.compose(installed, set(schema.words(data)))
    assert glance.follows(data, composed) == schema.validator(composed).is_valid(data)
