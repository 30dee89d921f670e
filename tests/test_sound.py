"""What is told to be sound at once is what jsonschema finds nothing wrong with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ftspec import document, registry, schema
from ftspec.sound import is_sound

pytest.importorskip("jsonschema_rs")
ROOT = Path(__file__).parents[1]
SPECS = sorted([*(ROOT / "specs").glob("*.yaml"), *(ROOT / "tests" / "bad_specs").glob("*.yaml")])
NUMBER = {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}}


def test_it_agrees_with_jsonschema_about_every_spec() -> None:
    installed = registry.load()
    told: list[Path] = []
    for file in SPECS:
        data = document.read(file).data
        composed = schema.compose(installed, set(schema._words(data)))
        if is_sound(composed, data):
            told.append(file)
            assert schema._validator()(composed).is_valid(data), file
    assert ROOT / "specs" / "quickstart.yaml" in told and len(told) > 10


@pytest.mark.parametrize(
    ("data", "sound"),
    [
        ({"count": 3}, True),
        ({"count": 0}, False),
        ({"count": 3.0}, False),
        ({"count": 10**30}, True),
        ({"other": [{"deep": 2.0}]}, False),
        ({"other": 2.5}, True),
        ({1: "a key that is no text"}, False),
    ],
)
def test_where_it_cannot_know_it_says_no(data: Any, sound: bool) -> None:
    assert is_sound(NUMBER, data) == sound


def test_without_the_extra_it_says_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    assert not is_sound(NUMBER, {"count": 3})
