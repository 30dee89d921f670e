"""How plugins come into a test; and a little one with a spec that uses it, of which tests break one thing at a time."""

from __future__ import annotations

import importlib.metadata
import shutil
import types
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal

import msgspec

from ftspec import api, registry, rows
from ftspec.common.progress import Quiet
from ftspec.registry import Found, Registry
from ftspec.run import runner
from ftspec.run.site import Options
from ftspec.validation import validate

SPEC = """\
version: 1
name: plugged
sources:
  - examples:
      rows:
        - {prompt: one, completion: "yes"}
        - {prompt: two, completion: "yes"}
        - {prompt: three, completion: "no"}
format: {prompt_completion: {}}
provider: acme
model: parrot
eval:
  prompts:
    - examples: {rows: [{prompt: four, completion: "yes"}, {prompt: five, completion: "yes"}]}
  graders: [exact]
gates:
  - accuracy: {min: 0.5, evidence: estimate}
"""


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """No options."""


class Says:
    """A model that says one thing."""

    def __init__(self, text: str) -> None:
        self.text = text

    def answer(self, questions: Sequence[api.Question], generation: api.Generation) -> Iterator[api.Answer]:
        for question in questions:
            yield api.Answer(prompt=question.prompt.id, repeat=question.repeat, text=self.text)


class Acme:
    """A tuner whose model gives the answer that its data give most often."""

    methods: ClassVar[Mapping[str, api.Method]] = {"sft": api.Method(Nothing, Nothing)}
    endpoint = "acme"
    submission: Literal["idempotent", "findable", "blind"] = "findable"

    def attach(self, home: Path) -> None:
        self.home = home

    def problems(self, request: api.Request) -> Iterable[api.Problem]:
        return ()

    def fingerprint(self, model: api.ModelRef) -> str:
        return ""

    def estimate(self, request: api.Request, size: api.Size) -> api.Estimate:
        return api.Estimate(seconds=0.0, cost=0.0, basis="it only counts")

    def write(self, request: api.Request, batches: Iterable[Any], out: BinaryIO) -> api.Written:
        count = 0
        for batch in batches:
            for example in rows.examples(batch):
                out.write(msgspec.json.encode(example.messages) + b"\n")
                count += 1
        return api.Written(rows=count)

    def upload(self, file: api.DataFile) -> api.RemoteFile:
        self.home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, self.home / file.sha256)
        return api.RemoteFile(id=file.sha256, sha256=file.sha256, bytes=file.bytes)

    def submit(self, request: api.Request, *, key: str) -> api.Job:
        assert request.training
        lines = (self.home / request.training.id).read_bytes().splitlines()
        answers = Counter(msgspec.json.decode(line)[-1]["content"] for line in lines)
        (self.home / key).write_text(answers.most_common(1)[0][0])
        return api.Job(id=key)

    def find(self, request: api.Request, *, key: str) -> Sequence[api.Job]:
        return [api.Job(id=key)] if (self.home / key).exists() else []

    def poll(self, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        model = api.TunedModel(id=job.id, base=api.ModelRef(id="parrot"))
        return api.JobUpdate(state=api.JobState.SUCCEEDED, raw="done", model=model)

    def cancel(self, job: api.Job) -> None:
        pass

    @contextmanager
    def serve(self, model: api.ModelRef | api.TunedModel) -> Iterator[Any]:
        yield Says((self.home / model.id).read_text() if isinstance(model, api.TunedModel) else "hello")


def plug(known: Registry, plugin: str, distribution: str = "", **hooks: Any) -> Registry:
    """Add a plugin with these hooks, of a distribution that is called so too unless another name is given."""
    module = types.SimpleNamespace(**{name: api.hookimpl(hook) for name, hook in hooks.items()})
    known.add(Found(importlib.metadata.EntryPoint(plugin, plugin, "ftspec"), distribution or plugin, "1"), module)
    return known


def install(site: Path, distribution: str, plugin: str, module: str, code: str, version: str = "1.0") -> None:
    """Write a distribution with one plugin, as pip would, into a folder where Python looks for such."""
    info = site / f"{distribution}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[ftspec]\n{plugin} = {module}\n")
    (site / f"{module}.py").write_text(code)


def installed(**hooks: Any) -> Registry:
    """What is installed, and the distribution `acme` with these hooks; unless one of them offers one, its provider."""
    hooks.setdefault("ftspec_providers", lambda: {"acme": api.provider(Acme)})
    return plug(registry.load(), "acme", **hooks)


def run(folder: Path, installed: Registry, text: str = SPEC, progress: Quiet | None = None, **options: Any) -> Any:
    """Run the spec, as `ftspec run` does."""
    file = folder / "spec.yaml"
    file.write_text(text)
    return runner.run(validate.load_spec(file, installed), installed, Options(**options), progress or Quiet())
