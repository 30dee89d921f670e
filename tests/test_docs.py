"""The docs are true: every hook, decorator, API name and command is in them, links resolve, specs and code work."""

from __future__ import annotations

import importlib.metadata
import inspect
import itertools
import re
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from ftspec import api, hookspecs, registry
from ftspec.cli.root import cli
from ftspec.common.errors import DataError, SpecError
from ftspec.common.progress import Quiet
from ftspec.contracts import decorators
from ftspec.run import runner
from ftspec.run.site import Options
from ftspec.testing import ProviderSuite
from ftspec.validation import reference, validate
from ftspec.validation.keys import KEYS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [page for page in PAGES if page.name != "hooks.md"]
"""Those whose specs name no components that the page writes itself."""
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?<!from )\bftspec ((?:[a-z]+)(?: [a-z]+)?)")
HOOKS = (ROOT / "docs/hooks.md").read_text()


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text()) if kind == language]


def hooks() -> Iterator[str]:
    """Each hook with its signature as one would write it."""
    for name, function in vars(hookspecs).items():
        if name.startswith("ftspec_"):
            yield name + str(inspect.signature(function)).replace("'", "")


@pytest.mark.parametrize("signature", list(hooks()))
def test_every_hook_is_documented_with_its_signature(signature: str) -> None:
    assert f"`{signature}`" in HOOKS


@pytest.mark.parametrize("name", api.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert f"`{name}`" in HOOKS.partition("## All of the public API")[2]


def test_every_decorator_is_documented() -> None:
    others = {"beside", "chained", "decide", "hookimpl", "hubclient", "input_files", "mask", "resolve", "usercache"}
    others |= {"without_secrets"}
    public = [name for name in api.__all__ if name.islower() and name not in others]
    assert len(public) == len([value for value in vars(decorators).values() if _is_decorator(value)])
    assert not [name for name in public if f"`@api.{name}`" not in HOOKS]


def _is_decorator(value: object) -> bool:
    return isinstance(value, types.FunctionType) and value.__name__ == "decorate"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings; one that was there before gets a number."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        numbered = (f"{anchor}-{number}" for number in itertools.count(1))
        found.add(next(name for name in (anchor, *itertools.islice(numbered, 9)) if name not in found))
    return found


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.name)
def test_specs_in_the_docs_are_valid(page: Path, tmp_path: Path) -> None:
    """Whole specs, that is: a block that starts with `version:`. They speak of the files in specs/."""
    (tmp_path / "data").symlink_to(ROOT / "specs" / "data")
    (tmp_path / "questions.csv").write_text("question,answer\nAre you open?,Yes.\n")
    for number, text in enumerate(blocks(page, "yaml")):
        if text.startswith("version:"):
            file = tmp_path / f"{number}.yaml"
            file.write_text(text)
            validate.load_spec(file, registry.load())


MINIMAL = {
    "version": 1,
    "name": "part",
    "sources": [{"examples": {"rows": [{"text": "one", "label": "two"}]}}],
    "format": {"chat": {"user": "{{ text }}", "assistant": "{{ label }}"}},
    "split": {"test": 0.2},
    "provider": "simulated",
    "model": "some-model",
}
ASKED = {"prompts": [{"split": "test"}], "graders": ["exact"]}


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.name)
def test_parts_of_specs_in_the_docs_are_valid(page: Path, tmp_path: Path) -> None:
    """Blocks whose keys are all a spec's, with the rest of one. What files and secrets they speak of is not here."""
    for number, text in enumerate(blocks(page, "yaml")):
        part = yaml.safe_load(text)
        if "version" in part or not set(part) <= set(KEYS):
            continue
        whole = {**MINIMAL, **part} | ({"eval": ASKED | part["eval"]} if "eval" in part else {})
        file = tmp_path / f"{number}.yaml"
        file.write_text(yaml.safe_dump(whole, sort_keys=False))
        try:
            validate.load_spec(file, registry.load())
        except SpecError as error:
            left = [one for one in error.problems if not re.search("no such file|cannot run here", one.message)]
            assert not left, (text, left)


def shipped() -> Iterator[Any]:
    """The specs that train nothing and need no key: they run anywhere. All but one are for the slow tests."""
    for file in sorted((ROOT / "specs").glob("*.yaml")):
        if "\n  simulated:" in file.read_text():
            yield pytest.param(file, id=file.stem, marks=[pytest.mark.slow] if file.stem != "simulated" else [])


