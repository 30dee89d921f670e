"""From a spec and an inventory to a Plan: pure, so that the same inputs always give the same digests.

Every step lists what its digest covers under readable keys, and so a plan can say *why* a step has to run again:
"hyperparameters.epochs changed". What is deliberately not covered: ftspec's version, Python, the operating system. The
tuning step's digest is the job's key, which covers no code version at all: an upgrade must never pay twice.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ftspec import items, suites
from ftspec.components import Component
from ftspec.costs import ANSWERS
from ftspec.inventory import Inventory
from ftspec.jobs import ModelRef, Request
from ftspec.records import Needs, Plan, Record, Step
from ftspec.registry import Registry
from ftspec.spec import Item, Spec

DATA, TUNING, BASE, TUNED, REPORT = "data", "tuning", "base answers", "tuned answers", "report"
SUITES = {BASE: "base suite", TUNED: "tuned suite"}
"""The steps that ask a set of items that ships with ftspec, where a gate needs it: of the base and the tuned model."""

CHECKPOINTS = "checkpoints"
"""The key of a step in which checkpoints answer: its value says which of them are shown."""

DATA_KINDS = {"source", "cleaner", "format", "check"}

PIPELINE_REVISION = "1"
"""Raised when core's own part of the data pipeline (split, prompts, ledger) changes what it makes."""

