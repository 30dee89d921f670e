"""Evaluation prompts out of a promptfoo config: its prompts, filled with its tests' variables, and its assertions.

promptfoo.dev/docs/configuration/reference describes the format, .../expected-outputs the assertions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftspec import api, rows
from ftspec.builtin import templates

Json = dict[str, Any]
OURS = {"prompts", "tests", "defaultTest", "description", "providers", "targets"}
"""Keys of a config that are read, or that a spec says otherwise; any other is told of."""
TEST = {"vars", "assert", "description", "metadata"}
PLAIN = {"type", "value", "weight", "metric", "threshold"}


class Unmapped(Exception):
    """An assertion or a part of a config that ftspec has nothing for."""


class Judged(NamedTuple):
    """Who judges `llm-rubric`, where the spec says."""

    provider: str | Json | None
    model: str


def _both_or_none(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    if bool(options["judge_provider"]) != bool(options["judge_model"]):
        yield ("judge_model",), "a judge is `judge_provider` and `judge_model`"


@api.source(rules=[_both_or_none], code=["ftspec.builtin.templates"])
def promptfoo(
    *,
    path: api.Path,
    files: tuple[api.Path, ...] = (),
    judge_provider: api.ProviderRef | None = None,
    judge_model: str = "",
) -> api.Source:
    """Read the tests of a promptfoo config (YAML or JSON) as evaluation prompts.

    Each prompt of the config is filled with each test's `vars` (lists in them are multiplied out), and makes a row with
    `messages`, the variables as columns, `tags` out of the test's metadata, and `asserts`: the assertions as ftspec's
    graders. Use it as `- promptfoo: {path: promptfooconfig.yaml}` with `as_is: true`, beside `asserts: asserts`.

    `files` names the files that the config refers to by `file://`, so that what they hold is hashed. `llm-rubric` is
    judged by `judge_provider` and `judge_model`. An assertion that has no counterpart is an error at the test's line;
    with `on_error: skip` it is left out with a warning.
    """
    given = {Path(file).resolve() for file in files}

    def read() -> Iterator[api.Chunk | api.Finding]:
        yield from _Config(Path(path), given, Judged(judge_provider, judge_model)).read()

    return api.Source(read)


class _Config:
    """One config that is being read."""

    def __init__(self, path: Path, given: set[Path], judged: Judged) -> None:
        self.path, self.given, self.judged = path, given, judged

    def read(self) -> Iterator[api.Chunk | api.Finding]:
        import yaml

        try:
            text = self.path.read_text(encoding="utf-8")
            data, root = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
        except UnicodeDecodeError:
            yield api.Finding(message="not UTF-8", hint="save it as UTF-8", file=str(self.path), line=1)
            return
        except (yaml.YAMLError, ValueError) as error:  # a date that is none is a ValueError
            yield self._finding(f"not YAML: {error}", 1)
            return
        if not isinstance(data, dict):
            yield self._finding("not a promptfoo config: it is no mapping", 1)
            return
        if unknown := sorted(set(map(str, data)) - OURS):
            message = f"of the config is not imported: {', '.join(unknown)}"
            yield api.Finding(message=message, file=str(self.path), line=1, severity="warning")
        prompts = []
        for prompt in data.get("prompts") or []:
            try:
                prompts.append(self._prompt(prompt))
            except (Unmapped, OSError, ValueError) as error:
                yield self._finding(f"a prompt is not imported: {error}", 1)
        tests = data.get("tests")
        if not isinstance(tests, list) or not prompts:
            yield self._finding("no test is imported: `tests` must be a list, beside `prompts` that can be read", 1)
            return
        default = data.get("defaultTest")
        if default is not None and not isinstance(default, dict):
            yield self._finding("defaultTest is not imported: it is no mapping", 1)
            default = None
        for test, line in zip(tests, _lines(root, "tests"), strict=True):
            yield from self._test(test, default or {}, prompts, line)

    def _test(self, test: Any, default: Json, prompts: list[Any], line: int) -> Iterator[api.Chunk | api.Finding]:
        if not isinstance(test, dict) or not isinstance(test.get("vars", {}), dict):
            yield self._finding(f"a test is not imported: {str(test)[:80]} is no mapping with `vars`", line)
            return
        if unknown := sorted((set(test) | set(default)) - TEST):
            yield self._finding(f"of the test is not imported: {', '.join(map(str, unknown))}", line)
        try:
            variables = {name: self._text(v) for name, v in {**default.get("vars", {}), **test.get("vars", {})}.items()}
        except (Unmapped, OSError, ValueError) as error:
            yield self._finding(f"a test is not imported: {error}", line)
            return
        asserted = [*(default.get("assert") or []), *(test.get("assert") or [])]
        for chosen in _multiplied(variables):
            graders = []
            for one in asserted:
                try:
                    graders.append(grader(one, chosen, self.judged))
                except (Unmapped, ValueError) as error:
                    yield self._finding(f"an assertion is not imported: {error}", line)
            for prompt in prompts:
                try:
                    messages = _filled(prompt, chosen)
                except ValueError as error:
                    yield self._finding(f"a prompt cannot be filled: {error}", line)
                    continue
                row = {**chosen, "messages": messages, "asserts": graders, "tags": _tags(test.get("metadata"))}
                if description := test.get("description"):
                    row["description"] = str(description)
                yield api.Chunk(rows.from_dicts([row]), str(self.path), [line])

    def _prompt(self, prompt: Any) -> Any:
        """A text, or a list of messages, that is still a template."""
        if isinstance(prompt, dict):
            prompt = prompt.get("raw", prompt.get("id"))
        if not isinstance(prompt, str):
            raise Unmapped(f"{str(prompt)[:80]} is no text")
        text = self._text(prompt)
        try:
            said = _load(text)
        except ValueError:
            return text
        chat = isinstance(said, list) and said and all(isinstance(m, dict) and "role" in m for m in said)
        return said if chat else text

    def _text(self, value: Any) -> Any:
        """What a `file://` holds; any other value as it is."""
        if not isinstance(value, str) or not value.startswith("file://"):
            return value
        file = (self.path.parent / value.removeprefix("file://")).resolve()
        if file.suffix not in {".txt", ".md", ".json", ".yaml", ".yml"}:
            raise Unmapped(f"{value} is no text file")
        if file not in self.given:
            raise Unmapped(f"name {value} under `files`, so that what it holds is hashed")
        return file.read_text(encoding="utf-8").strip()

    def _finding(self, message: str, line: int) -> api.Finding:
        return api.Finding(message=message, file=str(self.path), line=line)


def _load(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _lines(root: Any, key: str) -> list[int]:
    """The line of each entry of a list in the document."""
    found = next((value for name, value in root.value if name.value == key), None)
    return [entry.start_mark.line + 1 for entry in found.value] if found is not None else []


def _multiplied(variables: Json) -> Iterator[Json]:
    """promptfoo's way: a variable that is a list stands for a test per entry."""
    names = list(variables)
    values = [value if isinstance(value, list) else [value] for value in variables.values()]
    for chosen in itertools.product(*values):
        yield dict(zip(names, chosen, strict=True))


