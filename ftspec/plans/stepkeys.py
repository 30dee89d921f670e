"""What each step's digest covers, under readable keys: the spec's options, content of inputs, code, the model.

What is deliberately not covered: ftspec's version, Python, the operating system. The tuning step's keys make the job's
key, which covers no code version at all: an upgrade must never pay twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ftspec import items, suites
from ftspec.common.evaluation import Needs
from ftspec.common.jobs import ModelRef, Request
from ftspec.common.records import Record
from ftspec.contracts.components import Component
from ftspec.installed import version
from ftspec.plans.inventory import Inventory
from ftspec.registry import Registry
from ftspec.spec import Item, Spec

CHECKPOINTS = "checkpoints"
"""The key of a step in which checkpoints answer: its value says which of them are shown."""

DATA_KINDS = {"source", "cleaner", "format", "check"}

PIPELINE_REVISION = "1"
"""Raised when core's own part of the data pipeline (split, prompts, ledger) changes what it makes."""


class Target(Record):
    """What a plan is made for, beside the spec: the provider's word, and the attempt that `--again tuning` raises."""

    endpoint: str
    request: Request
    attempt: int = 1
    further: dict[str, dict[str, str]] = {}
    """What tells each further model's answers from the base model's, by its label: keys that differ."""
    evaluation: bool = False
    """Only to evaluate: a run of its own, which trains nothing."""
    costs: dict[str, str] = {}
    """What the report says of money follows from these too: the user's prices, and the larger model."""


class Made(Record):
    """sha256 of what the data step made; "" where there is no such file."""

    training: str
    validation: str = ""
    prompts: str = ""


def digest(keys: Mapping[str, str]) -> str:
    """sha256 of the canonical JSON of a step's keys."""
    return hashlib.sha256(msgspec.json.encode(keys, order="sorted")).hexdigest()


def gates_need(spec: Spec, registry: Registry) -> Iterable[Needs]:
    """What each gate of the spec needs measured."""
    for item in spec.gates:
        component = registry.get(item.kind, item.name)
        yield component.needs(component.convert(item.options))


class StepKeys:
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
        keys = {place: item.name, f"{place} code": code_of(component, item.options)}
        keys |= _leaves(place, _told_apart(options))
        if place in self.inventory.contents:
            keys[f"{place} content"] = self.inventory.contents[place]
        for field in ("id", "weight", "negate", "severity", "on_error", "waive", "as_is", "read_as"):
            value = getattr(item, field)
            if value != getattr(_PLAIN, field):
                # A component may have an option of that name: both count.
                said = f"{place} {field}" if field in options else f"{place}.{field}"
                keys[said] = _short(msgspec.to_builtins(value))
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


def _told_apart(value: Any) -> Any:
    """An item's options with texts in quotes that read as something else: "1", "true" and "[]" are not 1, true and [].

    So are names with dots: they are no path. A job's key does without: no upgrade may change it, and types are fixed.
    """
    if isinstance(value, Mapping):
        return {_quoted(str(name)) if "." in str(name) else name: _told_apart(one) for name, one in value.items()}
    try:
        msgspec.json.decode(value if isinstance(value, str) else "")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return value
    return _quoted(value)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    return text if len(text) <= 80 else f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def code_of(component: Component, options: Mapping[str, Any]) -> str:
    """What stands for a component's code in digests."""
    versions = [f"{name} {version(name)}" for name in component.wanted(options)]
    return " ".join([f"revision {component.revision}", component.code_digest, *versions])