@pytest.mark.parametrize("spec", [*shipped()])
def test_shipped_specs_pass_as_shipped(spec: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(spec.parent, tmp_path / "specs", ignore=shutil.ignore_patterns(".ftspec"))
    done = CliRunner().invoke(cli, ["run", "-q", str(folder / spec.name)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_exist(page: Path) -> None:
    code = "\n".join([*blocks(page, "bash"), *re.findall(r"`([^`\n]+)`", page.read_text())])
    for words in COMMAND.findall(code):
        first, _, second = words.partition(" ")
        command = cli.get_command(click.Context(cli), first)
        assert command is not None, f"{page.name}: ftspec {words}"
        if second and isinstance(command, click.Group):
            assert command.get_command(click.Context(command), second), f"{page.name}: ftspec {words}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_in_the_docs_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    code = "\n".join([*blocks(page, "bash"), *re.findall(r"`([^`\n]+)`", page.read_text())])
    for target in re.findall(r"\bmake ([a-z][a-z-]*)", code):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert not [name for name in cli.list_commands(click.Context(cli)) if f"ftspec {name}" not in readme]


def test_the_spec_reference_is_what_is_installed() -> None:
    """`make docs` writes it."""
    assert (ROOT / "docs/spec.md").read_text() == reference.markdown(registry.load())


def test_the_plugin_of_the_tutorial_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it: its components, its rule, its notifier; loaded the way an installed plugin is."""
    page = ROOT / "docs/hooks.md"
    (code,) = (text for text in blocks(page, "python") if "ftspec_cleaners" in text)
    (tmp_path / "ftspec_house.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    entry = importlib.metadata.EntryPoint("house", "ftspec_house", "ftspec")
    installed = registry.load()
    installed.add(registry.Found(entry, "ftspec-house", "0.1.0"), entry.load())

    lowercase = installed.get("cleaner", "lowercase").build({})
    assert lowercase.function("Hello NASA") == "hello NASA"
    grade = installed.get("grader", "brief").build({"words": 2})
    prompt = api.Prompt(id="1", messages=[])
    assert grade(prompt, api.Answer(prompt="1", repeat=0, text="yes it is")).passed is False
    plan = api.Plan(name="n", spec="s", run="r", digest="d", steps=())
    (problem,) = [p for answer in installed.manager.hook.ftspec_plan_ready(plan=plan) for p in answer]
    assert problem.severity == "error"


def example(name: str, hook: str) -> types.ModuleType:
    """A plugin in hooks.md, by a hook that it implements, as a module that was imported."""
    (code,) = (text for text in blocks(ROOT / "docs/hooks.md", "python") if f"def {hook}(" in text)
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(code, f"{name}.py", "exec"), vars(module))
    return module


NOTES, PARROT = example("house_notes", "ftspec_sources"), example("house_parrot", "ftspec_providers")


class TestTheProviderOfTheDocs(ProviderSuite):
    component = api.provider(PARROT.Parrot, name="parrot")
    model = "parrot"


def test_the_other_plugins_of_the_docs_work_together(tmp_path: Path) -> None:
    installed = registry.load()
    for module in (NOTES, PARROT):
        entry = importlib.metadata.EntryPoint(module.__name__, module.__name__, "ftspec")
        installed.add(registry.Found(entry, module.__name__, "0.1.0"), module)
    (tmp_path / "notes.txt").write_text("one\tyes\ntwo\tyes\nthree\tno\n")
    (tmp_path / "asked.txt").write_text("four\tyes\nfive\tyes\n")
    (text,) = (text for text in blocks(ROOT / "docs/hooks.md", "yaml") if "parrot" in text)
    file = tmp_path / "spec.yaml"
    file.write_text(text)
    outcome = runner.run(validate.load_spec(file, installed), installed, Options(), Quiet())
    assert [verdict.message.partition(",")[0] for verdict in outcome.verdicts] == [
        "accuracy of the tuned model is 1.000 (95% interval 0.342 to 1.000)",
        "answers of the tuned model have 1.0 tokens in the mean",
    ]
    assert outcome.passed
    (tmp_path / "notes.txt").write_text("one\tyes\ntwo\n")
    with pytest.raises(DataError) as caught:
        runner.run(validate.load_spec(file, installed), installed, Options(), Quiet())
    assert ("notes.txt", 2) in [(finding.file, finding.line) for finding in caught.value.findings]
    file.write_text(text.replace("model: parrot", "model: owl"))
    with pytest.raises(SpecError) as refused:
        validate.load_spec(file, installed)
    assert [(problem.message, problem.line) for problem in refused.value.problems] == [("there is one model", 6)]


def test_the_changelog_names_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in text or f"## {importlib.metadata.version('ftspec')}" in text
