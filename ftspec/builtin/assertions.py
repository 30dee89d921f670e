"""promptfoo's assertions as ftspec's graders (promptfoo.dev/docs/configuration/expected-outputs describes them)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from ftspec.builtin import templates

Json = dict[str, Any]
PLAIN = {"type", "value", "weight", "metric", "threshold"}
SET = {"type", "assert", "weight", "metric", "threshold"}
RUBRIC = "say it as `llm-rubric`, which another model judges"
INSTEAD = {
    **dict.fromkeys(
        ("javascript", "python", "ruby", "webhook"),
        "write the grader `python` under `eval.graders`: `python: {file: grade.py}`",
    ),
    "similar": "use the grader `embedding` under `eval.graders`",
    **dict.fromkeys(("gleu", "meteor"), "`rouge-n`, `bleu` and the grader `chrf` measure alike"),
    **dict.fromkeys(
        ("is-valid-function-call", "is-valid-openai-function-call", "is-valid-openai-tools-call", "tool-call-f1"),
        "use the grader `tool_call`, or `json_schema` over the calls, under `eval.graders`",
    ),
    **dict.fromkeys(("select-best", "max-score"), "use the grader `llm_judge` with `against: base`"),
    **dict.fromkeys(
        (
            "factuality", "model-graded-factuality", "g-eval", "answer-relevance", "context-faithfulness",
            "context-recall", "context-relevance", "conversation-relevance", "moderation", "pi", "classifier",
        ),
        RUBRIC,
    ),
}  # fmt: skip
"""What to do about assertions that have no counterpart."""
OTHERWISE = "say it with one of ftspec's graders (docs/spec.md#graders), or set `on_error: skip`"


class Unmapped(Exception):
    """An assertion or a part of a config that ftspec has nothing for; `hint` says what to do."""

    def __init__(self, message: str, hint: str = OTHERWISE) -> None:
        super().__init__(message)
        self.hint = hint


class Judged(NamedTuple):
    """Who judges `llm-rubric`, where the spec says; and how the file is read that a `file://` names."""

    provider: str | Json | None
    model: str
    read: Callable[[str], Any] | None = None


def members(asserted: Any) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Single assertions and their places: an `assert-set` all of whose members must pass is its members.

    Raises Unmapped for a set of which some may fail.
    """
    for place, one in enumerate(asserted if isinstance(asserted, list) else [asserted]):
        if not isinstance(one, dict) or one.get("type") != "assert-set":
            yield one, (place,)
        elif unknown := sorted(set(map(str, one)) - SET):
            raise Unmapped(f"assert-set with {', '.join(unknown)}")
        elif one.get("threshold") not in (None, 1):
            raise Unmapped("assert-set with a threshold, of which some may fail", "split it, or judge by `llm-rubric`")
        else:
            silent = {"weight": 0} if one.get("weight") == 0 else {}
            for inner, rest in members(one.get("assert") or []):
                yield ({**inner, **silent} if isinstance(inner, dict) else inner), (place, *rest)


def grader(asserted: Any, variables: Mapping[str, Any], judged: Judged) -> Json:
    """An assertion as a grader of the spec. Raises Unmapped, and ValueError where its template cannot be filled."""
    if not isinstance(asserted, dict) or not isinstance(asserted.get("type"), str):
        raise Unmapped(f"{str(asserted)[:80]} has no type")
    kind = asserted["type"]
    if unknown := sorted(set(asserted) - PLAIN):
        raise Unmapped(f"{kind} with {', '.join(map(str, unknown))}")
    name, negate = kind.removeprefix("not-"), kind.startswith("not-")
    if name not in ASSERTIONS:
        raise Unmapped(f"{kind} has no counterpart", INSTEAD.get(name, OTHERWISE))
    value = _rendered(asserted.get("value"), variables, judged)
    made = ASSERTIONS[name](_Value(kind, value, asserted.get("threshold")), judged)
    found: Json = dict(made)
    if negate:
        found["negate"] = True
    if "weight" in asserted:
        found["weight"] = asserted["weight"]
    if metric := asserted.get("metric"):
        found["id"] = re.sub(r"[^A-Za-z0-9._-]+", "-", str(metric))[:64].strip("-") or "metric"
    return found


def _rendered(value: Any, variables: Mapping[str, Any], judged: Judged) -> Any:
    if isinstance(value, str) and value.startswith("file://"):
        if judged.read is None:
            raise Unmapped(f"the value {value} is in a file")
        value = judged.read(value)
    if isinstance(value, str):
        return templates.Template(value).text_of(variables)
    if isinstance(value, list):
        return [_rendered(entry, variables, judged) for entry in value]
    return value


