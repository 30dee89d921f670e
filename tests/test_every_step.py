"""Every builtin cleaning step makes the same bytes, however rows are cut into batches and however many threads work.

Steps are found in the registry: a new one is tried as soon as it is there. Where it needs options, or only shows with
some, EXAMPLES has them.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from test_pipeline import LOADED, everything, item, spec_of, write

from ftspec.builtin import files
from ftspec.spec import Eval, Split

EXAMPLES: dict[str, list[Any]] = {
    "balance": [{"column": "label", "most": 2}, {"column": "label", "shares": {"yes": 1, "no": 2}}],
    "constant": [{"columns": {"label": "maybe", "more": [1, {"a": None}]}, "keep": True}],
    "decontaminate": [{"words": 3}],
    "dedupe": [{}, {"columns": ["text"]}],
    "drop_empty": [{}, {"columns": ["text"]}],
    "filter": [{"where": "label == 'yes' or len(text) > 5"}],
    "flatten": [{"columns": ["deep"]}],
    "language": [{"keep": ["en", "de"], "undecided": "drop"}],
    "length": [{"min": 3, "max": 30}],
    "map": [{"column": "label", "values": {"yes": "true", "no": "false"}}],
    "near_dedupe": [{"threshold": 0.5, "shingle": 2}],
    "normalise": [{"blanks": True, "empty_lines": 1}, {"unicode": "NFKC"}],
    "python": [{"file": "steps.py"}],
    "rename": [{"columns": {"deep": "deeper"}}],
    "replace": [{"find": "[aeiou]+", "to": "#", "regex": True}],
    "sample": [{"fraction": 0.6}, {"count": 5}],
    "select": [{"columns": ["text", "label", "messages"]}],
}
"""Options of each step, once or several times; a step that is not here is tried without any."""

PIECES = [
    "the quick brown fox", "jumps over", "a lazy dog ", "die Wäsche ist naß", "日本語の文章です", "café", "cafe\u0301",
    "cafÃ©", "mail a@b.example", "+49 30 1234567", "DE89370400440532013000", "4111 1111 1111 1111", "10.0.0.1",
    "\u00a0", "\n\n\n", "\t", "x" * 30, "", "[EMAIL]", "ﬁ", "\u200b", "🙂", "don’t", "1e999",
]  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES), max_size=5).map(" ".join)
QUICK = {"deadline": None, "phases": (Phase.explicit, Phase.reuse, Phase.generate)}
"""Without shrinking: every try runs the pipeline twice."""

CALL = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["1", "2"]),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.just("f"), "arguments": TEXT | st.fixed_dictionaries({"a": TEXT})}
        ),
    }
)
ANSWER = st.fixed_dictionaries({"role": st.just("assistant"), "content": TEXT}, optional={"name": TEXT}) | (
    st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": st.lists(CALL, min_size=1, max_size=2)})
)
MESSAGES = st.tuples(st.fixed_dictionaries({"role": st.just("user"), "content": TEXT}), ANSWER).map(list)
ROW = st.fixed_dictionaries(
    {"text": TEXT, "label": st.sampled_from(["yes", "no"]), "messages": MESSAGES},
    optional={"deep": st.none() | TEXT | st.dictionaries(st.sampled_from("ab"), TEXT), "n": st.integers(0, 3) | TEXT},
)
FIRST = {"text": "first of all", "label": "yes", "messages": [{"role": "user", "content": "q"}], "deep": {"a": "b"}}
FIRST["messages"] += [{"role": "assistant", "content": "first of all"}]
SCRIPT = "def clean(row):\n    return {**row, 'label': row['label'] + '!'} if len(row['text']) != 11 else None\n"
BUILTIN = sorted(name for name, each in LOADED.components["cleaner"].items() if each.distribution == "ftspec")


def all_examples() -> list[tuple[str, dict[str, Any]]]:
    return [(name, options) for name in BUILTIN for options in EXAMPLES.get(name, [{}])]


@pytest.fixture(autouse=True)
def _scripts_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTSPEC_ALLOW_PYTHON", "1")


def made(rows: list[Any], steps: list[Any], chat: bool, cuts: list[tuple[int, int]]) -> list[Any]:
    """What comes of the rows, for each (bytes per block, threads)."""
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "steps.py").write_text(SCRIPT)
        write(folder, rows)
        for block, threads in cuts:
            spec = spec_of(
                folder,
                cleaning=steps,
                split=Split(validation=0.1, test=0.2, seed=1),
                eval=Eval(prompts=("test",), graders=()),
                engine=item("engine", {"threads": {"workers": threads}}),
                **({} if chat else {"format": None}),
            )
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(files, "BLOCK", block)
                outcomes.append(everything(spec, folder / f"out-{len(outcomes)}"))
    return outcomes


@pytest.mark.parametrize(("name", "options"), all_examples(), ids=lambda value: value if isinstance(value, str) else "")
@settings(max_examples=5, **QUICK)
@given(st.lists(ROW, min_size=1, max_size=12), st.integers(1, 600), st.integers(1, 4), st.booleans())
def test_a_step_makes_the_same_bytes(
    name: str, options: dict[str, Any], rows: list[Any], block: int, workers: int, chat: bool
) -> None:
    one, cut, shared = made(
        [FIRST, *rows, FIRST], [{name: options}], chat, [(1 << 20, 1), (block, 1), (block, workers)]
    )
    assert one == cut == shared


@settings(max_examples=8, **QUICK)
@given(st.lists(ROW, min_size=4, max_size=20), st.permutations(all_examples()), st.integers(1, 600), st.booleans())
def test_steps_in_a_row_make_the_same_bytes(rows: list[Any], steps: list[Any], block: int, chat: bool) -> None:
    cleaning = [{name: options} for name, options in steps[:6]]
    one, shared = made([FIRST, *rows], cleaning, chat, [(1 << 20, 1), (block, 3)])
    assert one == shared


def test_the_examples_do_something() -> None:
    """A step whose example leaves every byte as it was would prove nothing."""
    rows = [{"text": f"{piece} {other} ", "label": "no", "messages": FIRST["messages"], "deep": {"a": piece}}
            for piece in PIECES for other in PIECES[:3]]  # fmt: skip
    rows = [FIRST, *rows, FIRST]
    plain = made(rows, [], True, [(1 << 20, 1)])[0]
    unchanged = {"rename", "select", "decontaminate"}  # nothing of these shows in the formatted rows here
    for name, options in all_examples():
        if name not in unchanged:
            assert json.dumps(made(rows, [{name: options}], True, [(1 << 20, 1)])[0], default=str) != json.dumps(
                plain, default=str
            ), name
