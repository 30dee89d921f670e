"""Scores and comparisons as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ftspec.figures import percent, points
from ftspec.terminal import safe, table

if TYPE_CHECKING:
    from ftspec.records import Comparison, Evaluation, Interval, Score


def table_of(found: Evaluation) -> Iterator[str]:
    """One line per model that was asked."""
    header = ("MODEL", "PROMPTS", "ACCURACY", "95% INTERVAL", "CONSISTENCY", "MEDIAN", "COST", "ERRORS")
    yield table([_row(label, score) for label, score in found.scores.items()], header)


def _row(label: str, score: Score) -> tuple[str, ...]:
    repeats = f" × {score.repeats}" if score.repeats > 1 else ""
    return (
        safe(label),
        f"{score.prompts:,}{repeats}",
        percent(score.accuracy),
        f"{percent(score.interval.low)} to {percent(score.interval.high)}",
        "–" if score.consistency is None else percent(score.consistency),
        "–" if score.latency_p50 is None else f"{score.latency_p50.value:.2f} s",
        "–" if score.cost is None else f"{score.cost:.4f} USD",
        str(score.errors or "–"),
    )


def differences(found: Evaluation) -> Iterator[str]:
    """One line per pair of models that was compared, and the prompts that the later one lost."""
    header = ("COMPARED", "METRIC", "DIFFERENCE", "95% INTERVAL", "P", "BETTER", "WORSE", "OF")
    if found.comparisons:
        yield table([_difference(one) for one in found.comparisons], header)
    for one in found.comparisons:
        for lost in one.worst if one.metric == "accuracy" else ():
            where = f" ({safe(lost.origin)})" if lost.origin else ""
            yield f"{safe(one.label)} lost {points(lost.value)} on{where}: {_short(lost.asked)} → {_short(lost.said)}"


def _difference(one: Comparison) -> tuple[str, ...]:
    return (
        f"{safe(one.label)} − {safe(one.against)}",
        one.metric,
        points(one.difference),
        _span(one.interval),
        "–" if one.p_value is None else f"{one.p_value:.3g}",
        str(one.better),
        str(one.worse),
        str(one.prompts),
    )


def _span(interval: Interval) -> str:
    return f"{points(interval.low)} to {points(interval.high)}"


def _short(text: str) -> str:
    shown = safe(" ".join(text.split()))
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
