"""Preference pairs and reinforcement items: from files as they are to a tuner's file, its prompts and what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftspec import api, registry, rows
from ftspec.builtin import files
from ftspec.builtin.preference import preference, reinforcement
from ftspec.builtin.simulated.tuner import Simulated
from ftspec.common.errors import DataError, SpecError
from ftspec.common.jobs import ModelRef, Request
from ftspec.common.progress import Quiet
from ftspec.data import formatted, pipeline, preview
from ftspec.data.prompts import load_prompts
from ftspec.layout import shapes
from ftspec.plans.dataresult import DataResult
from ftspec.spec import Eval, Item, Spec, Split
from ftspec.validation.validate import load_spec

LOADED = registry.load()
USER = {"role": "user", "content": "Capital of Peru?"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("Lima.", "Cusco."))
SYSTEM = {"role": "system", "content": "Be brief."}
OPENAI = {"input": {"messages": [USER]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]}
PAIR = {"messages": [USER], "chosen": [GOOD], "rejected": [BAD]}


def item(kind: Any, text: str | dict[str, Any], at: tuple[str | int, ...] = ()) -> Item:
    name, options = (text, {}) if isinstance(text, str) else next(iter(text.items()))
    return Item(kind=kind, name=name, options=options, path=at)


def spec_of(folder: Path, method: str, **parts: Any) -> Spec:
    cleaning = tuple(item("cleaner", each) for each in parts.pop("cleaning", ()))
    checks = tuple(item("check", each) for each in parts.pop("checks", ()))
    form = item("format", parts.pop("format")) if "format" in parts else None
    return Spec(
        version=1, name="t", folder=folder, file=folder / "t.yaml", model=ModelRef(id="base"), method=method,
        sources=(item("source", {"jsonl": {"path": "data.jsonl"}}, ("sources", 0)),), cleaning=cleaning, checks=checks,
        provider=item("provider", "simulated"), format=form, **parts,
    )  # fmt: skip


def write(folder: Path, values: Iterable[Any], name: str = "data.jsonl") -> None:
    (folder / name).write_text("".join(json.dumps(value) + "\n" for value in values))


def prepare(spec: Spec, name: str = "out") -> DataResult:
    out = spec.folder / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    request = Request(model=spec.model, method=spec.method)
    return pipeline.prepare(spec, LOADED, Simulated(), request, out, Quiet())


def lines(folder: Path, name: str = "training.jsonl") -> list[Any]:
    return [json.loads(line) for line in (folder / "out" / name).read_text().splitlines()]


def problems(spec: Spec) -> list[tuple[int | None, str]]:
    with pytest.raises(DataError) as caught:
        prepare(spec)
    return [(finding.line, finding.message) for finding in caught.value.findings]


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


# ---- shapes that are read as they are

AS_THEY_ARE: list[Mapping[str, Any]] = [
    OPENAI,
    {"prompt": "Capital of Peru?", "chosen": "Lima.", "rejected": "Cusco."},
    {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    {"prompt": "Capital of Peru?", "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    {"messages": [USER], "chosen": GOOD, "rejected": BAD},
    {"prompt": json.dumps([USER]), "chosen": json.dumps([GOOD]), "rejected": "Cusco."},
]


@pytest.mark.parametrize("row", AS_THEY_ARE)
def test_known_shapes_are_one_pair(row: Mapping[str, Any]) -> None:
    assert shapes.pair(row) == {**PAIR, **({"tools": None} if "input" in row else {})}


def test_files_of_openai_and_trl_are_read_as_they_are(tmp_path: Path) -> None:
    others = [{**row, "source": "s", "score": index} for index, row in enumerate(AS_THEY_ARE)]
    write(tmp_path, others)
    result = prepare(spec_of(tmp_path, "dpo"))
    assert lines(tmp_path) == [OPENAI] * len(AS_THEY_ARE)
    assert result.size.rows == len(AS_THEY_ARE) and result.findings_total == 0


def test_a_conversation_that_both_answers_share_is_the_prompt() -> None:
    history = [SYSTEM, USER, GOOD, turn("user", "And of Chile?")]
    row = shapes.pair({"chosen": [*history, turn("assistant", "a")], "rejected": [*history, turn("assistant", "b")]})
    assert row["messages"] == history and [len(row[name]) for name in shapes.ANSWERS] == [1, 1]


def test_equal_answers_keep_their_last_message() -> None:
    assert shapes.pair({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}) == {**PAIR, "rejected": [GOOD]}


def test_a_prompt_that_is_not_in_the_answers_is_kept() -> None:
    other = turn("user", "Something else?")
    row = shapes.pair({"prompt": [other], "chosen": [USER, GOOD], "rejected": [USER, BAD]})
    assert row["messages"] == [other] and row["chosen"] == [USER, GOOD]


def test_tools_and_what_else_an_input_holds_are_kept() -> None:
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {}}}]
    given = {"messages": [USER], "tools": tools, "parallel_tool_calls": False}
    row = shapes.pair({**OPENAI, "input": given})
    assert row["tools"] == tools and row["input"] == {"parallel_tool_calls": False}


def test_what_is_no_pair_is_found_at_its_line(tmp_path: Path) -> None:
    write(tmp_path, [OPENAI, {**OPENAI, "preferred_output": 3}, {**OPENAI, "non_preferred_output": ["text"]}])
    assert problems(spec_of(tmp_path, "dpo")) == [
        (2, "'chosen' must be a list of messages, not a number"),
        (3, "message 1 must be an object with a role and a content, not text"),
    ]


# ---- formats


def batch_of(values: list[dict[str, Any]], side: str = "train") -> pa.RecordBatch:
    made = rows.from_dicts(values)
    named = dict(zip(made.schema.names, made.columns, strict=True))
    named[rows.ROW] = rows.integers(range(1, len(values) + 1))
    named[rows.SIDE] = rows.repeated(side, len(values))
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def test_preference_takes_columns_and_templates() -> None:
    values = [{"q": "Capital of Peru?", "better": "Lima.", "worse": "Cusco"}]
    form = preference.build({"prompt": "q", "chosen": "better", "rejected": "{{ worse }}.", "system": "Be brief."})
    assert rows.to_dicts(form(batch_of(values))) == [{**PAIR, "messages": [SYSTEM, USER]}]


@pytest.mark.parametrize("row", [row for row in AS_THEY_ARE if "input" not in row])
def test_preference_without_options_reads_text_and_messages(row: dict[str, Any]) -> None:
    assert rows.to_dicts(preference.build({})(batch_of([row]))) == [PAIR]


def test_preference_names_rows_without_an_answer() -> None:
    values = [{"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a", "chosen": "b"}, {"chosen": "b"}]
    with pytest.raises(api.DataError) as caught:
        preference.build({})(batch_of(values))
    assert [(finding.row, finding.message) for finding in caught.value.findings] == [
        (2, "column 'rejected' is missing or null"),
        (3, "column 'prompt' is missing or null"),
    ]


def test_an_evaluation_prompt_needs_no_answers() -> None:
    (row,) = rows.to_dicts(preference.build({})(batch_of([{"prompt": "a"}], "prompt")))
    assert row == {"messages": [turn("user", "a")]}


def test_reinforcement_ends_with_the_user_and_keeps_columns() -> None:
    values = [{"q": "2+2", "answer": 4, "level": "easy", "junk": "x"}]
    form = reinforcement.build({"system": "Count.", "user": "{{ q }}=", "keep": ["level"], "expected": "answer"})
    assert rows.to_dicts(form(batch_of(values))) == [
        {
            "messages": [turn("system", "Count."), turn("user", "2+2=")],
            "item": {"level": "easy", "expected": 4},
        }
    ]
    (row,) = rows.to_dicts(reinforcement.build({"expected": "{{ answer }}!"})(batch_of([{"prompt": "p", "answer": 4}])))
    assert row == {"messages": [turn("user", "p")], "item": {"answer": 4, "expected": "4!"}}


def test_reinforcement_names_rows_that_lack_a_column() -> None:
    form = reinforcement.build({"user": "{{ q }}", "keep": ["answer"]})
    with pytest.raises(api.DataError) as caught:
        form(batch_of([{"q": "a", "answer": "b"}, {"q": "a"}, {"answer": "c"}]))
    assert [(finding.row, finding.message) for finding in caught.value.findings] == [
        (2, "column 'answer' is missing or null"),
        (3, "column 'q' is missing or null"),
    ]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"turns": [{"user": "a"}, {"assistant": "b"}]}, ("turns", 1)),
        ({"turns": [{"user": "a"}], "user": "b"}, ("turns",)),
        ({"turns": [{"usr": "a"}, {"user": "b"}]}, ("turns", 0, "usr")),
        ({"user": "{{ a"}, ("user",)),
    ],
)
def test_rules_of_reinforcement(options: dict[str, Any], path: tuple[Any, ...]) -> None:
    said = [where for rule in reinforcement.rules for where, _ in rule(reinforcement.convert(options))]
    assert path in said


def test_rules_of_preference() -> None:
    options = preference.convert({"prompt": "{{ a", "chosen": ""})
    assert [where for rule in preference.rules for where, _ in rule(options)] == [("prompt",), ("chosen",)]


# ---- a method's rows and its format belong together

SPEC = """\
version: 1
name: pairs
sources:
  - jsonl: {{path: data.jsonl}}
{format}checks:
  - pairs
