"""Evaluation prompts out of a promptfoo config: its prompts, filled with its tests' variables, and its assertions.

promptfoo.dev/docs/configuration/reference describes the format, .../test-cases files and tables of tests.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ftspec import api, rows
from ftspec.builtin import assertions, templates
from ftspec.builtin.assertions import Judged, Unmapped

Json = dict[str, Any]
OURS = {"prompts", "tests", "defaultTest", "description", "providers", "targets"}
"""Keys of a config that are read, or that a spec says otherwise; any other is told of."""
TEST = {"vars", "assert", "description", "metadata", "options"}
OPTIONS = {"provider", "disableVarExpansion"}
"""Options of a test that are read; `provider` is a judge's, and the spec says who judges."""
DATA = {".json", ".yaml", ".yml"}


def _both_or_none(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    if bool(options["judge_provider"]) != bool(options["judge_model"]):
        yield ("judge_model",), "a judge is `judge_provider` and `judge_model`"


@api.source(rules=[_both_or_none], code=["ftspec.builtin.templates", "ftspec.builtin.assertions"])
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

    `files` names the files that the config refers to, so that what they hold is hashed: prompts, values and variables
    by `file://`, and tests in YAML, JSON, JSON lines or CSV (`__expected` and its like). `llm-rubric` and
    `model-graded-closedqa` are judged by `judge_provider` and `judge_model`. An assertion that has no counterpart is an
    error at its line; with `on_error: skip` it is left out with a warning.
    """
    given = {Path(file).resolve() for file in files}

    def read() -> Iterator[api.Chunk | api.Finding]:
        told = set()
        for one in _Config(Path(path), given, Judged(judge_provider, judge_model)).read():
            if isinstance(one, api.Finding):  # a test that is multiplied out says the same each time
                if (one.place, one.message) in told:
                    continue
                told.add((one.place, one.message))
            yield one

    return api.Source(read)


class _Test(NamedTuple):
    """A test, and where it stands; `node` is its part of a YAML document."""

    test: Any
    file: Path
    line: int
    node: Any = None

    def line_of(self, *path: str | int) -> int:
        return _line(self.node, *path) or self.line


class _Config:
    """One config that is being read."""

    def __init__(self, path: Path, given: set[Path], judged: Judged) -> None:
        self.path, self.given = path, given
        self.judged = judged._replace(read=self._content)

    def read(self) -> Iterator[api.Chunk | api.Finding]:
        try:
            data, root = _document(self.path)
        except UnicodeDecodeError:
            yield api.Finding(message="not UTF-8", hint="save it as UTF-8", file=str(self.path), line=1)
            return
        except ValueError as error:
            yield self._finding(f"not YAML: {error}", 1)
            return
        if not isinstance(data, dict):
            yield self._finding("not a promptfoo config: it is no mapping", 1)
            return
        if unknown := sorted(set(map(str, data)) - OURS):
            message = f"of the config is not imported: {', '.join(unknown)}"
            yield api.Finding(message=message, file=str(self.path), line=1, severity="warning")
        prompts = []
        for place, prompt in enumerate(data.get("prompts") or []):
            try:
                prompts.append(self._prompt(prompt))
            except (Unmapped, OSError, ValueError) as error:
                yield self._finding(f"a prompt is not imported: {error}", _line(root, "prompts", place) or 1, error)
        if not prompts or not isinstance(data.get("tests"), list | str):
            yield self._finding("no test is imported: there must be `tests`, beside `prompts` that can be read", 1)
            return
        try:
            default = _Test(self._content(data.get("defaultTest") or {}), self.path, 1, _at(root, "defaultTest"))
            if not isinstance(default.test, dict):
                raise Unmapped("it is no mapping")
        except (Unmapped, OSError, ValueError) as error:
            yield self._finding(f"defaultTest is not imported: {error}", _line(root, "defaultTest") or 1, error)
            default = _Test({}, self.path, 1)
        for test in self._tests(data["tests"], _at(root, "tests")):
            yield from [test] if isinstance(test, api.Finding) else self._rows(test, default, prompts)

    def _tests(self, tests: Any, node: Any) -> Iterator[_Test | api.Finding]:
        """Each test; of a file that is named in the place of one, those in it."""
        for place, test in enumerate(tests if isinstance(tests, list) else [tests]):
            line = _line(node, place) if isinstance(tests, list) else _line(node)
            if not isinstance(test, str):
                yield _Test(test, self.path, line or 1, _at(node, place))
                continue
            try:
                yield from self._listed(test)
            except (Unmapped, OSError, ValueError) as error:
                yield self._finding(f"tests are not imported: {error}", line or 1, error)

    def _listed(self, name: str) -> Iterator[_Test]:
        file = self._given(name)
        if file.suffix == ".csv":
            for line, row in assertions.table(file):
                yield _Test(row, file, line)
        elif file.suffix == ".jsonl":
            for line, written in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                if written.strip():
                    yield _Test(_load(written), file, line)
        elif file.suffix in DATA:
            tests, node = _document(file)
            for place, test in enumerate(tests if isinstance(tests, list) else [tests]):
                yield _Test(test, file, _line(node, place) or 1, _at(node, place))
        else:
            raise Unmapped(f"{name} is no YAML, JSON, JSON lines or CSV")

    def _rows(self, one: _Test, default: _Test, prompts: list[Any]) -> Iterator[api.Chunk | api.Finding]:
        test = one.test
        if not isinstance(test, dict) or not isinstance(test.get("vars") or {}, dict):
            yield _told(one, f"a test is not imported: {str(test)[:80]} is no mapping with `vars`")
            return
        options = {**(default.test.get("options") or {}), **(test.get("options") or {})}
        unknown = {*(set(test) | set(default.test)) - TEST, *(f"options.{name}" for name in set(options) - OPTIONS)}
        if unknown:
            yield _told(one, f"of the test is not imported: {', '.join(sorted(map(str, unknown)))}")
        try:
            said = {**(default.test.get("vars") or {}), **(test.get("vars") or {})}
            variables = {name: self._text(value) for name, value in said.items()}
        except (Unmapped, OSError, ValueError) as error:
            yield _told(one, f"a test is not imported: {error}", error)
            return
        for chosen in [variables] if options.get("disableVarExpansion") else _multiplied(variables):
            graders = []
            for found in (*self._graders(default, chosen), *self._graders(one, chosen)):
                if isinstance(found, api.Finding):
                    yield found
                else:
                    graders.append(found)
            tags = _tags({**(default.test.get("metadata") or {}), **(test.get("metadata") or {})})
            for prompt in prompts:
                try:
                    messages = _filled(prompt, chosen)
                except ValueError as error:
                    yield _told(one, f"a prompt cannot be filled: {error}")
                    continue
                row = {**chosen, "messages": messages, "asserts": graders, "tags": tags}
                if description := test.get("description"):
                    row["description"] = str(description)
                yield api.Chunk(rows.from_dicts([row]), str(one.file), [one.line])

    def _graders(self, one: _Test, variables: Json) -> Iterator[Json | api.Finding]:
        """The test's assertions as graders, and what is said of those that are none, each at its line."""
        for place, asserted in enumerate(one.test.get("assert") or []):
            line = one.line_of("assert", place)
            try:
                for member, inner in assertions.members([asserted]):
                    line = one.line_of("assert", place, *(part for at in inner[1:] for part in ("assert", at)))
                    try:
                        yield assertions.grader(member, variables, self.judged)
                    except (Unmapped, OSError, ValueError) as error:
                        yield _told(one, f"an assertion is not imported: {error}", error, line)
            except Unmapped as error:
                yield _told(one, f"an assertion is not imported: {error}", error, line)

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
        """What a `file://` holds, as text; any other value as it is."""
        if not isinstance(value, str) or not value.startswith("file://"):
            return value
        file = self._given(value)
        if file.suffix not in {".txt", ".md", *DATA}:
            raise Unmapped(f"{value} is no text file")
        return file.read_text(encoding="utf-8").strip()

    def _content(self, value: Any) -> Any:
        """The same, read where it is JSON or YAML."""
        text = self._text(value)
        return _load(text) if text is not value and self._given(value).suffix in DATA else text

    def _given(self, name: str) -> Path:
        file = (self.path.parent / name.removeprefix("file://")).resolve()
        if file not in self.given:
            raise Unmapped(
                f"name {name} under the source's `files`", "what a file holds is hashed, so it must be known"
            )
        return file

    def _finding(self, message: str, line: int, error: Exception | None = None) -> api.Finding:
        return _told(_Test({}, self.path, line), message, error)


def _told(one: _Test, message: str, error: Exception | None = None, line: int = 0) -> api.Finding:
    hint = error.hint if isinstance(error, Unmapped) else ""
    return api.Finding(message=message, hint=hint, file=str(one.file), line=line or one.line)


def _document(path: Path) -> tuple[Any, Any]:
    """A YAML or JSON file, and its nodes, which know their lines. Raises ValueError."""
    import yaml

    text = path.read_text(encoding="utf-8")
    return _load(text), yaml.compose(text, Loader=yaml.SafeLoader)


def _load(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _at(node: Any, *path: str | int) -> Any:
    """The node at a path of keys and places, None where there is none."""
    for part in path:
        entries = node.value if node is not None and not isinstance(node.value, str) else []
        if isinstance(part, int):
            node = entries[part] if part < len(entries) and not isinstance(entries[part], tuple) else None
        else:
            pairs = [entry for entry in entries if isinstance(entry, tuple)]
            node = next((value for name, value in pairs if name.value == part), None)
    return node


def _line(node: Any, *path: str | int) -> int:
    found = _at(node, *path)
    return found.start_mark.line + 1 if found is not None else 0


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


def _tags(metadata: Json) -> list[str]:
    listed = ((name, value if isinstance(value, list) else [value]) for name, value in metadata.items())
    return [f"{name}={value}" for name, values in listed for value in values]


COMPONENTS: dict[str, api.Component] = {"promptfoo": promptfoo}
