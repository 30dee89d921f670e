"""Specs are edited in place: what was wanted is said, and every other character is as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec.common.errors import FtspecError
from ftspec.document import document, editing

TEXT = """\
# A spec.
name:   "quoted"     # its name
provider:
  local: {device: cpu, threads: 2}   # the tuner
hyperparameters:      # what steers it
  epochs: 3           # often enough
  # about the next one
  batch_size: 4

  lora:
    rank: 8           # narrow
    layers: 15
model: smollm2        # small
method: {sft: {train_on: last}}
requires: ["a>=1", b]
list:
  - one   # first
  - two
last: {a: 1, b: {c: 2, d: 3}, e: [1, 2]}   # end
"""


def read(text: str) -> Any:
    found = document.read_text(text, Path("t.yaml"))
    assert not found.problems, found.problems
    return found.data


def changed(edited: str, text: str = TEXT) -> tuple[list[str], list[str]]:
    """Lines that went, and lines that came."""
    old, new = text.splitlines(), edited.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_nothing_to_do_changes_nothing() -> None:
    assert editing.edit(TEXT, read(TEXT)) == TEXT


def test_a_provider_is_renamed_where_it_stands() -> None:
    wanted = {**read(TEXT), "provider": {"openai": {}}}
    assert changed(editing.edit(TEXT, wanted, {"provider": "local"}, "gone")) == (
        ["  local: {device: cpu, threads: 2}   # the tuner"],
        ["  # gone: local.device: cpu", "  # gone: local.threads: 2", "  openai: {}   # the tuner"],
    )


def test_keys_of_a_block_become_comments() -> None:
    wanted = read(TEXT)
    del wanted["hyperparameters"]["epochs"], wanted["hyperparameters"]["lora"]["layers"]
    assert changed(editing.edit(TEXT, wanted, note="not for x")) == (
        ["  epochs: 3           # often enough", "    layers: 15"],
        ["  # not for x: epochs: 3           # often enough", "    # not for x: layers: 15"],
    )


def test_a_whole_block_becomes_comments() -> None:
    edited = editing.edit(TEXT, {**read(TEXT), "hyperparameters": {}}, note="not for x")
    gone, came = changed(edited)
    assert len(gone) == 6 and "# about the next one" in edited
    assert came[0] == "hyperparameters: {}      # what steers it"
    assert came[1] == "  # not for x: epochs: 3           # often enough"


def test_keys_between_braces_are_told_above() -> None:
    wanted = read(TEXT)
    del wanted["last"]["a"], wanted["last"]["b"]["c"]
    wanted["last"]["f"] = "new"
    assert changed(editing.edit(TEXT, wanted, note="gone")) == (
        ["last: {a: 1, b: {c: 2, d: 3}, e: [1, 2]}   # end"],
        ["# gone: last.a: 1", "# gone: last.b.c: 2", "last: {b: {d: 3}, e: [1, 2], f: new}   # end"],
    )


def test_values_change_in_place() -> None:
    wanted = {
        **read(TEXT),
        "model": "gpt-4.1",
        "name": "other",
        "requires": [],
        "list": ["one", "three"],
        "method": "dpo",
    }
    wanted["hyperparameters"]["lora"] = True
    wanted["new"] = {"key": [1, None, 2e-5]}
    edited = editing.edit(TEXT, wanted)
    assert "model: gpt-4.1        # small" in edited and "name:   other     # its name" in edited
    assert "  - one   # first\n  - three\n" in edited and "\nnew: {key: [1, null, 2.0e-05]}\n" in edited


def test_a_text_without_a_last_line_break() -> None:
    assert editing.edit("a: 1\nb: 2", {"a": 1, "b": 2, "c": 3}) == "a: 1\nb: 2\nc: 3\n"
    assert editing.edit("a: 1\nb: 2", {"a": 1}, note="gone") == "a: 1\n# gone: b: 2"
    assert editing.edit("a:\nb: 2", {"a": 1, "b": 2}) == "a: 1\nb: 2"


def test_what_cannot_be_edited_is_refused() -> None:
    with pytest.raises(FtspecError, match="cannot be edited"):
        editing.edit("a: {x: &one 1}\nb: *one\n", {"a": {}, "b": 1})


TEXTS = st.sampled_from(
    ["a", "yes", "1", "", " b", "a: b", "#", "- c", "é", "x#y", "null", "a,b", "'", "{", "1e3", "~"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 2e-5, 1e20]) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdef"), inner, max_size=3),
    max_leaves=8,
)
SPECS = st.dictionaries(st.sampled_from(["one", "two", "three"]), VALUES, min_size=1)


@given(SPECS, SPECS, st.booleans())
def test_any_spec_becomes_any_other(now: dict[str, Any], wanted: dict[str, Any], block: bool) -> None:
    import yaml

    text = yaml.safe_dump(now, default_flow_style=not block, sort_keys=False, allow_unicode=True)
    try:
        now = read(text)
    except AssertionError:
        return  # PyYAML writes YAML 1.1: some texts are numbers in ours
    assert read(editing.edit(text, wanted)) == wanted


@given(VALUES)
def test_a_value_on_one_line_is_read_again(value: Any) -> None:
    assert read(f"a: {editing.written(value)}\n") == {"a": value}


def test_places_are_those_of_the_parser_that_reads_specs() -> None:
    text = "a: {q: Where is it?, b: 1}   # é\r\nc: 'ü'\u2028d: 2\nlist: {x: 1}\n"
    edited = editing.edit(text, {**read(text), "a": {"q": "Where is it?"}, "list": {"x": 2}}, note="gone")
    assert edited == "# gone: a.b: 1\na: {q: Where is it?}   # é\r\nc: 'ü'\u2028d: 2\nlist: {x: 2}\n"
