"""From a spec and an inventory to a Plan: pure, so that the same inputs always give the same digests.

Every step lists what its digest covers under readable keys (stepkeys), and so a plan can say *why* a step has to
run again: "hyperparameters.epochs changed".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from ftspec.common.records import BASE, DATA, REPORT, TUNED, TUNING, Plan, Step
from ftspec.costs.costs import ANSWERS
from ftspec.plans.inventory import Inventory
from ftspec.plans.stepkeys import CHECKPOINTS, Made, StepKeys, Target, digest
from ftspec.registry import Registry
from ftspec.spec import Spec

CODE = " code"
"""What the names of keys end with that stand for a component's code."""

_HASH = re.compile(r"[0-9a-f]{16}$")

UNFINISHED = "not finished"
"""Why a step is to do that nothing has changed of."""

UNTRAINED = ("eval.", "checks[")
"""What the names of keys of the data step begin with that say nothing about what a model is trained on."""

SUITES = {BASE: "base suite", TUNED: "tuned suite"}
"""The steps that ask a set of items that ships with ftspec, where a gate needs it: of the base and the tuned model."""


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
    keys = StepKeys(spec, registry, inventory, target)
    data = _step(DATA, keys.data())
    tuning = _step(TUNING, keys.tuning(made), known=made is not None)
    asked = _asked(keys, made, tuning.digest, tuned=tuned) if spec.eval else ()
    steps = [data, *([tuning] if tuned else []), *asked]
    # A price makes no other run: what a run has spent, and may, stays its own.
    report = keys.report() | target.costs | {step.name: step.digest for step in steps[1:]}
    steps.append(_step(REPORT, report, known=made is not None))
    identity = digest(
        data.keys | keys.tuning(None) | keys.answers(None, "") | keys.report() | keys.checkpoint() | keys.named()
    )
    return Plan(
        name=spec.name,
        spec=str(spec.file),
        run=f"{run_name(spec, target)}-{identity[:10]}",
        digest=identity,
        steps=tuple(steps),
        inputs=inventory.inputs,
    )


def _asked(keys: StepKeys, made: Made | None, job: str, *, tuned: bool) -> Iterator[Step]:
    """The steps in which models answer."""
    known = made is not None
    yield _step(BASE, keys.answers(made, ""), known=known)
    if tuned:
        yield _step(TUNED, keys.answers(made, job), known=known)
    if tuned and keys.suite:
        yield _step(SUITES[BASE], keys.suite_answers(""))
        yield _step(SUITES[TUNED], keys.suite_answers(job), known=known)
    for label, own in keys.target.further.items():
        if tuned or CHECKPOINTS not in own:
            yield _step(answers_step(label), keys.further(made, job, label), known=known)


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


def attempts_keys(spec: Spec, registry: Registry, inventory: Inventory, target: Target) -> tuple[str, str]:
    """Where the number of attempts is counted: what is tuned on what, whatever the attempt, the code, and what the
    model is then asked. And where it was counted when prompts and checks had a part in that: in folders of before."""
    keys = StepKeys(spec, registry, inventory, target)
    found = {
        name: value
        for name, value in (keys.data() | keys.tuning(None)).items()
        if name != "attempt" and not name.endswith(" code")
    }
    return digest({name: value for name, value in found.items() if not name.startswith(UNTRAINED)}), digest(found)


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
    for name in _outermost(changed):
        if name not in step.keys:
            yield f"{name} removed"
        elif name not in before.keys:
            yield f"{name} added"
        elif step.digest or step.keys[name]:
            of, named = _named(name, step.keys)
            yield f"{of} changed{_transition(named(before.keys[name]), named(step.keys[name]))}"
    if step.digest and not changed:
        yield UNFINISHED


def _outermost(names: Sequence[str]) -> Iterator[str]:
    """The names without those of the parts of one of them: an item that was added says so once, not for each option."""
    known = set(names)
    for name in names:
        ends = (place for place, character in enumerate(name) if character in ". ")
        if not any(name[:place] in known for place in ends):
            yield name


def _named(name: str, keys: Mapping[str, str]) -> tuple[str, Callable[[str], str]]:
    """What a key is called for people, and what of its value is shown: of code the component, and its versions."""
    item = name.removesuffix(CODE)
    if item == name or item not in keys:
        return name, str
    return f"{item} ({keys[item]}){CODE}", lambda code: " ".join(part for part in code.split() if not _HASH.match(part))


def _transition(old: str, new: str) -> str:
    """Show short values; a hash would say nothing."""
    short = max(len(old), len(new)) <= 40 and old and new and old != new
    return f": {old} → {new}" if short else ""
