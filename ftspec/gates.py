"""Gates decide: an Evaluation in, one Verdict per gate of the spec out, and whether the run may pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ftspec import items
from ftspec.evaluation import Evaluation, Verdict
from ftspec.grade import names
from ftspec.graders import Gate
from ftspec.registry import Registry
from ftspec.spec import Item


def judge(spec_items: Sequence[Item], registry: Registry, evaluation: Evaluation, folder: Path) -> list[Verdict]:
    """What every gate says, in the spec's order. A gate that raises did not pass, and its message says why.

    Verdicts carry the item's name and severity; `negate` turns a verdict around where something was measured.
    """
    named = zip(names(spec_items), spec_items, strict=True)
    return [_judged(name, item, items.build(item, registry, folder), evaluation) for name, item in named]


def _judged(name: str, item: Item, gate: Gate, evaluation: Evaluation) -> Verdict:
    try:
        verdict = gate(evaluation)
        if not isinstance(verdict, Verdict):
            raise TypeError(f"it returned {type(verdict).__name__}, not a Verdict")
    except Exception as error:  # a plugin's gate: a broken one must not hide what the others say
        message = f"not measured: the gate failed: {type(error).__name__}: {error}"
        verdict = Verdict(gate=name, passed=False, measured=None, message=message)
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
