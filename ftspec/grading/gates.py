"""Gates decide: an Evaluation in, one Verdict per gate of the spec out, and whether the run may pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ftspec import items
from ftspec.common.errors import FtspecError
from ftspec.common.evaluation import Evaluation, Verdict
from ftspec.contracts.graders import Gate
from ftspec.grading.grade import names
from ftspec.registry import Registry
from ftspec.spec import Item


def judge(spec_items: Sequence[Item], registry: Registry, evaluation: Evaluation, folder: Path) -> list[Verdict]:
    """What every gate says, in the spec's order. A gate that raises says nothing, which does not pass, and why.

    Verdicts carry the item's name and severity; `negate` turns a verdict around where something was measured.
    """
    named = zip(names(spec_items), spec_items, strict=True)
    return [_judged(name, item, registry, items.build(item, registry, folder), evaluation) for name, item in named]


def _judged(name: str, item: Item, registry: Registry, gate: Gate, evaluation: Evaluation) -> Verdict:
    try:
        with items.guarded(item, registry):
            verdict = gate(evaluation)
        verdict = items.blame(item, registry).verified(verdict, Verdict, gate)
        if verdict.measured is not None and math.isnan(verdict.measured):
            raise items.blame(item, registry).fault(
                "returned a Verdict whose measured is no number; None says so", gate
            )
    except FtspecError as error:  # a broken one must not hide what the others say
        said = f"no verdict: {error.message}"
        verdict = Verdict(
            gate=name, passed=False, measured=None, message=f"{said}; {error.hint}" if error.hint else said
        )
    if item.negate and verdict.outcome != "INSUFFICIENT_EVIDENCE":
        passed = not verdict.passed
        verdict = msgspec.structs.replace(verdict, passed=passed, outcome="", message=f"negated: {verdict.message}")
    severity = "warning" if item.severity == "warning" else "error"
    return msgspec.structs.replace(verdict, gate=name, severity=severity)


def asks_tuned(gate: Item) -> bool:
    """Whether a gate looks at the tuned model: one that names no other does."""
    return "tuned" in (gate.options.get("model", "tuned"), gate.options.get("against"))


def passed(verdicts: Iterable[Verdict]) -> bool:
    """Whether no gate says no, but for those that only warn."""
    return all(verdict.passed or verdict.severity == "warning" for verdict in verdicts)
