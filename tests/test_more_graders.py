"""Graders of values, limits, likeness and one's own code: against the libraries that define the metrics."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from ftspec import rows
from ftspec.builtin import ftspec_graders
from ftspec.builtin.values import ToolCall
from ftspec.common.errors import FtspecError
from ftspec.common.evaluation import Grade, Label
from ftspec.common.messages import Answer, Prompt
from ftspec.contracts.components import Component
from ftspec.grading import classes
from ftspec.testing import GraderSuite

COMPONENTS = ftspec_graders()


def graded(name: str, answer: str | Answer, expected: str | None = None, **options: Any) -> Grade:
    given = Answer(prompt="p", repeat=0, text=answer) if isinstance(answer, str) else answer
    found = COMPONENTS[name].build(options)(Prompt(id="p", messages=[], expected=expected), given)
    assert isinstance(found, Grade)
    assert found.passed or found.reason
    return found


def clashes(name: str, options: dict[str, Any]) -> list[str]:
    component: Component = COMPONENTS[name]
    return [text for rule in component.rules for _, text in rule(component.convert(options))]


def calling(*calls: tuple[str, Any]) -> Answer:
    made = [{"id": "c", "type": "function", "function": {"name": n, "arguments": json.dumps(a)}} for n, a in calls]
    return Answer(prompt="p", repeat=0, tool_calls=made)


# ---- conformance


class TestExact(GraderSuite):
    component = COMPONENTS["exact"]
    passing: ClassVar[Any] = [("a", " a ")]
    failing: ClassVar[Any] = [("a", "b"), (None, "b")]


class TestContains(GraderSuite):
    component = COMPONENTS["contains"]
    options: ClassVar[Any] = {"any": ["a", "b"]}
    passing: ClassVar[Any] = [(None, "cab")]
    failing: ClassVar[Any] = [(None, "x")]


class TestRegex(GraderSuite):
    component = COMPONENTS["regex"]
    options: ClassVar[Any] = {"pattern": r"\d+"}
    passing: ClassVar[Any] = [(None, "a1")]
    failing: ClassVar[Any] = [(None, "a")]


class TestJsonMatch(GraderSuite):
    component = COMPONENTS["json_match"]
    passing: ClassVar[Any] = [('{"a": 1}', '{"a": 1.0}')]
    failing: ClassVar[Any] = [('{"a": 1}', '{"a": 2}'), ('{"a": 1}', "a")]


class TestJsonSchema(GraderSuite):
    component = COMPONENTS["json_schema"]
    options: ClassVar[Any] = {"schema": {"type": "object", "required": ["a"]}}
    passing: ClassVar[Any] = [(None, '{"a": 1}')]
    failing: ClassVar[Any] = [(None, '{"b": 1}'), (None, "not JSON"), (None, "[]")]


class TestJsonSchemaAnywhere(GraderSuite):
    component = COMPONENTS["json_schema"]
    options: ClassVar[Any] = {"schema": {"required": ["a"]}, "find": True}
    passing: ClassVar[Any] = [(None, 'so [1] {"b": 1} it is:\n```json\n{"a": {"c": "}"}}\n```'), (None, '{"a": 1} {')]
    failing: ClassVar[Any] = [(None, '{"b": {"a": 1}}'), (None, "not {JSON}"), (None, "[" * 3000)]


class TestEdits(GraderSuite):
    component = COMPONENTS["similarity"]
    options: ClassVar[Any] = {"distance": 2}
    passing: ClassVar[Any] = [("kitten", "sitten"), ("a", "bc")]
    failing: ClassVar[Any] = [("kitten", "sitting"), (None, "a")]


class TestNumber(GraderSuite):
    component = COMPONENTS["number"]
    options: ClassVar[Any] = {"tolerance": 0.5}
    passing: ClassVar[Any] = [("42", "so it is 42.3"), ("1,000", "1000")]
    failing: ClassVar[Any] = [("42", "43"), ("42", "none"), ("none", "42"), (None, "42")]


class TestLabel(GraderSuite):
    component = COMPONENTS["label"]
    options: ClassVar[Any] = {"labels": ["spam", "ham"]}
    passing: ClassVar[Any] = [("spam", "Spam ")]
    failing: ClassVar[Any] = [("spam", "ham"), ("spam", "eggs"), (None, "ham")]


class TestToolCall(GraderSuite):
    component = COMPONENTS["tool_call"]
    passing: ClassVar[Any] = [('[{"name": "a", "arguments": {"x": 1}}]', calling(("a", {"x": 1})))]
    failing: ClassVar[Any] = [
        ('[{"name": "a", "arguments": {"x": 1}}]', calling(("a", {"x": 2}))),
        ('[{"name": "a", "arguments": {"x": 1}}]', "no call"),
        (None, "no call"),
    ]


class TestRefusal(GraderSuite):
    component = COMPONENTS["refusal"]
    passing: ClassVar[Any] = [(None, "I'm sorry, but I can't help with that."), (None, "I cannot assist with this.")]
    failing: ClassVar[Any] = [
        (None, "Sure, here it is."),
        (None, "You cannot park here; we share the street."),
        (None, "I can't wait to help you!"),
    ]


class TestLength(GraderSuite):
    component = COMPONENTS["length"]
    options: ClassVar[Any] = {"min": 2, "max": 3}
    passing: ClassVar[Any] = [(None, "two words")]
    failing: ClassVar[Any] = [(None, "one"), (None, "one two three four")]


class TestLatency(GraderSuite):
    component = COMPONENTS["latency"]
    options: ClassVar[Any] = {"max": 1.0}
    passing: ClassVar[Any] = [(None, Answer(prompt="p", repeat=0, seconds=0.9))]
    failing: ClassVar[Any] = [(None, Answer(prompt="p", repeat=0, seconds=1.1)), (None, "not measured")]


class TestCost(GraderSuite):
    component = COMPONENTS["cost"]
    options: ClassVar[Any] = {"max": 0.001}
    passing: ClassVar[Any] = [(None, Answer(prompt="p", repeat=0, cost=0.0009))]
    failing: ClassVar[Any] = [(None, Answer(prompt="p", repeat=0, cost=0.0011)), (None, "not known")]


class TestSimilarity(GraderSuite):
    component = COMPONENTS["similarity"]
    passing: ClassVar[Any] = [("kitten", "kitten")]
    failing: ClassVar[Any] = [("kitten", "dog"), (None, "dog")]


class TestRouge(GraderSuite):
    component = COMPONENTS["rouge"]
    passing: ClassVar[Any] = [("the cat sat", "the cat sat down")]
    failing: ClassVar[Any] = [("the cat sat", "a dog"), (None, "a dog")]


class TestBleu(GraderSuite):
    component = COMPONENTS["bleu"]
    passing: ClassVar[Any] = [("the cat sat on the mat", "the cat sat on the mat")]
    failing: ClassVar[Any] = [("the cat sat", "a dog"), ("the cat", ""), (None, "a dog")]


class TestChrf(GraderSuite):
    component = COMPONENTS["chrf"]
    passing: ClassVar[Any] = [("the cat sat", "the cat sat down")]
    failing: ClassVar[Any] = [("the cat sat", "pdq"), ("the cat", ""), (None, "a dog")]


class TestLlmJudge(GraderSuite):
    component = COMPONENTS["llm_judge"]
    options: ClassVar[Any] = {"provider": "simulated", "model": "m", "rubric": "good"}
    passing: ClassVar[Any] = [("red", "red"), (None, "anything")]
    failing: ClassVar[Any] = [("red", "blue")]


def test_every_grader_has_a_suite() -> None:
    suites = {suite.component.name for suite in GraderSuite.__subclasses__() if suite.__module__ == __name__}
    assert suites == set(COMPONENTS) - {"python", "embedding"}  # those need files, and are tested below


# ---- values


@pytest.mark.parametrize(
    ("text", "options", "passed"),
    [
        ("1, 2 and 42", {"value": 42}, True),
        ("42, or rather 43", {"value": 42}, False),
        ("42, or rather 43", {"value": 42, "which": "first"}, True),
        ("42, or rather 43", {"value": 43, "which": "only"}, False),
        ("it costs $1,234.50.", {"value": 1234.5}, True),
        ("-3", {"value": -3}, True),
        ("−3", {"value": -3}, True),
        ("1e3", {"value": 1000}, True),
        ("A4 and v1.2", {"value": 4}, False),
        ("1.5kg", {"value": 1}, False),
        ("1,234kg", {"value": 1}, False),
        ("1,2,3", {"value": 1, "which": "first"}, True),
        ("1,2345", {"value": 2345}, True),
        ("a loss of -$1,234.50", {"value": -1234.5}, True),
        ("答案是42", {"value": 42}, True),
        ("合計は1,234.5円です", {"value": 1234.5}, True),
        ("一共有42个苹果", {"value": 42}, True),
        ("답은 -3입니다", {"value": -3}, True),
        ("กำไร42บาท", {"value": 42}, True),
        ("大约3万", {"min": 1, "max": 5}, False),
        ("请看A4和v1.2", {"min": 0}, False),
        ("105", {"value": 100, "relative": 0.05}, True),
        ("106", {"value": 100, "relative": 0.05}, False),
        ("5", {"min": 1, "max": 5}, True),
        ("5.1", {"min": 1, "max": 5}, False),
        ("9", {"min": 1}, True),
        ('{"a": {"b": 7}}', {"value": 7, "field": "a.b"}, True),
        ('{"a": true}', {"value": 1, "field": "a"}, False),
        ("7", {"value": 7, "field": "a"}, False),
    ],
)
def test_number(text: str, options: dict[str, Any], passed: bool) -> None:
    assert graded("number", text, **options).passed is passed


@pytest.mark.parametrize(
    ("name", "answer", "expected", "options"),
    [
        ("json_match", "[" * 200_000, "[1]", {}),
        ("json_match", "[" * 900 + "]" * 900, "[1]", {}),
        ("json_match", '{"a": "' + "[" * 200_000 + '"}', '{"a": 1}', {"fields": ["a.b"]}),
        ("json_match", '{"a": 1' + "0" * 400 + "}", '{"a": 1.5}', {}),
        ("json_match", '"\ud800"', '"a"', {}),
        ("number", '{"a": 1' + "0" * 400 + "}", None, {"field": "a", "value": 1}),
        ("label", "[" * 200_000, '{"a": "b"}', {"field": "a"}),
        ("json_schema", "[" * 200_000, None, {"schema": {}}),
        ("json_schema", '{"a":' * 900 + "1" + "}" * 900, None, {"schema": {"additionalProperties": {"$ref": "#"}}}),
        ("tool_call", Answer(prompt="p", repeat=0, tool_calls=[{"name": "a", "arguments": "[" * 200_000}]), "[]", {}),
    ],
)
def test_what_no_one_can_read_fails_and_is_not_without_a_verdict(
    name: str, answer: str | Answer, expected: str | None, options: dict[str, Any]
) -> None:
    assert not graded(name, answer, expected, **options).passed


def test_a_pattern_in_a_schema_ends_whatever_a_model_says() -> None:
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}, "b": {"pattern": "^(?!x)"}}}
    assert not graded("json_schema", json.dumps({"a": "a" * 64 + "!"}), schema=schema).passed
    assert graded("json_schema", '{"a": "aa", "b": "y"}', schema=schema).passed
    assert "does not match" in graded("json_schema", '{"b": "x"}', schema=schema).reason
    assert graded("json_schema", '{"a": 1}', schema=schema).passed


def test_nothing_is_contained_in_every_answer() -> None:
    assert not graded("contains", "anything", "").passed
    assert not graded("contains", "anything", " \n").passed
    assert graded("contains", "anything", "", any=["any"]).passed


def test_a_fence_may_be_of_windows() -> None:
    assert graded("json_match", '```JSON \r\n{"a": 1}\r\n```', '{"a": 1}', allow_fence=True).passed


def test_a_label_is_found_where_words_are_not_parted_by_spaces() -> None:
    options = {"labels": ["正面", "负面", "spam"], "find": True}
    assert graded("label", "这是正面的。", "正面", **options).passed
    assert graded("label", "这是spam邮件", "spam", **options).passed
    assert not graded("label", "spammer", "spam", **options).passed


@pytest.mark.parametrize(
    ("answer", "refuses"),
    [
        ("I'm sorry, I can't.", True),
        ("I'm sorry, but your request can't be fulfilled.", True),
        ("I am sorry for the delay. We could not deliver your parcel to the neighbours.", False),
        ("I'm afraid your order can't be delivered before Monday.", False),
    ],
)
def test_an_apology_is_no_refusal(answer: str, refuses: bool) -> None:
    assert graded("refusal", answer).passed is refuses


def test_a_call_without_arguments() -> None:
    bare = Answer(prompt="p", repeat=0, tool_calls=[{"function": {"name": "a", "arguments": ""}}])
    assert graded("tool_call", bare, calls=[ToolCall(name="a")]).passed
    odd = Answer(prompt="p", repeat=0, tool_calls=[{"function": {"name": "a", "arguments": '{"x": 1'}}])
    assert graded("tool_call", odd, calls=[ToolCall(name="a")], arguments="ignore").passed
    assert "no JSON object" in graded("tool_call", odd, calls=[ToolCall(name="a")]).reason


def test_rules_find_what_does_not_go_together() -> None:
    assert clashes("number", {"value": 1, "min": 2})
    assert clashes("number", {"min": 2, "max": 1})
    assert clashes("length", {})
    assert clashes("length", {"min": 2, "max": 1})
    assert clashes("refusal", {"english": False})
    assert clashes("json_schema", {})
    assert clashes("json_schema", {"schema": {"type": "nonsense"}})
    assert clashes("json_schema", {"schema": {}, "file": "x"})
    judge = {"provider": "simulated", "model": "m", "rubric": "r"}
    assert clashes("llm_judge", {**judge, "scale": [5, 1]})
    assert clashes("llm_judge", {**judge, "pass_at": 7})
    assert clashes("llm_judge", {**judge, "rubric": "{{ open"})
    assert clashes("llm_judge", {**judge, "against": "base", "pass_at": 3})


def test_label_says_which_class_was_given() -> None:
    options = {"labels": ["spam", "ham"]}
    assert graded("label", "SPAM", "spam", **options).label == Label(expected="spam", given="spam")
    assert graded("label", "eggs", "spam", **options).label == Label(expected="spam", given="(other)")
    assert graded("label", '{"c": "ham"}', '{"c": "spam"}', field="c").label == Label(expected="spam", given="ham")
    assert graded("label", "{}", '{"c": "spam"}', field="c").label == Label(expected="spam", given="(other)")
    assert graded("label", "This is ham, surely", "ham", find=True, **options).passed
    assert graded("label", "ham or spam?", "ham", find=True, **options).label == Label(expected="ham", given="(other)")
    assert graded("label", "ham it is", "The class: ham.", find=True, **options).passed
    assert not graded("label", "ham it is", "no class", find=True, **options).passed
    assert clashes("label", {"find": True})
    assert graded("label", "not ok", "not ok", find=True, labels=["ok", "not ok"]).passed


def test_classes_are_scikit_learns() -> None:
    drawn = random.Random(3)
    for names in (["a", "b"], ["a", "b", "c", "d"]):
        pairs = [(drawn.choice(names), drawn.choice([*names, "(other)"])) for _ in range(200)]
        found = classes.count(Label(expected=one, given=two) for one, two in pairs)
        expected, given = [one for one, _ in pairs], [two for _, two in pairs]
        assert [list(row) for row in found.counts] == confusion_matrix(expected, given, labels=found.labels).tolist()
        wanted = precision_recall_fscore_support(expected, given, labels=found.labels, zero_division=0)
        for name, values in zip(("precision", "recall", "f1", "support"), wanted, strict=True):
            assert [getattr(score, name) for score in found.scores] == pytest.approx(list(values))
        assert found.macro_f1 == pytest.approx(f1_score(expected, given, labels=names, average="macro"))


def test_no_labels_are_no_classes() -> None:
    assert classes.count([]).macro_f1 == 0


CALLS = rows.calls_text(calling(("find", {"q": "a", "n": 1}), ("send", {"to": "b"})).tool_calls or [])


@pytest.mark.parametrize(
    ("made", "options", "passed", "score"),
    [
        ([("find", {"q": "a", "n": 1}), ("send", {"to": "b"})], {}, True, 1),
        ([("send", {"to": "b"}), ("find", {"n": 1, "q": "a"})], {}, True, 1),
        ([("send", {"to": "b"}), ("find", {"n": 1, "q": "a"})], {"order": True}, False, 0.5),
        ([("find", {"q": "a", "n": 1})], {}, False, 0.5),
        ([("find", {"q": "a", "n": 1, "x": 2}), ("send", {"to": "b"})], {}, False, 0.5),
        ([("find", {"q": "a", "n": 1, "x": 2}), ("send", {"to": "b"})], {"arguments": "subset"}, True, 1),
        ([("find", {"q": "a", "n": 1.4}), ("send", {"to": "b"})], {"tolerance": 0.5}, True, 1),
        ([("find", {}), ("send", {})], {"arguments": "ignore"}, True, 1),
        ([("find", {"q": "a", "n": 1}), ("send", {"to": "b"}), ("log", {})], {}, False, 1),
        ([("find", {"q": "a", "n": 1}), ("send", {"to": "b"}), ("log", {})], {"extra": True, "order": True}, True, 1),
        ([], {}, False, 0),
    ],
)
def test_tool_call(made: Any, options: dict[str, Any], passed: bool, score: float) -> None:
    found = graded("tool_call", calling(*made), CALLS, **options)
    assert (found.passed, found.score) == (passed, score)


def test_tool_call_pairs_calls_so_that_as_many_fit_as_can() -> None:
    """One made call fits both expected ones, the other fits one: a greedy pairing would lose it."""
    calls = [{"name": "a", "arguments": {}}, {"name": "a", "arguments": {"x": 1}}]
    for made in itertools.permutations([("a", {"x": 1}), ("a", {"y": 2})]):
        assert graded("tool_call", calling(*made), calls=calls, arguments="subset").passed


def test_no_tool_is_to_be_called() -> None:
    assert graded("tool_call", "hello", calls=[]).passed
    assert not graded("tool_call", calling(("a", {})), calls=[]).passed
    assert graded("tool_call", "hello", "an answer without calls").passed
    broken = Answer(prompt="p", repeat=0, tool_calls=[{"function": {"name": "a", "arguments": "{"}}])
    assert not graded("tool_call", broken, CALLS).passed


def test_json_schema_fetches_nothing_and_reads_files(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"type": "array", "items": {"type": "integer"}}')
    assert graded("json_schema", "[1]", file=str(tmp_path / "s.json")).passed
    found = graded("json_schema", '["a"]', file=str(tmp_path / "s.json"))
    assert found.reason == "$[0]: 'a' is not of type 'integer'"
    assert graded("json_schema", "```json\n[1]\n```", schema={"type": "array"}, allow_fence=True).passed
    with pytest.raises(Exception, match=r"[Uu]nresolvable"):
        graded("json_schema", "1", schema={"$ref": "http://127.0.0.1:9/schema.json"})
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(FtspecError, match="not a JSON Schema"):
        graded("json_schema", "1", file=str(tmp_path / "bad.json"))


# ---- limits


@pytest.mark.parametrize(
    "text",
    [
        "I’m really sorry, but I am unable to answer.",
        "As an AI language model, I do not have opinions on that.",
        "I must decline.",
        "That would be against our guidelines.",
        "We won't be able to provide this.",
    ],
)
def test_refusals_are_recognised(text: str) -> None:
    assert graded("refusal", text).passed
    assert graded("refusal", Answer(prompt="p", repeat=0, finish_reason="content_filter")).passed


def test_refusals_in_your_own_words() -> None:
    assert graded("refusal", "Leider nein.", phrases=["leider nein"], english=False).passed
    assert not graded("refusal", "I can't help.", phrases=["leider nein"], english=False).passed
    assert not graded("refusal", "x" * 300 + "I cannot help you.").passed


def test_lengths() -> None:
    assert graded("length", "äöü", max=3, unit="characters").passed
    assert graded("length", "a\nb", min=2, unit="lines").passed
    assert graded("length", Answer(prompt="p", repeat=0, completion_tokens=3), max=3, unit="tokens").passed
    assert not graded("length", "no count", max=3, unit="tokens").passed


def test_cost_from_tokens_and_prices() -> None:
    answer = Answer(prompt="p", repeat=0, prompt_tokens=1_000_000, completion_tokens=500_000, cost=99)
    assert graded("cost", answer, max=2.0, prompt_price=1, completion_price=2).passed
    assert not graded("cost", answer, max=1.99, prompt_price=1, completion_price=2).passed
    assert not graded("cost", "no tokens", max=9, prompt_price=1).passed


# ---- likeness

PAIRS = [
    ("the cat sat on the mat", "the cat was sitting on a mat"),
    ("Dogs are running.", "the dog runs"),
    ("same words here", "same words here"),
    ("nothing", "in common"),
]


@pytest.mark.parametrize(("one", "two"), PAIRS)
def test_metrics_are_the_libraries(one: str, two: str) -> None:
    import sacrebleu
    from rouge_score import rouge_scorer

    for variant in ("rouge1", "rouge2", "rougeL"):
        wanted = rouge_scorer.RougeScorer([variant], use_stemmer=True).score(two, one)[variant]
        assert graded("rouge", one, two, variant=variant, stem=True).score == pytest.approx(wanted.fmeasure)
        assert graded("rouge", one, two, variant=variant, stem=True, part="recall").score == wanted.recall
    assert graded("bleu", one, two).score == pytest.approx(sacrebleu.sentence_bleu(one, [two]).score / 100, abs=1e-9)
    plus = sacrebleu.sentence_chrf(one, [two], word_order=2)
    assert graded("chrf", one, two, word_order=2).score == pytest.approx(plus.score / 100)


def test_a_published_rouge() -> None:
    """Lin (2004), section 3: S1 "police killed the gunman", S2 scores 3/4 and S3 2/4 by the subsequence."""
    reference = "police killed the gunman"
    assert graded("rouge", "police kill the gunman", reference).score == pytest.approx(0.75)
    assert graded("rouge", "the gunman kill police", reference).score == pytest.approx(0.5)


@pytest.mark.slow  # loads torch
def test_embeddings_are_compared_by_their_cosine(tmp_path: Path) -> None:
    import numpy as np
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "red": 1, "crimson": 2, "loud": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    weights = np.array([[0.1, 0.1], [1.0, 0.0], [0.8, 0.6], [-1.0, 0.0]], dtype=np.float32)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]).save(str(tmp_path / "model"))
    grader = COMPONENTS["embedding"].build({"model": str(tmp_path / "model"), "threshold": 0.7})

    def score(given: str) -> Any:
        return grader(Prompt(id="p", messages=[], expected="red"), Answer(prompt="p", repeat=0, text=given))

    assert score("crimson").score == pytest.approx(0.8, abs=1e-5)
    assert score("crimson").passed
    assert score("loud").score == 0
    assert not score("loud").passed


# ---- one's own code


def test_python_runs_only_where_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from ftspec import api\n"
        "def grade(prompt, answer):\n    return answer.text == 'yes'\n"
        "def share(prompt, answer):\n    return len(answer.text) / 10\n"
        "def whole(prompt, answer):\n    return api.Grade(passed=False, reason='because')\n"
        "def odd(prompt, answer):\n    return 'yes'\n"
        "number = 1\n"
    )
    monkeypatch.delenv("FTSPEC_ALLOW_PYTHON", raising=False)
    with pytest.raises(FtspecError, match="FTSPEC_ALLOW_PYTHON=1 is not set"):
        graded("python", "yes", file=str(file))
    monkeypatch.setenv("FTSPEC_ALLOW_PYTHON", "1")
    assert graded("python", "yes", file=str(file)).passed
    assert not graded("python", "no", file=str(file)).passed
    assert graded("python", "123456", file=str(file), function="share").score == 0.6
    assert graded("python", "x", file=str(file), function="whole").reason == "because"
    with pytest.raises(FtspecError, match="returned 'yes'"):
        graded("python", "x", file=str(file), function="odd")
    with pytest.raises(FtspecError, match="no function 'number'"):
        graded("python", "x", file=str(file), function="number")
    file.write_text("raise ValueError('at once')")
    with pytest.raises(FtspecError, match="ValueError: at once"):
        graded("python", "x", file=str(file))