def _filled(prompt: Any, variables: Json) -> list[Json]:
    if isinstance(prompt, str):
        return [{"role": "user", "content": templates.Template(prompt).text_of(variables)}]
    return [
        {**message, "content": templates.Template(message["content"]).text_of(variables)}
        if isinstance(message.get("content"), str)
        else message
        for message in prompt
    ]


def _tags(metadata: Any) -> list[str]:
    return [f"{name}={value}" for name, value in metadata.items()] if isinstance(metadata, dict) else []


# ---- assertions


def grader(asserted: Any, variables: Json, judged: Judged) -> Json:
    """An assertion as a grader of the spec. Raises Unmapped, and ValueError where its template cannot be filled."""
    if not isinstance(asserted, dict) or not isinstance(asserted.get("type"), str):
        raise Unmapped(f"{str(asserted)[:80]} has no type")
    kind = asserted["type"]
    if unknown := sorted(set(asserted) - PLAIN):
        raise Unmapped(f"{kind} with {', '.join(map(str, unknown))}")
    name, negate = kind.removeprefix("not-"), kind.startswith("not-")
    if name not in ASSERTIONS:
        raise Unmapped(f"{kind} has no counterpart")
    made = ASSERTIONS[name](
        _Value(kind, _rendered(asserted.get("value"), variables), asserted.get("threshold")), judged
    )
    found: Json = dict(made)
    if negate:
        found["negate"] = True
    if "weight" in asserted:
        found["weight"] = asserted["weight"]
    if metric := asserted.get("metric"):
        found["id"] = re.sub(r"[^A-Za-z0-9._-]+", "-", str(metric))[:64].strip("-") or "metric"
    return found


def _rendered(value: Any, variables: Json) -> Any:
    if isinstance(value, str):
        if value.startswith("file://"):
            raise Unmapped(f"the value {value} is in a file")
        return templates.Template(value).text_of(variables)
    if isinstance(value, list):
        return [_rendered(entry, variables) for entry in value]
    return value


class _Value(NamedTuple):
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


def _json(given: _Value, judged: Judged) -> Json:
    if given.value is not None and not isinstance(given.value, dict):
        raise Unmapped(f"{given.kind} with the value {str(given.value)[:60]}")
    return {"json_schema": {"schema": given.value or {}}}


def _rubric(given: _Value, judged: Judged) -> Json:
    if judged.provider is None:
        raise Unmapped(f"{given.kind} needs a judge: say `judge_provider` and `judge_model`")
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
    "is-json": _json,
    "rouge-n": lambda given, _: {"rouge": {"variant": "rouge1", "text": given.text, "threshold": given.number(0.75)}},
    "bleu": lambda given, _: {"bleu": {"text": given.text, "threshold": given.number(0.5)}},
    "latency": lambda given, _: {"latency": {"max": given.number() / 1000}},
    "cost": lambda given, _: {"cost": {"max": given.number()}},
    "is-refusal": lambda given, _: {"refusal": {}},
    "word-count": _words,
    "llm-rubric": _rubric,
}
"""By promptfoo's name, without `not-`. Assertions that run JavaScript or Python, that ask a service, or that measure
otherwise (levenshtein, similar, perplexity, ...) are not here."""

COMPONENTS: dict[str, api.Component] = {"promptfoo": promptfoo}
