"""Prompts as cases: tags, weights, graders of their own, prompts taken as they are, and promptfoo's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from runs import plan, run
from test_more_sources import workbook

from ftspec import registry
from ftspec.builtin.assertions import Judged, Unmapped, grader, members
from ftspec.builtin.sources import COMPONENTS as SOURCES
from ftspec.builtin.testfiles import written
from ftspec.common.errors import DataError, SpecError
from ftspec.common.messages import Prompt
from ftspec.data.cases import for_choosing, tags_of
from ftspec.files.kept import Lazy, Picked

HEAD = """\
version: 1
name: cases
sources: [{examples: {rows: [{thing: sky, colour: blue}]}}]
cleaning: [{drop_empty: {columns: [thing]}}]
format: {chat: {user: "{{ thing }}", assistant: "{{ colour }}"}}
provider: {simulated: {accuracy: 1.0, base_accuracy: 0.0, noise: 0.0}}
model: m
eval:
"""


def write(folder: Path, text: str, rows: list[dict[str, Any]] | None = None) -> Path:
    (folder / "spec.yaml").write_text(HEAD + text)
    if rows is not None:
        (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "spec.yaml"


class OnDisk(Lazy[Prompt]):
    """Tells how many prompts there are, and makes each when it is asked for."""

    def __init__(self, tags: list[tuple[str, ...]]) -> None:
        self.tags = tags

    def __len__(self) -> int:
        return len(self.tags)

    def at(self, index: int) -> Prompt:
        return Prompt(id=f"p{index}", messages=[], tags=self.tags[index])


@pytest.mark.parametrize("tag", ["validation", "part=validation"])
def test_prompts_that_choose_a_checkpoint_stay_on_disk(tag: str) -> None:
    none, every = OnDisk([("x",)] * 3), OnDisk([(tag,)] * 3)
    assert for_choosing(none) is none
    assert for_choosing(every) is every
    some = for_choosing(OnDisk([("x",), (tag, "x"), (), (tag,)]))
    assert isinstance(some, Picked)
    assert [prompt.id for prompt in some] == ["p1", "p3"]


ROWS = [
    {"thing": "sea", "colour": "green", "lang": "en", "kinds": ["wet", "big"], "importance": 3},
    {"thing": "fire", "colour": "red", "lang": "de", "importance": 0.5},
    {"thing": "snow", "colour": "white", "checks": [{"contains": {"any": ["grey"]}}, {"exact": {}, "weight": 0}]},
]
COLUMNS = """\
  prompts: [{jsonl: {path: prompts.jsonl}}]
  graders: [exact]
  tags: [lang, kinds]
  weight: importance
  asserts: checks