class _Value(msgspec.Struct, frozen=True):
    """What an assertion compares with."""

    kind: str
    value: Any
    threshold: Any

    @property
    def text(self) -> str:
        if isinstance(self.value, str | int | float) and not isinstance(self.value, bool):
            return str(self.value)
        raise Unmapped(f"{self.kind} with the value {str(self.value)[:60]}")

    @property
    def texts(self) -> list[str]:
        entries = self.value.split(",") if isinstance(self.value, str) else self.value
        if isinstance(entries, list) and entries:
            return [str(entry).strip() for entry in entries]
        raise Unmapped(f"{self.kind} with the value {str(self.value)[:60]}")

    def number(self, default: float | None = None) -> float:
        found = default if self.threshold is None else self.threshold
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Unmapped(f"{self.kind} without a threshold that is a number")
        return float(found)


def _equals(given: _Value, judged: Judged) -> Json:
    if isinstance(given.value, dict | list):
        return {"json_schema": {"schema": {"const": given.value}}}
    return {"exact": {"text": given.text}}


def _contains(many: str, ignore_case: bool) -> Callable[[_Value, Judged], Json]:
    def made(given: _Value, judged: Judged) -> Json:
        texts = given.texts if many else [given.text]
        return {"contains": {many or "all": texts, **({"ignore_case": True} if ignore_case else {})}}

    return made


def _json(find: bool) -> Callable[[_Value, Judged], Json]:
    def made(given: _Value, judged: Judged) -> Json:
        if given.value is not None and not isinstance(given.value, dict):
            raise Unmapped(f"{given.kind} with the value {str(given.value)[:60]}")
        return {"json_schema": {"schema": given.value or {}, **({"find": True} if find else {})}}

    return made


def _levenshtein(given: _Value, judged: Judged) -> Json:
    # From more on than is at most allowed it fails: of 3.5 edits that is 3.
    return {"similarity": {"text": given.text, "distance": int(given.number(5)), "strip": False}}


def _rubric(given: _Value, judged: Judged) -> Json:
    if judged.provider is None:
        raise Unmapped(f"{given.kind} needs a judge", "say `judge_provider` and `judge_model` in the source's options")
    # The text is filled already: braces in it are no template any more.
    rubric = given.text.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #")
    options = {"provider": judged.provider, "model": judged.model, "rubric": rubric, "scale": [0, 1]}
    return {"llm_judge": options | ({} if given.threshold is None else {"pass_at": given.number()})}


def _words(given: _Value, judged: Judged) -> Json:
    if isinstance(given.value, int):
        return {"length": {"min": given.value, "max": given.value}}
    if isinstance(given.value, dict) and given.value and set(given.value) <= {"min", "max"}:
        return {"length": given.value}
    raise Unmapped(f"{given.kind} with the value {str(given.value)[:60]}")


ROUGE = {"variant": "rouge1", "part": "recall"}
"""promptfoo's is recall-oriented."""

ASSERTIONS: dict[str, Callable[[_Value, Judged], Json]] = {
    "equals": _equals,
    "contains": _contains("", False),
    "icontains": _contains("", True),
    "contains-any": _contains("any", False),
    "icontains-any": _contains("any", True),
    "contains-all": _contains("all", False),
    "icontains-all": _contains("all", True),
    "starts-with": lambda given, _: {"regex": {"pattern": r"\A" + re.escape(given.text)}},
    "regex": lambda given, _: {"regex": {"pattern": given.text}},
    "is-json": _json(False),
    "contains-json": _json(True),
    "levenshtein": _levenshtein,
    "rouge-n": lambda given, _: {"rouge": {**ROUGE, "text": given.text, "threshold": given.number(0.75)}},
    "bleu": lambda given, _: {"bleu": {"text": given.text, "threshold": given.number(0.5)}},
    "latency": lambda given, _: {"latency": {"max": given.number() / 1000}},
    "cost": lambda given, _: {"cost": {"max": given.number()}},
    "is-refusal": lambda given, _: {"refusal": {}},
    "word-count": _words,
    "llm-rubric": _rubric,
    "model-graded-closedqa": _rubric,
}
"""By promptfoo's name, without `not-`. Assertions that run JavaScript or Python, that ask a service, or that measure
otherwise (similar, perplexity, gleu, ...) are not here: see INSTEAD."""