NAME = re.compile(r"[A-Z0-9]([A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE)
"""The name that a requirement begins with: https://packaging.python.org/en/latest/specifications/name-normalization/"""


class Target(Record):
    """What a plan is made for, beside the spec: the provider's word, and the attempt that `--again tuning` raises."""

    endpoint: str
    request: Request
    attempt: int = 1
    further: dict[str, dict[str, str]] = {}
    """What tells each further model's answers from the base model's, by its label: keys that differ."""
    evaluation: bool = False
    """Only to evaluate: a run of its own, which trains nothing."""


class Made(Record):
    """sha256 of what the data step made; "" where there is no such file."""

    training: str
    validation: str = ""
    prompts: str = ""


def make(
    spec: Spec,
    registry: Registry,
    inventory: Inventory,
    target: Target,
    made: Made | None = None,
    *,
    tuned: bool = True,
) -> Plan:
    """The plan. Without `made`, steps after the data have no digest yet: it follows from the data.

    `tuned` is False where there is no tuned model to be asked: an evaluation alone does not train.
    """
    planner = _Planner(spec, registry, inventory, target)
    data = _step(DATA, planner.data())
    tuning = _step(TUNING, planner.tuning(made), known=made is not None)
    steps = [data, *([tuning] if tuned else [])]
    if spec.eval:
        steps.append(_step(BASE, planner.answers(made, ""), known=made is not None))
        if tuned:
            steps.append(_step(TUNED, planner.answers(made, tuning.digest), known=made is not None))
        if tuned and planner.suite:
            steps.append(_step(SUITES[BASE], planner.suite_answers("")))
            steps.append(_step(SUITES[TUNED], planner.suite_answers(tuning.digest), known=made is not None))
        steps += [
            _step(answers_step(label), planner.further(made, tuning.digest, label), known=made is not None)
            for label, keys in target.further.items()
            if tuned or CHECKPOINTS not in keys
        ]
    report = planner.report() | {step.name: step.digest for step in steps[1:]}
    steps.append(_step(REPORT, report, known=made is not None))
    identity = digest(
        data.keys
        | planner.tuning(None)
        | planner.answers(None, "")
        | planner.report()
        | planner.checkpoint()
        | planner.named()
    )
    return Plan(
        name=spec.name,
        spec=str(spec.file),
        run=f"{run_name(spec, target)}-{identity[:10]}",
        digest=identity,
        steps=tuple(steps),
        inputs=inventory.inputs,
    )


def step_of(plan: Plan, name: str) -> Step:
    """The plan's step of that name."""
    return next(step for step in plan.steps if step.name == name)


def run_name(spec: Spec, target: Target) -> str:
    """What the ids of the spec's runs begin with."""
    return f"{spec.name}-eval" if target.evaluation else spec.name


def answers_step(label: str) -> str:
    """The name of the step in which a model answers."""
    return f"{label}{ANSWERS}"


def checkpoint_step(step: Step, checkpoint: str) -> Step:
    """The part of a step of checkpoints that is one of them."""
    keys = {name: value for name, value in step.keys.items() if name != CHECKPOINTS} | {"checkpoint": checkpoint}
    return Step(name=step.name, digest=digest(keys), keys=keys)


def explain(plan: Plan, cached: Callable[[Step], bool], previous: Plan | None) -> Plan:
    """The plan with `cached` and `why` filled in; `previous` is the last run's plan of the same spec."""
    before = {step.name: step for step in previous.steps} if previous else {}
    steps = [_explained(step, cached(step) if step.digest else False, before.get(step.name)) for step in plan.steps]
    return msgspec.structs.replace(plan, steps=tuple(steps))


def digest(keys: Mapping[str, str]) -> str:
    """sha256 of the canonical JSON of a step's keys."""
    return hashlib.sha256(msgspec.json.encode(keys, order="sorted")).hexdigest()


def attempts_key(spec: Spec, registry: Registry, inventory: Inventory, target: Target) -> str:
    """Names what is tuned on what, whatever the attempt and the code: where the number of attempts is counted."""
    planner = _Planner(spec, registry, inventory, target)
    keys = planner.data() | planner.tuning(None)
    return digest({name: value for name, value in keys.items() if name != "attempt" and not name.endswith(" code")})


def answers_digest(step: Step) -> str:
    """Names one model's answers whatever the prompts and repeats, so that added prompts reuse what is known."""
    return digest({name: value for name, value in step.keys.items() if name not in {"prompts", "repeat"}})


def _step(name: str, keys: Mapping[str, str], *, known: bool = True) -> Step:
    return Step(name=name, digest=digest(keys) if known else "", keys=dict(keys))


def _explained(step: Step, cached: bool, before: Step | None) -> Step:
    why = () if cached else tuple(_why(step, before))
    return msgspec.structs.replace(step, cached=cached, why=why)


def _why(step: Step, before: Step | None) -> Iterable[str]:
    if before is None:
        yield "never run"
        return
    names = [*before.keys, *(name for name in step.keys if name not in before.keys)]
    changed = [name for name in names if before.keys.get(name) != step.keys.get(name)]
    if not step.digest:
        yield "follows from the data"
    for name in changed:
        if name not in step.keys:
            yield f"{name} removed"
        elif name not in before.keys:
            yield f"{name} added"
        elif step.digest or step.keys[name]:
            yield f"{name} changed{_transition(before.keys[name], step.keys[name])}"
    if step.digest and not changed:
        yield "not finished"


def _transition(old: str, new: str) -> str:
    """Show short values; a hash would say nothing."""
    short = max(len(old), len(new)) <= 40 and old and new
    return f": {old} → {new}" if short else ""


def gates_need(spec: Spec, registry: Registry) -> Iterable[Needs]:
    """What each gate of the spec needs measured."""
    for item in spec.gates:
        component = registry.get(item.kind, item.name)
        yield component.needs(component.convert(item.options))


class _Planner:
    """Collects the keys of each step of one spec."""

    def __init__(self, spec: Spec, registry: Registry, inventory: Inventory, target: Target) -> None:
        self.spec, self.registry, self.inventory, self.target = spec, registry, inventory, target
        self.suite = next((needs.suite for needs in gates_need(spec, registry) if needs.suite), "")

    def data(self) -> dict[str, str]:
        spec = self.spec
        keys = {"pipeline": PIPELINE_REVISION, "method": spec.method}
        for place, item in spec.items():
            if item.kind in DATA_KINDS:
                keys |= self._item(place, item)
        keys |= _flat("split", msgspec.to_builtins(spec.split))
        keys |= _flat("mix", msgspec.to_builtins(spec.mix)) if spec.mix else {}
        keys |= {
            f"eval.prompts[{i}]": p for i, p in enumerate(spec.eval.prompts if spec.eval else ()) if isinstance(p, str)
        }
        # The provider writes the files and renders rows for the model, so both count here, with the provider's code;
        # when the files come out the same, nothing after them runs again.
        component = self.registry.get("provider", spec.provider.name)
        request = self.target.request
        for name in component.methods[spec.method].shapes_data:
            keys |= _flat(f"hyperparameters.{name}", request.hyperparameters.get(name))
        keys |= _leaves("method", _as_written(spec.method_options, request.method_options)) | _model_keys(self.target)
        return keys | {"provider": spec.provider.name, "provider code": code_of(component, spec.provider.options)}

    def tuning(self, made: Made | None) -> dict[str, str]:
        """The job's key. One more entry must be left out where the spec does not use what is new: were it in every
        spec's key, an upgrade would submit every job again."""
        spec, request = self.spec, self.target.request
        keys = {"endpoint": self.target.endpoint, "method": request.method, "attempt": str(self.target.attempt)}
        keys |= _model_keys(self.target)
        keys |= _leaves("method", _as_written(spec.method_options, request.method_options))
        keys |= _leaves("hyperparameters", _as_written(spec.hyperparameters, request.hyperparameters))
        return keys | {
            "training data": made.training if made else "",
            "validation data": made.validation if made else "",
        }

    def answers(self, made: Made | None, tuned: str) -> dict[str, str]:
        evaluation = self.spec.eval
        if evaluation is None:
            return {}
        keys = {"endpoint": self.target.endpoint, "tuning": tuned, "prompts": made.prompts if made else ""}
        keys |= _flat("eval.generation", msgspec.to_builtins(evaluation.generation))
        keys |= self.checkpoint() if tuned else {}
        return keys | _model_keys(self.target) | {"repeat": str(evaluation.repeat), "seed": str(evaluation.seed)}

    def suite_answers(self, tuned: str) -> dict[str, str]:
        """Greedy answers to the suite's items: nothing of the spec's own evaluation counts."""
        suite = suites.load(self.suite)
        keys = {"endpoint": self.target.endpoint, "tuning": tuned, "suite": self.suite, "prompts": suite.sha256}
        keys |= _flat("generation", msgspec.to_builtins(suite.generation))
        return keys | _model_keys(self.target) | (self.checkpoint() if tuned else {})

    def checkpoint(self) -> dict[str, str]:
        """Which of a job's models is evaluated, where that is not its last one."""
        which = self.spec.follow.checkpoint
        return {} if which == "last" else {"follow.checkpoint": which}

    def further(self, made: Made | None, tuned: str, label: str) -> dict[str, str]:
        own = self.target.further[label]
        return self.answers(made, tuned if CHECKPOINTS in own else "") | own

    def named(self) -> dict[str, str]:
        """What makes another run of the same spec: nothing where it names no further model and trains."""
        found = {f"eval.models.{label}": digest(keys) for label, keys in self.target.further.items()}
        return found | ({"evaluation": "only"} if self.target.evaluation else {})

    def report(self) -> dict[str, str]:
        keys: dict[str, str] = {}
        for place, item in self.spec.items():
            if item.kind in {"grader", "gate"}:
                keys |= self._item(place, item)
        evaluation = self.spec.eval
        columns = {name: getattr(evaluation, name) for name in ("tags", "weight", "asserts")} if evaluation else {}
        return keys | {f"eval.{name}": _short(value) for name, value in columns.items() if value}

    def _item(self, place: str, item: Item) -> dict[str, str]:
        component = self.registry.get(item.kind, item.name)
        options = msgspec.to_builtins(component.convert(item.options))
        for where, _ in items.paths(item.options, component):
            options.pop(str(where[0]), None)  # the content counts, not the path
        keys = {place: item.name, f"{place} code": code_of(component, item.options)} | _flat(place, options)
        if place in self.inventory.contents:
            keys[f"{place} content"] = self.inventory.contents[place]
        for field in ("id", "weight", "negate", "severity", "on_error", "waive", "as_is", "read_as"):
            value = getattr(item, field)
            if value != getattr(_PLAIN, field):
                keys[f"{place}.{field}"] = _short(msgspec.to_builtins(value))
        return keys


_PLAIN = Item(kind="source", name="")


def _as_written(written: Mapping[str, Any], filled: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the spec itself gives, as converted (1 and 1.0 are one), without any default.

    Were defaults part of a job's key, an upgrade that adds a hyperparameter would make a second job of the same spec.
    """
    return {
        name: _as_written(value, filled[name]) if isinstance(value, Mapping) else filled[name]
        for name, value in written.items()
    }


def _model_keys(target: Target) -> dict[str, str]:
    return model_keys(target.request.model, target.request.model_fingerprint)


def model_keys(model: ModelRef, content: str) -> dict[str, str]:
    """A model in a folder is named by its content (its fingerprint): where the folder lies does not matter."""
    name = "folder" if content and Path(model.id).is_absolute() else model.id
    return {"model": name, "model.revision": model.revision or "", "model content": content}


def _flat(place: str, value: Any) -> dict[str, str]:
    """One key per leaf of nested mappings, so that a change can be named exactly."""
    return _leaves(place, value) if isinstance(value, Mapping) and value else {place: _short(value)}


def _leaves(place: str, values: Mapping[str, Any]) -> dict[str, str]:
    """As `_flat`, and nothing for an empty mapping: `method: sft` without options must not lose its own key."""
    return {key: text for name, entry in values.items() for key, text in _flat(f"{place}.{name}", entry).items()}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    return text if len(text) <= 80 else f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def code_of(component: Component, options: Mapping[str, Any]) -> str:
    """What stands for a component's code in digests."""
    versions = [f"{name} {version(name)}" for name in component.wanted(options)]
    return " ".join([f"revision {component.revision}", component.code_digest, *versions])


def version(requirement: str) -> str:
    """The installed version of a distribution that a component depends on, "missing" when there is none."""
    name = NAME.match(requirement)
    try:
        return importlib.metadata.version(name[0] if name else requirement)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