"""


def test_columns_say_tags_weights_and_graders(tmp_path: Path) -> None:
    evaluation = run(write(tmp_path, COLUMNS, ROWS)).evaluation
    assert set(evaluation.tuned.slices) == {"lang=en", "wet", "big", "lang=de"}
    # sea (3) and fire (0.5) pass; snow (1) has a grader of its own, which does not pass
    assert evaluation.tuned.accuracy == pytest.approx(3.5 / 4.5)
    assert evaluation.tuned.graders == pytest.approx({"exact": 1.0, "contains": 0.0, "exact-2": 1.0})
    assert evaluation.tuned.measures["contains"].n == 1


def test_naming_a_column_asks_nothing_again(tmp_path: Path) -> None:
    bare = COLUMNS[: COLUMNS.index("  tags")]
    before, after = (plan(write(tmp_path, text, ROWS)).plan for text in (bare, COLUMNS))
    digests = [{step.name: step.digest for step in one.steps} for one in (before, after)]
    for name in ("data", "tuning", "base answers", "tuned answers"):
        assert digests[0][name] == digests[1][name]
    assert digests[0]["report"] != digests[1]["report"]


def test_tags() -> None:
    assert tags_of("lang", "de") == ["lang=de"]
    assert tags_of("n", 3) == ["n=3"]
    assert tags_of("tags", ["a", 1]) == ["a", "1"]
    assert tags_of("lang", None) == tags_of("lang", "") == []


def judged(provider: Any, rubric: str = "r") -> dict[str, Any]:
    return {"llm_judge": {"provider": provider, "model": "m", "rubric": rubric}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"importance": "much"}, "is the prompt's weight, and is much"),
        ({"importance": -1}, "is the prompt's weight"),
        ({"importance": True}, "is the prompt's weight"),
        ({"importance": 1e-300}, "is the prompt's weight"),
        ({"importance": 1e300}, "is the prompt's weight"),
        ({"checks": "exact"}, "is no list of graders"),
        ({"checks": [{"exakt": {}}]}, "no grader 'exakt' is installed"),
        ({"checks": [{"exact": {"texts": 1}}]}, "grader 'exact'"),
        ({"checks": [{"regex": {"pattern": "("}}]}, "not an RE2 pattern"),
        ({"checks": [3]}, "3 is no grader"),
        ({"checks": [{"exact": {}, "weight": "x"}]}, "'weight' is not what it should be"),
        ({"checks": [{"python": {"file": "mine.py"}}]}, "names a file"),
        ({"checks": [judged("nope")]}, "no provider 'nope'"),
        ({"checks": [{"exact": {"text": "${secret:KEY}"}}]}, "grader 'exact' would be given the secret KEY"),
        ({"checks": [judged("simulated", rubric="${secret:KEY}")]}, "would be given the secret KEY"),
        (
            {"checks": [judged({"openai-compatible": {"base_url": "http://x", "api_key": "${secret:KEY}"}})]},
            "options of its own",
        ),
        ({"checks": [judged({"openai-compatible": {"base_url": "http://x"}})]}, "options of its own"),
        ({"checks": [judged({"vertex": {"project": "p", "base_url": "http://x", "gcs": "gs://b"}})]}, "of its own"),
    ],
)
def test_what_a_column_holds_is_checked_before_anything_is_paid_for(
    row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    spec = write(tmp_path, COLUMNS, [{"thing": "sea", "colour": "green"}, {"thing": "x", "colour": "y", **row}])
    with pytest.raises(DataError) as raised:
        plan(spec)
    (finding,) = raised.value.findings
    assert message in finding.message
    assert (finding.file, finding.line) == ("prompts.jsonl", 2)
    assert finding.hint


def test_judges_of_single_prompts(tmp_path: Path) -> None:
    def checks(rubric: str) -> list[Any]:
        return [{"llm_judge": {"provider": {"simulated": {"base_accuracy": 1.0}}, "model": "j", "rubric": rubric}}]

    rows = [{"thing": f"t{n}", "colour": f"c{n}", "checks": checks(f"rubric {n % 2}")} for n in range(4)]
    text = "  prompts: [{jsonl: {path: prompts.jsonl}}]\n  asserts: checks\n"
    text += "  models: [{provider: {simulated: {base_accuracy: 1.0}}, model: other}]\n"
    evaluation = run(write(tmp_path, text, rows)).evaluation
    assert (evaluation.base.accuracy, evaluation.tuned.accuracy) == (0, 1)
    assert [use.questions for use in evaluation.tuned.judges] == [4]


def test_something_must_grade(tmp_path: Path) -> None:
    text = "  prompts: [{jsonl: {path: prompts.jsonl}}]\n"
    with pytest.raises(SpecError) as raised:
        plan(write(tmp_path, text, ROWS))
    assert [problem.message for problem in raised.value.problems] == ["nothing grades the answers"]
    with pytest.raises(DataError) as found:
        plan(write(tmp_path, text + "  asserts: checks\n", ROWS))
    assert [finding.line for finding in found.value.findings] == [1, 2]


def test_rows_are_asked_as_they_are(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    text = "  prompts: [{jsonl: {path: prompts.jsonl}, as_is: true}]\n  graders: [exact]\n"
    found = run(write(tmp_path, text, [{"messages": turns, "tools": tools}]))
    assert found.evaluation.tuned.accuracy == 1
    case = json.loads((found.report.parent / "report.json").read_text())["cases"][0]
    assert [message["content"] for message in case["messages"]] == ["a", "b", "c"]
    assert case["expected"] == "d"
    spec = write(tmp_path, text)
    spec.write_text(spec.read_text().replace("colour: blue}]}}", "colour: blue}]}, as_is: true}"))
    with pytest.raises(SpecError) as raised:
        plan(spec)
    assert raised.value.problems[0].message == "'as_is' is for prompts"


# ---- promptfoo

CONFIG = """\
description: capitals
prompts:
  - "What is the capital of {{country}}? Be {{style}}."
  - file://chat.json
