"""Formats: rows of columns become messages, by templates that cannot do harm and never guess."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec import api, rows
from ftspec.builtin import formats, templates
from ftspec.builtin.templates import Template


def batch_of(values: list[dict[str, Any]], side: str = "train") -> pa.RecordBatch:
    made = rows.from_dicts(values)
    named = {**dict(zip(made.schema.names, made.columns, strict=True))}
    named[rows.ROW] = rows.integers(range(1, len(values) + 1))
    named[rows.SIDE] = rows.repeated(side, len(values))
    return pa.RecordBatch.from_arrays(list(named.values()), names=list(named))


def said(component: api.Component, values: list[dict[str, Any]], side: str = "train", **options: Any) -> list[Any]:
    after = component.build(options)(batch_of(values, side))
    after.validate(full=True)
    assert after.schema.field("messages").type == rows.MESSAGES
    assert set(rows.hidden(after)) == {rows.ROW, rows.SIDE}
    return [[(m["role"], m["content"]) for m in row["messages"]] for row in rows.to_dicts(after)]


def faults(component: api.Component, values: list[dict[str, Any]], **options: Any) -> list[tuple[int | None, str]]:
    with pytest.raises(api.DataError) as caught:
        component.build(options)(batch_of(values))
    return [(finding.row, finding.message) for finding in caught.value.findings]


def problems(**options: Any) -> list[tuple[Any, str]]:
    return [each for rule in formats.chat.rules for each in rule(formats.chat.convert(options))]


def render(template: str, values: list[dict[str, Any]]) -> list[str | None]:
    rendered = Template(template).render(batch_of(values))
    texts: list[str | None] = rendered.texts.to_pylist()
    return [None if index in rendered.faults else text for index, text in enumerate(texts)]


def test_chat() -> None:
    values = [{"q": "a?", "a": "A"}, {"q": "b?", "a": 2}]
    assert said(formats.chat, values, system="S", user="{{ q }}", assistant="={{ a }}") == [
        [("system", "S"), ("user", "a?"), ("assistant", "=A")],
        [("system", "S"), ("user", "b?"), ("assistant", "=2")],
    ]


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("{{ bodi }}", "did you mean 'body'?"),
        ("{{ bodi | upper }}", "did you mean 'body'?"),
        (
            "{{ Ticket-ID }}",
            "a name in a template is one word: rename 'Ticket-ID' in `cleaning`, with",
        ),
        ("{{ empty }}", "the row has 'Ticket-ID', 'body'; drop such rows with a cleaning step, "),
        ("{{ other }}", "the row has 'Ticket-ID', 'body'; drop such rows with a cleaning step, "),
    ],
)
def test_a_column_that_is_not_there_may_be_one_that_is(template: str, hint: str) -> None:
    batch = batch_of([{"body": "a", "Ticket-ID": "1", "empty": None}, {"empty": ""}]).slice(0, 1)
    with pytest.raises(api.DataError) as caught:
        formats.chat.build({"user": template, "assistant": "x"})(batch)
    assert caught.value.findings[0].hint.startswith(hint)


def test_a_column_whose_name_is_several_words() -> None:
    ((path, message),) = problems(user="{{ Erstellt am }}", assistant="x")
    assert (path, message) == (
        ("user",),
        "not a template: a name in it is one word: `rename` the column 'Erstellt am' (line 1 of the text)",
    )


def test_turns() -> None:
    turns = [{"user": "{{ a }}"}, {"assistant": "{{ b }}"}, {"user": "more"}, {"assistant": "{{ c }}"}]
    ((first, *_, last),) = said(formats.chat, [{"a": "1", "b": "2", "c": "3"}], turns=turns)
    assert (first, last) == (("user", "1"), ("assistant", "3"))


def test_no_rows() -> None:
    batch = batch_of([{"q": "x", "a": "y"}]).slice(0, 0)
    for step in (formats.chat.build({"user": "{{ q }}", "assistant": "{{ a }}"}), formats.prompt_completion.build({})):
        assert step(batch).num_rows == 0


def test_tools_are_kept() -> None:
    batch = batch_of([{"q": "x", "tools": [{"function": {"name": "f"}}]}])
    after = formats.chat.build({"user": "{{ q }}", "assistant": "y"})(batch)
    assert rows.to_dicts(after)[0]["tools"] == [{"function": {"name": "f"}}]


def test_a_missing_or_null_column_names_the_row() -> None:
    values = [{"q": "a", "a": "b"}, {"q": "c"}, {"a": "d"}, {"q": None, "a": None}]
    expected = [
        (2, "column 'a' is missing or null"),
        (3, "column 'q' is missing or null"),
        (4, "column 'q' is missing or null"),
    ]
    assert faults(formats.chat, values, user="{{ q }}", assistant="{{ a }}") == expected
    assert faults(formats.chat, values, user="{{ q | lower }}", assistant="{{ a | upper }}") == expected


def test_a_prompt_may_lack_the_answer_only() -> None:
    values = [{"q": "a", "a": "b"}, {"q": "c"}]
    options = {"user": "{{ q }}", "assistant": "{{ a }}"}
    assert said(formats.chat, values, "prompt", **options) == [[("user", "a"), ("assistant", "b")], [("user", "c")]]
    with pytest.raises(api.DataError):
        formats.chat.build(options)(batch_of([{"a": "b"}], "prompt"))


def test_values_that_are_not_text_are_json() -> None:
    row = {"t": "x", "i": 3, "f": 1.5, "b": True, "l": [1, "é"], "d": {"k": None}}
    for name, text in {"t": "x", "i": "3", "f": "1.5", "b": "true", "l": '[1, "é"]', "d": '{"k": null}'}.items():
        assert render(f"{{{{ {name} }}}}", [row]) == [text]
        assert render(f"{{% if 1 %}}{{{{ {name} }}}}{{% endif %}}", [row]) == [text]


def test_tojson_is_not_for_web_pages() -> None:
    row = {"t": "<a href='x'>\"&\n"}
    assert render("{{ t | tojson }}", [row]) == render("{% if 1 %}{{ t|tojson }}{% endif %}", [row])
    assert render("{{ t | tojson }}", [row]) == ['"<a href=\'x\'>\\"&\\n"']


@given(
    st.text("ab{}%#\n\r é'\"\\", max_size=12),
    st.one_of(
        st.text(max_size=5).filter(lambda t: t.isprintable()), st.integers(-9, 9), st.floats(-2, 2), st.booleans()
    ),
    st.sampled_from(["{{ a }}", "{{a}}", "{{ a|tojson }}", "{{ a | tojson }}"]),
)
def test_the_fast_path_renders_what_jinja_renders(literal: str, value: Any, mark: str) -> None:
    template = f"{literal}{mark}{literal}"
    if templates.plain_pieces(template) is None:
        return
    jinja = templates.environment().from_string(template).render({"a": value})
    assert render(template, [{"a": value}]) == [jinja]


@given(st.text("{}%#ab |.'\"(-) \n", max_size=30))
def test_no_template_makes_the_rule_raise(template: str) -> None:
    if not templates.problem(template):
        Template(template).render(batch_of([{"a": "x"}]))


@pytest.mark.parametrize(
    "template", ["{{ a", "{% if %}", "{{ a | nofilter }}", "{% for x in %}", "{{ a }} {# open", "{{ 'a }}", "{{ a.}}"]
)
def test_faulty_templates_are_found_at_once(template: str) -> None:
    assert "not a template" in templates.problem(template)
    ((path, message),) = problems(user="{{ a }}", assistant=template)
    assert (path, "not a template" in message) == (("assistant",), True)


def test_templates_can_ask() -> None:
    values = [{"a": "x", "n": {"deep": [1]}}, {"a": "y", "b": "z"}]
    assert render("{% if b is defined %}{{ b }}{% else %}-{% endif %}", values) == ["-", "z"]
    assert render("{{ b | default('none') }}", values) == ["none", "z"]
    assert render("{{ n.deep[0] }}", values) == ["1", None]


@pytest.mark.parametrize(
    "template",
    [
        "{{ a.__class__.__mro__ }}",
        "{{ ''.__class__.__subclasses__() }}",
        "{{ self._TemplateReference__context }}",
        "{{ l.append(1) }}",
        "{% for i in range(99999999) %}x{% endfor %}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ '%s' % a.__class__.__init__ }}",
    ],
)
def test_templates_stay_in_their_sandbox(template: str) -> None:
    assert render(template, [{"a": "x", "l": [1]}]) == [None]


@pytest.mark.parametrize("template", ["{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}"])
def test_a_template_stands_alone(template: str) -> None:
    said = templates.problem(f"a\n{template}")
    assert said.endswith("` wants another template, and here each stands alone (line 2 of the text)")
    assert render(template, [{"a": "x"}]) == [None]


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{{ n / 0 }}", "division by zero"),
        ("{{ a + 1 }}", 'can only concatenate str (not "int") to str'),
        ("{{ none }}", "a value that it shows is null"),
        ("{{ d.no }}", "'dict object' has no attribute 'no'"),
        ("{{ a.__class__ }}", "access to attribute '__class__' of 'str' object is unsafe."),
        ("{{ d[a] }}", "it asks a value for what it has not"),
        ("{{ a | attr(a) }}", "it asks a value for what it has not"),
        ("{{ d.items() | map(a) | list }}", "it asks a value for what it has not"),
        ("{{ a.encode(a) }}", "LookupError"),
    ],
)
def test_a_template_that_fails_says_where_and_why_and_nothing_of_the_row(template: str, what: str) -> None:
    values = [{"a": "it's private", "n": 1, "d": {"x": 1}}]
    ((row, message),) = faults(formats.chat, values, user=f"one\n\n  {template} three", assistant="b")
    assert message.endswith(f"{what} (line 3 of the text: {template} three)")
    assert (row, "private" in message) == (1, False)


def test_rules_of_chat() -> None:
    assert problems(user="a", assistant="b") == []
    assert [path for path, _ in problems(user="a")] == [()]
    assert [path for path, _ in problems()] == [(), ()]
    assert [path for path, _ in problems(user="a", assistant="b", turns=[{"user": "a"}])] == [("turns",)]
    assert [path for path, _ in problems(turns=[{"user": "a", "assistant": "b"}])] == [("turns", 0)]
    assert [path for path, _ in problems(turns=[{"user": "a"}, {"bot": "{{"}])] == [
        ("turns", 1, "bot"),
        ("turns", 1, "bot"),
    ]


def test_plain_templates_do_without_jinja() -> None:
    code = """