provider: simulated
model: base
method: {method}
"""


@pytest.mark.parametrize(
    ("method", "form", "found"),
    [
        ("dpo", "format:\n  preference: {}\n", []),
        ("dpo", "", []),
        ("dpo", "format:\n  chat: {user: a, assistant: b}\n", [(6, "format 'chat' is for conversations")]),
        ("sft", "format:\n  preference: {}\n", [(6, "format 'preference' is for"), (8, "check 'pairs' is for")]),
        ("sft", "format: preference\n", [(5, "format 'preference' is for"), (7, "check 'pairs' is for")]),
        ("sft", "", [(6, "check 'pairs' is for preference pairs; method 'sft' trains on conversations")]),
        ("reinforcement", "format: preference\n", [(5, "format 'preference'"), (7, "check 'pairs'")]),
    ],
)
def test_validate_refuses_what_does_not_go_together(
    tmp_path: Path, method: str, form: str, found: list[tuple[int, str]]
) -> None:
    write(tmp_path, [OPENAI])
    (tmp_path / "spec.yaml").write_text(SPEC.format(method=method, format=form))
    try:
        load_spec(tmp_path / "spec.yaml", LOADED)
        said = []
    except SpecError as error:
        said = [(problem.line, problem.message) for problem in error.problems]
    assert [line for line, _ in said] == [line for line, _ in found]
    assert all(one.startswith(other) for (_, one), (_, other) in zip(said, found, strict=True)), said


# ---- checks


def pair_of(prompt: str, chosen: str, rejected: str) -> dict[str, str]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_pairs_that_are_equal_or_contradict_are_found(tmp_path: Path) -> None:
    pairs = [
        ("a", "x", "y"),
        ("b", "same", " same\n"),
        ("a", "y", "x"),
        ("c", "x", "y"),
        ("d", "y", "x"),
        ("a", "x", "y"),
    ]
    write(tmp_path, [pair_of(*each) for each in pairs])
    first = "prefers the answer that data.jsonl:1 rejects, and rejects the one it prefers"
    assert problems(spec_of(tmp_path, "dpo")) == [
        (2, "the chosen and the rejected answer are the same"),
        (3, first),
        (6, first.replace("jsonl:1", "jsonl:3")),
    ]


def test_the_check_can_be_eased(tmp_path: Path) -> None:
    write(tmp_path, [pair_of("a", "x", "x"), pair_of("a", "x", "y")])
    spec = spec_of(tmp_path, "dpo")
    eased = msgspec.structs.replace(spec, checks=(Item(kind="check", name="pairs", severity="warning"),))
    assert prepare(eased).findings_total == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": [GOOD], "rejected": [BAD]}, "the row has no prompt"),
        ({**PAIR, "rejected": None}, "the row has no rejected answer"),
        ({**PAIR, "messages": [USER, GOOD]}, "the prompt ends with the assistant"),
        ({**PAIR, "chosen": [GOOD, USER]}, "the chosen answer does not end with the assistant"),
        ({**PAIR, "messages": [SYSTEM], "chosen": [USER, GOOD]}, "the chosen answer does not begin with the assistant"),
        ({**PAIR, "rejected": [turn("assistant", "x") | {"wait": 1}]}, "rejected message 1 has unknown key 'wait'"),
    ],
)
def test_what_is_wrong_with_a_pair(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    write(tmp_path, [PAIR, row])
    found = problems(spec_of(tmp_path, "dpo"))
    assert [line for line, _ in found] == [2] and found[0][1].startswith(message), found


def test_a_pair_may_answer_a_tool(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    prompt = [USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "1", "tool_call_id": "c"}]
    calling = {**PAIR, "chosen": [{"role": "assistant", "tool_calls": [call]}]}
    write(tmp_path, [{**PAIR, "messages": prompt}, calling])
    assert prepare(spec_of(tmp_path, "dpo")).findings_total == 0


def test_an_item_ends_with_the_user(tmp_path: Path) -> None:
    write(tmp_path, [{"messages": [USER], "answer": "Lima"}, {"messages": [USER, GOOD]}, {"prompt": "a", "answer": 1}])
    assert problems(spec_of(tmp_path, "reinforcement")) == [
        (2, "the last message is the assistant's: an item ends with the user, and the model answers")
    ]


def test_leakage_looks_at_prompts(tmp_path: Path) -> None:
    write(tmp_path, [pair_of("a", "x", "y"), pair_of("b", "x", "y")])
    write(tmp_path, [pair_of("A ", "v", "w")], "test.jsonl")
    prompts = (item("source", {"jsonl": {"path": "test.jsonl"}}, ("eval", "prompts", 0)),)
    spec = spec_of(tmp_path, "dpo", checks=["leakage"], eval=Eval(prompts=prompts, graders=()))
    assert problems(spec) == [
        (1, "asks what data.jsonl:1 asks: that row is in train, this one is an evaluation prompt")
    ]


# ---- cleaning sees every text


def test_cleaning_works_on_prompts_and_both_answers(tmp_path: Path) -> None:
    dirty = pair_of(" mail a@b.example ", " Ask c@d.example ", "No, e@f.example")
    empty = {**PAIR, "chosen": [turn("assistant", " ")]}
    long = pair_of("a", "b", "c" * 500)
    write(tmp_path, [dirty, dirty, OPENAI, {**PAIR}, long, empty])
    cleaning: list[Any] = [
        "strip", "redact", {"drop_empty": {"columns": ["chosen", "rejected"]}}, {"length": {"max": 400}}, "dedupe",
    ]  # fmt: skip
    prepare(spec_of(tmp_path, "dpo", cleaning=cleaning))
    first, second = lines(tmp_path)
    assert first["input"]["messages"] == [turn("user", "mail [EMAIL]")]
    assert first["preferred_output"] == [turn("assistant", "Ask [EMAIL]")]
    assert first["non_preferred_output"] == [turn("assistant", "No, [EMAIL]")]
    assert second == OPENAI


def test_a_row_step_leaves_conversations_what_they_are(tmp_path: Path) -> None:
    write(tmp_path, [{**OPENAI, "meta": {"a": 1}, "preferred_output": [turn("assistant", " Lima. ")]}])
    prepare(spec_of(tmp_path, "dpo", cleaning=[{"flatten": {"columns": ["meta"]}}, "strip"]))
    assert lines(tmp_path) == [OPENAI]


CHARACTERS = st.text("ab @.\n", max_size=6)
ROW = st.one_of(
    st.fixed_dictionaries({"prompt": CHARACTERS, "chosen": CHARACTERS, "rejected": CHARACTERS}),
    st.tuples(CHARACTERS, CHARACTERS, CHARACTERS).map(
        lambda texts: {
            "chosen": [turn("user", texts[0]), turn("assistant", texts[1])],
            "rejected": [turn("user", texts[0]), turn("assistant", texts[2])],
        }
    ),
    st.just(OPENAI),
)


@settings(max_examples=25, deadline=None)
@given(table=st.lists(ROW, min_size=1, max_size=12), block=st.integers(1, 300))
def test_batches_make_no_difference(tmp_path_factory: pytest.TempPathFactory, table: list[Any], block: int) -> None:
    folder = tmp_path_factory.mktemp("batches")
    write(folder, [*table, pair_of("kept", "x", "y")])
    spec = spec_of(folder, "dpo", cleaning=["strip", "redact", "dedupe"], split=Split(validation=0.2, seed=1))
    made = []
    for size in (1 << 20, block):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "BLOCK", size)
            try:
                prepare(spec)
            except DataError as error:
                made.append(error.findings)
            else:
                made.append({path.name: path.read_bytes() for path in sorted((folder / "out").iterdir())})
    assert made[0] == made[1]


# ---- prompts of the evaluation


def prompts_of(folder: Path) -> list[api.Prompt]:
    return load_prompts(folder / "out")


def test_the_better_answer_is_expected(tmp_path: Path) -> None:
    write(tmp_path, [OPENAI, pair_of("a", "b", "c")])
    prepare(spec_of(tmp_path, "dpo", eval=Eval(prompts=("train",), graders=())))
    first, second = prompts_of(tmp_path)
    assert [message.content for message in first.messages] == [USER["content"]] and first.expected == "Lima."
    assert (second.expected, second.row["rejected"]) == ("b", [turn("assistant", "c")])


def test_prompts_of_a_pair_may_be_conversations(tmp_path: Path) -> None:
    write(tmp_path, [OPENAI])
    write(tmp_path, [{"messages": [turn("user", "x"), turn("assistant", "y")]}, {"prompt": "z"}], "test.jsonl")
    prompts = (item("source", {"jsonl": {"path": "test.jsonl"}}, ("eval", "prompts", 0)),)
    prepare(spec_of(tmp_path, "dpo", eval=Eval(prompts=prompts, graders=())))
    assert [(prompt.messages[0].content, prompt.expected) for prompt in prompts_of(tmp_path)] == [
        ("x", "y"),
        ("z", None),
    ]


def test_an_item_says_what_is_expected(tmp_path: Path) -> None:
    write(tmp_path, [{"prompt": "2+2", "expected": 4, "level": 1}, {"messages": [USER], "level": 2}])
    prepare(spec_of(tmp_path, "reinforcement", eval=Eval(prompts=("train",), graders=())))
    first, second = prompts_of(tmp_path)
    assert (first.expected, first.row) == ("4", {"expected": 4, "level": 1})
    assert (second.expected, second.row["level"]) == (None, 2)
    assert lines(tmp_path)[0] == {"messages": [turn("user", "2+2")], "expected": 4, "level": 1}


def test_a_preview_shows_the_pair(tmp_path: Path) -> None:
    write(tmp_path, [OPENAI])
    shown = preview.preview(spec_of(tmp_path, "dpo"), LOADED).example
    assert shown.chosen and shown.rejected and shown.rejected[0].content == "Cusco."
    tokens = Simulated().render(Request(model=ModelRef(id="m"), method="dpo"), shown)
    assert [(token.text.strip(), token.weight) for token in tokens if token.weight] == [("Lima.", 1), ("Cusco.", -1)]


# ---- a format that does not keep its word


def test_a_format_must_make_the_columns_of_its_shape() -> None:
    chat = formatted.as_shape(batch_of([{"messages": [USER, GOOD]}]), "chat")
    formatted.verify("x", chat, "chat")
    for shape, column in (("preference", "chosen"), ("reinforcement", "item")):
        with pytest.raises(api.FtspecError, match=f"`{column}`"):
            formatted.verify("x", chat, shape)  # type: ignore[arg-type]