providers: [openai:gpt-4o-mini]
sharing: true
defaultTest:
  vars: {style: brief}
  assert:
    - {type: word-count, value: {max: 20}}
tests:
  - description: france
    vars: {country: France, capital: Paris}
    metadata: {region: eu}
    assert:
      - {type: icontains, value: "{{capital}}", metric: named}
      - {type: not-contains, value: London, weight: 0.5}
  - vars: {country: [Spain, Italy]}
    assert:
      - {type: javascript, value: output.length > 3}
      - {type: is-json, value: {type: object}}
"""


def promptfoo(tmp_path: Path, config: str = CONFIG, **options: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    from ftspec import rows
    from ftspec.builtin.promptfoo import COMPONENTS
    from ftspec.common.errors import Finding

    (tmp_path / "promptfooconfig.yaml").write_text(config)
    chat = [{"role": "system", "content": "Be {{style}}."}, {"role": "user", "content": "Capital of {{country}}?"}]
    (tmp_path / "chat.json").write_text(json.dumps(chat))
    files = {"path": str(tmp_path / "promptfooconfig.yaml"), "files": [str(tmp_path / "chat.json")]}
    got = list(COMPONENTS["promptfoo"].build({**files, **options}).read())
    findings = [one for one in got if isinstance(one, Finding)]
    return [row for one in got if not isinstance(one, Finding) for row in rows.to_dicts(one.batch)], findings


def test_a_config_becomes_rows_and_what_does_not_map_is_told(tmp_path: Path) -> None:
    rows, findings = promptfoo(tmp_path)
    assert len(rows) == 6
    assert rows[0]["messages"] == [{"role": "user", "content": "What is the capital of France? Be brief."}]
    assert [message["content"] for message in rows[1]["messages"]] == ["Be brief.", "Capital of France?"]
    assert rows[0]["tags"] == ["region=eu"]
    assert rows[0]["asserts"] == [
        {"length": {"max": 20}},
        {"contains": {"all": ["Paris"], "ignore_case": True}, "id": "named"},
        {"contains": {"all": ["London"]}, "negate": True, "weight": 0.5},
    ]
    assert [row["country"] for row in rows[2:]] == ["Spain", "Spain", "Italy", "Italy"]
    told = [(finding.line, finding.message) for finding in findings]
    assert told == [
        (1, "of the config is not imported: sharing"),
        (20, "an assertion is not imported: javascript has no counterpart"),
    ]


def test_a_config_runs(tmp_path: Path) -> None:
    promptfoo(tmp_path)
    source = "promptfoo: {path: promptfooconfig.yaml, files: [chat.json]}, as_is: true"
    text = f"  prompts: [{{{source}}}]\n  asserts: asserts\n  tags: [tags]\n"
    with pytest.raises(DataError) as raised:
        plan(write(tmp_path, text))
    assert {finding.line for finding in raised.value.findings if finding.severity == "error"} == {20}
    spec = write(tmp_path, text.replace("as_is: true", "as_is: true, on_error: skip"))
    data = plan(spec).data
    assert data and all(count.rows_in == count.rows_out for count in data.counts)  # an assertion went, and no row
    found = run(spec)
    assert found.evaluation.tuned.prompts == 6
    assert set(found.evaluation.tuned.graders) == {"length", "named", "contains", "json_schema"}
    assert set(found.evaluation.tuned.slices) == {"region=eu"}


@pytest.mark.parametrize(
    ("asserted", "made"),
    [
        ({"type": "equals", "value": "{{x}}"}, {"exact": {"text": "y"}}),
        ({"type": "equals", "value": {"a": 1}}, {"json_schema": {"schema": {"const": {"a": 1}}}}),
        ({"type": "contains-any", "value": "a, b"}, {"contains": {"any": ["a", "b"]}}),
        ({"type": "icontains-all", "value": ["a"]}, {"contains": {"all": ["a"], "ignore_case": True}}),
        ({"type": "starts-with", "value": "a.b"}, {"regex": {"pattern": r"\Aa\.b"}}),
        ({"type": "latency", "threshold": 500}, {"latency": {"max": 0.5}}),
        (
            {"type": "rouge-n", "value": "a"},
            {"rouge": {"variant": "rouge1", "part": "recall", "text": "a", "threshold": 0.75}},
        ),
        ({"type": "not-is-refusal"}, {"refusal": {}, "negate": True}),
        ({"type": "is-json"}, {"json_schema": {"schema": {}}}),
        ({"type": "contains-json"}, {"json_schema": {"schema": {}, "find": True}}),
        (
            {"type": "not-levenshtein", "value": "a", "threshold": 3},
            {"similarity": {"text": "a", "distance": 3, "strip": False}, "negate": True},
        ),
    ],
)
def test_assertions_that_map(asserted: Any, made: Any) -> None:
    assert grader(asserted, {"x": "y"}, Judged(None, "")) == made


@pytest.mark.parametrize(
    "asserted",
    [
        {"type": "javascript", "value": "1"},
        {"type": "similar", "value": "a", "threshold": 0.8},
        {"type": "llm-rubric", "value": "good"},
        {"type": "latency"},
        {"type": "equals", "value": "file://a.txt"},
        {"type": "contains", "value": None},
        {"type": "equals", "value": "a", "transform": "output.x"},
        {"value": "a"},
        "equals",
    ],
)
def test_assertions_that_do_not_map_say_so(asserted: Any) -> None:
    with pytest.raises(Unmapped):
        grader(asserted, {}, Judged(None, ""))


def test_a_rubric_is_judged_by_whom_the_spec_names() -> None:
    made = grader({"type": "llm-rubric", "value": "is {{x}}"}, {"x": "{{y}}"}, Judged("simulated", "j"))
    assert made == {"llm_judge": {"provider": "simulated", "model": "j", "rubric": "is { {y}}", "scale": [0, 1]}}


@pytest.mark.parametrize("config", ["[", "3", "prompts: [a]\ntests: file://tests.csv", "prompts: [a]\ntests: [3]"])
def test_a_config_that_is_none_is_a_finding(config: str, tmp_path: Path) -> None:
    rows, findings = promptfoo(tmp_path, config)
    assert rows == []
    assert findings


TESTS = """\
country,__expected,__expected2,__metadata:region[],__description
France,contains: Paris,not-icontains: london,"eu,west",the capital
"Cook
Islands",levenshtein(2): Avarua,,,
Spain,Madrid,javascript: output.length > 3,eu,
"""


def test_tests_in_files_are_read_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "tests.csv").write_text(TESTS)
    peru = "- vars: {country: Peru}\n  assert:\n  - {type: equals, value: file://lima.txt}\n"
    (tmp_path / "more.yaml").write_text(peru)
    (tmp_path / "lima.txt").write_text("Lima of {{country}}\n")
    (tmp_path / "last.jsonl").write_text('{"vars": {"country": "Chad"}}\n')
    files = [str(tmp_path / name) for name in ("tests.csv", "more.yaml", "lima.txt", "last.jsonl")]
    config = "prompts: ['{{country}}?']\ntests: [tests.csv, file://more.yaml, last.jsonl, file://other.csv]"
    rows, findings = promptfoo(tmp_path, config, files=files)
    assert [row["asserts"] for row in rows] == [
        [{"contains": {"all": ["Paris"]}}, {"contains": {"all": ["london"], "ignore_case": True}, "negate": True}],
        [{"similarity": {"text": "Avarua", "distance": 2, "strip": False}}],
        [{"exact": {"text": "Madrid"}}],
        [{"exact": {"text": "Lima of Peru"}}],
        [],
    ]
    assert (rows[0]["tags"], rows[0]["description"]) == (["region=eu", "region=west"], "the capital")
    assert [(Path(one.file).name, one.line, one.message) for one in findings] == [
        ("tests.csv", 5, "an assertion is not imported: javascript has no counterpart"),
        ("promptfooconfig.yaml", 2, "tests are not imported: name file://other.csv under the source's `files`"),
    ]
    assert "`python: {file: grade.py}`" in findings[0].hint


def test_globs_and_columns_that_say_more_than_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "cases").mkdir()
    head = "country,__prefix,__suffix,__expected,__metric\n"
    (tmp_path / "cases/b.csv").write_text(f"{head}Peru,Please: ,!,contains: Lima,named\n")
    (tmp_path / "cases/a.csv").write_text(f"{head}Chad,,,N'Djamena,\n")
    (tmp_path / "more.yaml").write_text("- vars: {country: Mali}\n  options: {prefix: '{{country}}, '}\n")
    config = "prompts: ['{{country}}?', file://chat.json]\ntests: ['cases/*.csv', file://more.yaml, 'none/*.csv']\n"
    files = [str(tmp_path / name) for name in ("cases/*.csv", "more.yaml", "chat.json")]
    rows, findings = promptfoo(tmp_path, f"{config}defaultTest: {{vars: {{style: s}}}}", files=files)
    assert [(row["messages"][-1]["content"], row["asserts"]) for row in rows] == [
        ("Chad?", [{"exact": {"text": "N'Djamena"}}]),
        ("Capital of Chad?", [{"exact": {"text": "N'Djamena"}}]),
        ("Please: Peru?!", [{"contains": {"all": ["Lima"]}, "id": "named"}]),
        ("Mali, Mali?", []),
    ]
    around = "a prompt cannot be filled: a prefix or suffix goes around a text, and this prompt is messages"
    assert [(Path(one.file).name, one.line, one.message) for one in findings] == [
        ("b.csv", 2, around),
        ("more.yaml", 1, around),
        ("promptfooconfig.yaml", 2, "tests are not imported: no file matches none/*.csv"),
    ]
    _, findings = promptfoo(tmp_path, "prompts: [a]\ntests: cases/*.csv", files=[str(tmp_path / "cases/a.csv")])
    assert findings[0].message.endswith("name b.csv, which is one of cases/*.csv, under the source's `files`")


def test_tests_in_a_workbook(tmp_path: Path) -> None:
    table = [["country", "year", "__expected", "__expected2"], ["Peru", 1821, "Lima", "not-contains: La"], ["Chad"]]
    workbook(tmp_path / "tests.xlsx", {"notes": [["x"], ["y"]], "cases": table})
    config = "prompts: ['{{country}} {{year}}?']\ntests: [file://tests.xlsx#cases, 'tests.xlsx#2', 'tests.xlsx#3']\n"
    rows, findings = promptfoo(tmp_path, config, files=[str(tmp_path / "tests.xlsx")])
    said = [(row["messages"][0]["content"], len(row["asserts"])) for row in rows]
    assert said == [("Peru 1821?", 2), ("Chad ?", 0)] * 2
    assert [one.message for one in findings] == ["the workbook has no sheet 3; it has 'notes', 'cases'"]
    component = registry.load().get("source", "promptfoo")
    assert [list(component.wanted({"path": "c.yaml", "files": [name]})) for name in ("t.csv", "t.xlsx")] == [
        [],
        ["python-calamine>=0.4"],
    ]


def test_a_set_of_assertions_is_its_members() -> None:
    both = {"type": "assert-set", "weight": 0, "assert": [{"type": "contains", "value": "a"}, {"type": "is-json"}]}
    assert list(members([{"type": "cost"}, both])) == [
        ({"type": "cost"}, (0,)),
        ({"type": "contains", "value": "a", "weight": 0}, (1, 0)),
        ({"type": "is-json", "weight": 0}, (1, 1)),
    ]
    with pytest.raises(Unmapped, match="some may fail"):
        list(members([{**both, "threshold": 0.5}]))


def test_a_cell_that_is_no_assertion_is_what_equals() -> None:
    assert written("Note: to be") == {"type": "equals", "value": "Note: to be"}
    assert written("grade: is polite") == {"type": "llm-rubric", "value": "is polite"}


def test_inline_prompts_are_a_source() -> None:
    assert "examples" in SOURCES


def asked(rows: list[dict[str, Any]]) -> list[Any]:
    """What each row asks: a text, or pairs of role and text."""
    said = [[(m["role"], m["content"]) for m in row["messages"]] for row in rows]
    return [messages[0][1] if len(messages) == 1 else messages for messages in said]


@pytest.mark.parametrize(
    ("prompts", "wanted"),
    [
        ("file://p.txt", ["File x"]),
        ("p.txt", ["File x"]),
        ("Say {{ q }}", ["Say x"]),
        ("[p.txt, 'sub/*.txt']", ["File x", "One x", "Two x"]),
        ("{p.txt: a, sub/a.txt: b}", ["File x", "One x", "Two x"]),
        ("[prompts.csv, prompts.jsonl]", ["CSV x", "Line x", [("system", "s"), ("user", "x")]]),
        ("[{id: file://p.txt, label: a}, {raw: 'Raw {{ q }}', label: b}]", ["File x", "Raw x"]),
        (
            "['What is 2*3/4?', 'Is a.md text, or b.txt?', 'Either/or']",
            ["What is 2*3/4?", "Is a.md text, or b.txt?", "Either/or"],
        ),
        (
            "['2**3? **', '/no/*.thing', '[a-', 'word word', '" + "long " * 90 + "']",
            ["2**3? **", "/no/*.thing", "[a-", "word word", "long " * 90],
        ),
        ("file://turns.json", [[("user", "hi"), ("user", 'say "x"')]]),
    ],
)
def test_prompts_of_promptfoo_are_texts_or_files(tmp_path: Path, prompts: str, wanted: list[Any]) -> None:
    files = {
        "p.txt": "File {{ q }}\n",
        "sub/a.txt": "One {{ q }}\n---\nTwo {{ q }}\n",
        "prompts.csv": 'prompt,label\n"CSV {{ q }}",a\n',
        "prompts.jsonl": 'Line {{ q }}\n[{"role": "system", "content": "s"}, {"role": "user", "content": "{{ q }}"}]\n',
        "turns.json": '[{% for t in turns %}{"role": "user", "content": {{ t | dump }}},{% endfor %}\n'
        '{"role": "user", "content": {{ (\'say "\' ~ q ~ \'"\') | dump }}}]',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    config = (
        f"prompts: {prompts}\ntests:\n  - vars: {{q: x, turns: [hi]}}\n    options: {{disableVarExpansion: true}}\n"
    )
    rows, findings = promptfoo(tmp_path, config, files=[str(tmp_path / name) for name in files])
    assert not findings
    assert asked(rows) == wanted


def test_prompts_of_promptfoo_that_no_text_is_are_told_at_their_lines(tmp_path: Path) -> None:
    listed = "\n- ".join(["missing.txt", "exec:./x.sh", "file://make.py:prompt", "langfuse://a:1", "[1]", "fine"])
    rows, findings = promptfoo(tmp_path, f"prompts:\n- {listed}\ntests: [{{}}]\n")
    assert asked(rows) == ["fine"]
    assert [(one.line, one.message.removeprefix("a prompt is not imported: ")) for one in findings] == [
        (2, "name missing.txt under the source's `files`"),
        (3, "exec:./x.sh is a program"),
        (4, "file://make.py:prompt is a program"),
        (5, "langfuse://a:1 is elsewhere"),
        (6, "[1] is no text"),
    ]


def test_variables_of_promptfoo_may_name_each_other(tmp_path: Path) -> None:
    variables = "{name: [A, B], greeting: 'Hi {{ name }}', code: '{{ x }}'}"
    config = f"prompts: ['{{{{ greeting }}}} {{{{ code }}}}']\ntests:\n- vars: {variables}\n"
    rows, findings = promptfoo(tmp_path, config)
    assert not findings
    assert asked(rows) == ["Hi A {{ x }}", "Hi B {{ x }}"]
    assert [row["greeting"] for row in rows] == ["Hi A", "Hi B"]
