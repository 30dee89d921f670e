"""Marks say what RE2 says, by patterns and by machine code, and steps do the same with either."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec import api, rows
from ftspec.builtin import marks, text
from ftspec.builtin.marks import Marks, Shape
from ftspec.compiled import entitykernels, native, scankernels, wordkernels

EVERY = [chr(code) for code in range(scankernels.OTHERS) if not 0xD800 <= code < 0xE000]
MESSY = st.text(
    st.sampled_from(
        "ab. \t\r\n\x00\x7f\x85\u2028\u00a0\u3000\u00ad\u200b\ufeffe\u0301ｘﬁ\u1100\u1161字"
        "Ãâð€š´\x9f\x98éÂÃÎ×Ĳ˚►🙂\U0001d15e»“В°"
    ),
    max_size=40,
)
STRETCHES = st.sampled_from(["x" * 31, "words, and more: " * 3, "a line\n" * 6, "a\tb " * 9, "a b" * 11])
LONGER = st.lists(STRETCHES | MESSY, max_size=4).map("".join)
"""With bytes enough for `scankernels.next_odd`."""
STEPS: list[tuple[api.Component, dict[str, Any]]] = [
    (text.normalise, {"blanks": True, "empty_lines": 1}),
    (text.normalise, {"empty_lines": 0, "unicode": "NFKC", "invisible": False}),
    (text.normalise, {"unicode": "NFKC", "blanks": True, "trailing": False}),
    (text.fix_text, {}),
]


@pytest.mark.parametrize(("component", "options"), STEPS)
@settings(max_examples=150, deadline=None)
@given(
    said=st.lists(st.one_of(MESSY, LONGER, st.text(max_size=20), st.none()), min_size=1, max_size=6),
    first=st.integers(0, 2),
)
def test_machine_code_marks_what_patterns_find(
    compiled: native.Native, component: api.Component, options: dict[str, Any], said: list[str | None], first: int
) -> None:
    prefilter: Marks = component.build(options).prefilter
    texts = rows.strings(said)[first:]
    made = prefilter.by_machine(compiled, texts)
    found = prefilter.by_pattern(texts)
    assert set(found) <= set(made)
    assert {place for place, mark in made.items() if not mark & ~int(prefilter.open)} <= set(found)
    plain = {place for place, each in enumerate(said[first:]) if each and max(each) < chr(scankernels.OTHERS)}
    for bit, shape in enumerate(prefilter.shapes):
        here = pc.indices_nonzero(pc.match_substring_regex(texts, shape.pattern)).to_pylist()
        marked = [place for place, mark in made.items() if mark >> bit & 1]
        assert set(here) <= set(marked)
        if not shape.more:
            assert set(here) & plain == set(marked) & plain


@pytest.mark.parametrize(("component", "options"), STEPS)
@settings(max_examples=100, deadline=None)
@given(said=st.lists(st.one_of(MESSY, LONGER, st.text(max_size=20)), min_size=1, max_size=6))
def test_steps_do_the_same_by_machine_code(
    compiled: native.Native, component: api.Component, options: dict[str, Any], said: list[str]
) -> None:
    step = component.build(options)
    batch = rows.from_dicts([{"a": each} for each in said])
    expected = rows.to_dicts(rows.from_dicts([{"a": step.function(each)} for each in said]))
    for kernels in (compiled, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "loaded", lambda more, kernels=kernels: kernels)
            made = rows.map_text(batch, step.function, prefilter=step.prefilter, nested=step.nested)
        assert rows.to_dicts(made) == expected


def test_sets_have_the_characters_that_python_finds() -> None:
    said = "".join(EVERY)
    signs = "".join(each for each in EVERY if unicodedata.category(each)[0] == "M")
    shapes = [shape for step, options in STEPS for shape in step.build(options).prefilter.shapes]
    for characters in {each for shape in shapes for each in (shape.first, shape.then) if each}:
        wanted = set(re.findall(f"[{characters.replace(marks.MARK, signs)}]", said))
        members = marks.members(characters)
        assert {each for each in EVERY if members[ord(each)]} == wanted


def test_a_shape_is_a_pattern() -> None:
    assert Shape("a").pattern == "[a]"
    assert Shape(r"\u2028-\u2029", "b", "c").pattern == r"[\x{2028}-\x{2029}][b]c"
    assert Shape("a", r"\n", ends=True).pattern == r"[a](?:[\n]|\z)"


@given(st.binary(max_size=20) | st.binary().map(lambda some: b"x" * 9 + some), st.integers(0, 3))
def test_the_next_sign_is_found_eight_bytes_at_once(some: bytes, at: int) -> None:
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):
        for kernels in (entitykernels, wordkernels):
            patch.setattr(kernels, "np", np, raising=False)
        found = re.compile(rb"[0-:@]").search(some, at)
        wanted = found.start() if found else max(at, len(some))
        assert entitykernels.next_sign(np.frombuffer(some, np.uint8), at, len(some)) == wanted


@given(st.binary(min_size=2, max_size=30) | st.text("abc \t~\x7f", min_size=2, max_size=30).map(str.encode))
def test_the_next_odd_byte_is_found_eight_bytes_at_once(some: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore"):
        for kernels in (scankernels, wordkernels):
            patch.setattr(kernels, "np", np, raising=False)
        made = scankernels.next_odd(np.frombuffer(some, np.uint8), 1, len(some))
    found = re.compile(rb"(?:[!-~]|(?<=[!-~]) )*").match(some, 1)
    assert found and made == min(found.end(), 1 + (len(some) - 1) // 8 * 8)


def test_nothing_is_skipped_that_has_bits() -> None:
    assert all(component.build(options).prefilter.tables.skips for component, options in STEPS)
    for shapes in ([Shape("a")], [Shape(" ")], [Shape("a", " ")], [Shape(r"\n", "a")]):
        assert not Marks(shapes).tables.skips
