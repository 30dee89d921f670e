"""Evaluation prompts out of a promptfoo config: its prompts, filled with its tests' variables, and its assertions.

promptfoo.dev/docs/configuration/reference describes the format.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ftspec import api, rows
from ftspec.builtin import assertions, templates, testfiles
from ftspec.builtin.assertions import Judged, Unmapped
from ftspec.builtin.sources import workbooks
from ftspec.builtin.testfiles import Test

Json = dict[str, Any]
OURS = {"prompts", "tests", "defaultTest", "description", "providers", "targets"}
"""Keys of a config that are read, or that a spec says otherwise; any other is told of."""
TEST = {"vars", "assert", "description", "metadata", "options"}
OPTIONS = {"provider", "disableVarExpansion", "prefix", "suffix"}
"""Options of a test that are read; `provider` is a judge's, and the spec says who judges."""
DUMP = re.compile(r"\|\s*dump\b")
"""What Nunjucks, promptfoo's templates, calls `tojson`."""
MADE = re.compile(r"\s*(?:\{%.*?%\}\s*)*(?:\[|- role:)", re.DOTALL)
"""A template of a list of messages."""


def _both_or_none(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    if bool(options["judge_provider"]) != bool(options["judge_model"]):
        yield ("judge_model",), "a judge is `judge_provider` and `judge_model`"


def _workbooks(options: Mapping[str, Any]) -> dict[str, str]:
    """What reads Excel, where a file is named by its ending."""
    by_name = any(str(file).lower().endswith((".xlsx", ".xls")) for file in options["files"])
    return dict.fromkeys(workbooks.REQUIRES, workbooks.INSTALL) if by_name else {}


@api.source(
    rules=[_both_or_none],
    packages=_workbooks,
    code=[f"ftspec.builtin.{name}" for name in ("templates", "assertions", "testfiles", "files", "sources.workbooks")],
)
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

    `files` names the files that the config refers to, so that what they hold is hashed: prompts (of text, JSON, YAML,
    JSON lines or CSV), values and variables by `file://`, and tests in YAML, JSON, JSON lines, CSV or Excel
    (`tests.xlsx#Sheet2`; of tables the columns `__expected`, `__prefix`, `__suffix`, `__metric`, `__description` and
    `__metadata:...`). Globs name several, there and here. `llm-rubric` and `model-graded-closedqa` are judged by
    `judge_provider` and `judge_model`. An assertion that has no counterpart is an error at its line; with `on_error:
    skip` it is left out with a warning. `similar` has none: the grader `embedding` holds its model in memory, and would
    do so once per text that is compared with.
    """

    def read() -> Iterator[api.Chunk | api.Finding]:
        given = {Path(found.local()).resolve() for file in files for found in api.input_files(file)}
        told = set()
        for one in _Config(Path(path), given, Judged(judge_provider, judge_model)).read():
            if isinstance(one, api.Finding):  # a test that is multiplied out says the same each time
                if (one.place, one.message) in told:
                    continue
                told.add((one.place, one.message))
            yield one

    return api.Source(read)


class _Config:
    """One config that is being read."""

    def __init__(self, path: Path, given: set[Path], judged: Judged) -> None:
        self.path, self.given = path, given
        self.judged = judged._replace(read=self._content)

    def read(self) -> Iterator[api.Chunk | api.Finding]:
        try:
            data, root = testfiles.document(self.path)
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
        prompts: list[Any] = []
        listed = data.get("prompts") or []
        for place, prompt in enumerate(listed if isinstance(listed, list | dict) else [listed]):
            try:
                prompts += self._prompts(prompt)
            except (Unmapped, OSError, ValueError) as error:
                line = testfiles.line_at(root, "prompts", place) or testfiles.line_at(root, "prompts") or 1
                yield self._finding(f"a prompt is not imported: {error}", line, error)
        if not prompts or not isinstance(data.get("tests"), list | str):
            yield self._finding("no test is imported: there must be `tests`, beside `prompts` that can be read", 1)
            return
        try:
            default = Test(
                self._content(data.get("defaultTest") or {}), self.path, 1, testfiles.at(root, "defaultTest")
            )
            if not isinstance(default.test, dict):
                raise Unmapped("it is no mapping")
        except (Unmapped, OSError, ValueError) as error:
            yield self._finding(
                f"defaultTest is not imported: {error}", testfiles.line_at(root, "defaultTest") or 1, error
            )
            default = Test({}, self.path, 1)
        for test in self._tests(data["tests"], testfiles.at(root, "tests")):
            yield from [test] if isinstance(test, api.Finding) else self._rows(test, default, prompts)

    def _tests(self, tests: Any, node: Any) -> Iterator[Test | api.Finding]:
        """Each test; of a file that is named in the place of one, those in it."""
        for place, test in enumerate(tests if isinstance(tests, list) else [tests]):
            line = testfiles.line_at(node, place) if isinstance(tests, list) else testfiles.line_at(node)
            if not isinstance(test, str):
                yield Test(test, self.path, line or 1, testfiles.at(node, place))
                continue
            try:
                yield from self._listed(test)
            except (Unmapped, OSError, ValueError) as error:
                yield self._finding(f"tests are not imported: {error}", line or 1, error)

    def _listed(self, name: str) -> Iterator[Test | api.Finding]:
        """The tests of every file that a path or a glob names."""
        for file, sheet in testfiles.named(self.path.parent, name):
            yield from testfiles.read(self._known(file, name), sheet)

    def _rows(self, one: Test, default: Test, prompts: list[Any]) -> Iterator[api.Chunk | api.Finding]:
        test = one.test
        if not isinstance(test, dict) or not isinstance(test.get("vars") or {}, dict):
            yield _told(one, f"a test is not imported: {str(test)[:80]} is no mapping with `vars`")
            return
        options = {**(default.test.get("options") or {}), **(test.get("options") or {})}
        unknown = {*(set(test) | set(default.test)) - TEST, *(f"options.{name}" for name in set(options) - OPTIONS)}
        if unknown:
            yield _told(one, f"of the test is not imported: {', '.join(sorted(map(str, unknown)))}", part=True)
        try:
            said = {**(default.test.get("vars") or {}), **(test.get("vars") or {})}
            variables = {name: self._text(value) for name, value in said.items()}
        except (Unmapped, OSError, ValueError) as error:
            yield _told(one, f"a test is not imported: {error}", error)
            return
        for given in [variables] if options.get("disableVarExpansion") else _multiplied(variables):
            chosen = {name: _of_others(value, given) for name, value in given.items()}
            graders = []
            for found in (*self._graders(default, chosen), *self._graders(one, chosen)):
                if isinstance(found, api.Finding):
                    yield found
                else:
                    graders.append(found)
            tags = _tags({**(default.test.get("metadata") or {}), **(test.get("metadata") or {})})
            for prompt in prompts:
                try:
                    messages = _filled(prompt, chosen, options)
                except (Unmapped, ValueError) as error:
                    yield _told(one, f"a prompt cannot be filled: {error}", error)
                    continue
                row = {**chosen, "messages": messages, "asserts": graders, "tags": tags}
                if description := test.get("description"):
                    row["description"] = str(description)
                yield api.Chunk(rows.from_dicts([row]), str(one.file), [one.line])

    def _graders(self, one: Test, variables: Json) -> Iterator[Json | api.Finding]:
        """The test's assertions as graders, and what is said of those that are none, each at its line."""
        for place, asserted in enumerate(one.test.get("assert") or []):
            line = one.line_of("assert", place)
            try:
                for member, inner in assertions.members([asserted]):
                    line = one.line_of("assert", place, *(part for at in inner[1:] for part in ("assert", at)))
                    try:
                        yield assertions.grader(member, variables, self.judged)
                    except (Unmapped, OSError, ValueError) as error:
                        yield _told(one, f"an assertion is not imported: {error}", error, line, part=True)
            except Unmapped as error:
                yield _told(one, f"an assertion is not imported: {error}", error, line, part=True)

    def _prompts(self, prompt: Any) -> Iterator[Any]:
        """Texts, or lists of messages, that are still templates: the prompt itself, or those in files that it names."""
        if isinstance(prompt, dict):
            prompt = prompt.get("raw") or prompt.get("id")
        if not isinstance(prompt, str):
            raise Unmapped(f"{str(prompt)[:80]} is no text", "write the prompt itself, or `file://` and its file")
        if not testfiles.is_path(self.path.parent, prompt):
            yield _chat(prompt) or prompt
        elif prompt.startswith("exec:") or Path(prompt).suffix.partition(":")[0] in testfiles.PROGRAMS:
            raise Unmapped(f"{prompt} is a program", "write the prompts that it makes into the config")
        else:
            for file, _ in testfiles.named(self.path.parent, prompt):
                for text in testfiles.prompts(self._known(file, prompt)):
                    yield _chat(text) or text

    def _text(self, value: Any) -> Any:
        """What a `file://` holds, as text; any other value as it is."""
        if not isinstance(value, str) or not value.startswith("file://"):
            return value
        file = self._given(value)
        if file.suffix not in testfiles.TEXTS:
            raise Unmapped(f"{value} is no text file")
        return file.read_text(encoding="utf-8").strip()

    def _content(self, value: Any) -> Any:
        """The same, read where it is JSON or YAML."""
        text = self._text(value)
        return testfiles.load(text) if text is not value and self._given(value).suffix in testfiles.DATA else text

    def _given(self, name: str) -> Path:
        return self._known((self.path.parent / name.removeprefix("file://")).resolve(), name)

    def _known(self, file: Path, name: str) -> Path:
        if file in self.given:
            return file
        named = name if file.name in name else f"{file.name}, which is one of {name},"
        raise Unmapped(f"name {named} under the source's `files`", "what a file holds is hashed, so it must be known")

    def _finding(self, message: str, line: int, error: Exception | None = None) -> api.Finding:
        return _told(Test({}, self.path, line), message, error)


def _told(one: Test, message: str, error: Exception | None = None, line: int = 0, *, part: bool = False) -> api.Finding:
    """What is wrong with a test; with `part` it comes all the same, without that."""
    hint = error.hint if isinstance(error, Unmapped) else ""
    return api.Finding(message=message, hint=hint, file=str(one.file), line=line or one.line, part=part)


def _multiplied(variables: Json) -> Iterator[Json]:
    """promptfoo's way: a variable that is a list stands for a test per entry."""
    names = list(variables)
    values = [value if isinstance(value, list) else [value] for value in variables.values()]
    for chosen in itertools.product(*values):
        yield dict(zip(names, chosen, strict=True))


def _of_others(value: Any, variables: Json) -> Any:
    """A variable may be a template over the others; one that names what is none of them is taken as it is."""
    if not isinstance(value, str) or not ("{{" in value or "{%" in value):
        return value
    try:
        return templates.Template(value).text_of(variables)
    except ValueError:
        return value


def _chat(text: str) -> list[Json] | None:
    """The messages that a prompt is written as, in JSON or YAML."""
    try:
        said = testfiles.load(text) if text.lstrip().startswith(("[", "-")) else None
    except ValueError:
        return None
    chat = isinstance(said, list) and said and all(isinstance(m, dict) and "role" in m for m in said)
    return said if chat else None


def _filled(prompt: Any, variables: Json, options: Json) -> list[Json]:
    prefix, suffix = (str(options.get(name) or "") for name in ("prefix", "suffix"))
    if isinstance(prompt, str):
        text = templates.Template(prefix + DUMP.sub("| tojson", prompt) + suffix).text_of(variables)
        # Where a template makes the messages (`{% for turn in history %}`), they are there once it is filled.
        return _chat(text if MADE.match(prompt) else "") or [{"role": "user", "content": text}]
    if prefix or suffix:
        raise Unmapped("a prefix or suffix goes around a text, and this prompt is messages", "write it in a message")
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