import sys
from ftspec.builtin import formats
options = formats.chat.convert({"system": "S {x}", "user": "{{ q }} }}", "assistant": '{"a": {{ a | tojson }}}'})
assert not [problem for rule in formats.chat.rules for problem in rule(options)]
print("jinja2" in sys.modules, "pyarrow" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False False\n"


def test_legacy_pairs() -> None:
    values = [{"prompt": "Hi\n\n###\n\n", "completion": " there END"}, {"prompt": "Hi", "completion": "there"}]
    options = {"separator": "\n\n###\n\n", "stop": " END"}
    assert said(formats.prompt_completion, values, **options) == [[("user", "Hi"), ("assistant", "there")]] * 2
    assert said(formats.prompt_completion, [{"q": "a", "a": 3}], prompt="q", completion="a", system="S") == [
        [("system", "S"), ("user", "a"), ("assistant", "3")]
    ]
    assert faults(formats.prompt_completion, [{"prompt": "a"}]) == [(1, "column 'completion' is missing or null")]


def test_legacy_pairs_go_in_and_out() -> None:
    batch = formats.prompt_completion.build({})(batch_of([{"prompt": "a", "completion": "b"}]))
    assert [rows.pair(example) for example in rows.examples(batch)] == [{"prompt": "a", "completion": "b"}]


@pytest.mark.parametrize("template", ["{{ 'a' * 10 ** 10 }}", "{{ text * 9999999999 }}", "{{ 2 ** 99999999 }}"])
def test_a_template_cannot_make_a_huge_text_of_a_few_characters(template: str) -> None:
    assert problems(user=template, assistant="{{ text }}") == []
    assert len(faults(formats.chat, [{"text": "x"}], user=template, assistant="{{ text }}")) == 1


@pytest.mark.parametrize("template", ["{{ text | center(999999999) }}", "{{ [1, 2] | random }}", "{{ lipsum() }}"])
def test_what_is_unbounded_or_random_does_not_exist_in_a_template(template: str) -> None:
    found = problems(user=template, assistant="x")
    assert found or faults(formats.chat, [{"text": "x"}], user=template, assistant="x")
