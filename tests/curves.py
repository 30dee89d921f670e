"""Planted loss curves with the fault that each has: what ftspec.tuning.diagnosis is judged by.

Shapes, levels and noise follow what small and large fine-tuning jobs show: an exponential or power-law fall, noise that
is proportional to the loss (small batches), bumps at epoch boundaries (the stair of repeated rows), warm-up, spikes
that heal, losses told at every step or seldom, validation at every epoch or on single noisy batches.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import NamedTuple

from ftspec.common.jobs import TrainingEvent


class Planted(NamedTuple):
    name: str
    kind: str
    events: list[TrainingEvent]


def planted(seed: int) -> Iterator[Planted]:
    """32 healthy curves and 32 faulty ones; another seed draws other levels, lengths and noise."""
    rng = random.Random(seed)
    for index in range(8):
        for name, kind, make in FAMILIES:
            yield Planted(f"{name}-{index}", kind, make(rng))


def events(train: list[float], validation: dict[int, float], every: int) -> list[TrainingEvent]:
    """Curves as a provider tells them."""
    found = []
    for step, loss in enumerate(train, 1):
        metrics = {"train_loss": loss} if step % every == 0 or step in (1, len(train)) else {}
        if step in validation:
            metrics["validation_loss"] = validation[step]
        if metrics:
            found.append(TrainingEvent(id=str(step), at=float(step), step=step, metrics=metrics))
    return found


class Plan(NamedTuple):
    """What all families share: length, level, where the loss ends, its noise."""

    steps: int
    start: float
    floor: float
    noise: float
    every: int

    def fall(self, step: int, rate: float = 5.0) -> float:
        return self.floor + (self.start - self.floor) * math.exp(-rate * step / self.steps)


def plan(rng: random.Random) -> Plan:
    steps = rng.choice([24, 60, 120, 300, 900])
    start = rng.uniform(0.8, 4.0)
    return Plan(
        steps, start, start * rng.uniform(0.1, 0.6), rng.uniform(0.01, 0.12), 1 if steps <= 120 else rng.choice([1, 5])
    )


def noisy(rng: random.Random, loss: float, noise: float) -> float:
    return max(1e-4, loss * (1 + rng.gauss(0, noise)))


def at_epochs(steps: int, count: int) -> list[int]:
    return [round(steps * epoch / count) for epoch in range(1, count + 1)]


def converging(rng: random.Random) -> list[TrainingEvent]:
    """Falls and stays down; validation follows a little above, at each epoch."""
    p = plan(rng)
    train = [noisy(rng, p.fall(step), p.noise) for step in range(1, p.steps + 1)]
    held = {step: noisy(rng, 1.08 * p.fall(step), 0.01) for step in at_epochs(p.steps, rng.choice([2, 3, 5]))}
    return events(train, held, p.every)


def stairs(rng: random.Random) -> list[TrainingEvent]:
    """Drops at each epoch's start, as repeated rows make it; validation levels off and wiggles."""
    p, epochs = plan(rng), rng.choice([2, 3, 4])
    level = [p.start * (0.75**e) for e in range(epochs)]
    train = [
        noisy(
            rng, level[min(epochs - 1, step * epochs // p.steps)] * (1 - 0.1 * ((step * epochs / p.steps) % 1)), p.noise
        )
        for step in range(p.steps)
    ]
    held = {
        step: noisy(rng, p.start * (0.7 + 0.1 * 0.5**number), 0.008)
        for number, step in enumerate(at_epochs(p.steps, epochs))
    }
    return events(train, held, p.every)


def spiky(rng: random.Random) -> list[TrainingEvent]:
    """Falls, with warm-up and single spikes that heal; validation on single noisy batches."""
    p = plan(rng)
    train = []
    for step in range(1, p.steps + 1):
        loss = p.start if step < p.steps * 0.05 else p.fall(step, rng.uniform(3.5, 4.5))
        train.append(noisy(rng, loss * (rng.uniform(2, 4) if rng.random() < 0.02 else 1.0), p.noise))
    held = {step: noisy(rng, 1.1 * p.fall(step, 4.0), 0.1) for step in range(1, p.steps + 1)}
    return events(train, held, p.every)


def slow_but_sure(rng: random.Random) -> list[TrainingEvent]:
    """A power law that is still falling at the end, or a model that knew nearly all before; no validation."""
    p = plan(rng)
    if rng.random() < 0.25:
        return events([noisy(rng, 0.06, p.noise) for _ in range(p.steps)], {}, p.every)
    train = [
        noisy(rng, p.start * (1 + 20 * step / p.steps) ** -rng.uniform(0.14, 0.16), p.noise / 2)
        for step in range(p.steps)
    ]
    return events(train, {}, p.every)


def overfitting(rng: random.Random) -> list[TrainingEvent]:
    """The training loss goes to nothing, the validation loss turns at some epoch."""
    p, epochs = plan(rng), rng.choice([3, 5, 8, 10])
    train = [noisy(rng, 0.01 + p.start * math.exp(-6 * step / p.steps), p.noise) for step in range(1, p.steps + 1)]
    turn = rng.uniform(0.2, 0.6)
    held = {}
    for step in at_epochs(p.steps, epochs):
        x = step / p.steps
        low = p.start * 0.6
        held[step] = noisy(rng, low + p.start * 0.5 * ((turn - x) ** 2 if x < turn else 1.5 * (x - turn)), 0.01)
    return events(train, held, p.every)


def overfitting_noisily(rng: random.Random) -> list[TrainingEvent]:
    """The same, with validation on single batches at every step."""
    p = plan(rng)._replace(steps=rng.choice([120, 300]))
    train = [noisy(rng, 0.01 + p.start * math.exp(-6 * step / p.steps), p.noise) for step in range(1, p.steps + 1)]
    turn = rng.uniform(0.2, 0.5)
    held = {
        step: noisy(
            rng, p.start * (0.6 + 0.8 * max(0.0, step / p.steps - turn) + 0.4 * max(0.0, turn - step / p.steps)), 0.08
        )
        for step in range(1, p.steps + 1)
    }
    return events(train, held, p.every)


def stalled(rng: random.Random) -> list[TrainingEvent]:
    """Flat from beginning to end, but for noise and a drift of up to two percent."""
    p = plan(rng)
    drift = rng.uniform(-0.005, 0.02)
    train = [noisy(rng, p.start * (1 - drift * step / p.steps), p.noise) for step in range(1, p.steps + 1)]
    held = {step: noisy(rng, p.start, 0.01) for step in at_epochs(p.steps, 3)} if rng.random() < 0.5 else {}
    return events(train, held, p.every)


def diverging(rng: random.Random) -> list[TrainingEvent]:
    """Falls for a while, then rises: slowly, at once to a high plateau, or into numbers that are none."""
    p = plan(rng)
    turn, how = rng.uniform(0.2, 0.7), rng.choice(["slowly", "at once", "no number"])
    train = []
    for step in range(1, p.steps + 1):
        x = step / p.steps
        if x < turn:
            loss = p.fall(step, 4.0)
        elif how == "slowly":
            loss = p.fall(round(turn * p.steps), 4.0) + 1.2 * p.start * (x - turn) / (1 - turn)
        else:
            loss = p.start * rng.uniform(1.8, 2.2)
        train.append(math.nan if how == "no number" and x > turn + 0.1 else noisy(rng, loss, p.noise))
    return events(train, {}, p.every)


FAMILIES = (
    ("converging", "healthy", converging),
    ("stairs", "healthy", stairs),
    ("spiky", "healthy", spiky),
    ("slow-but-sure", "healthy", slow_but_sure),
    ("overfitting", "overfitting", overfitting),
    ("overfitting-noisily", "overfitting", overfitting_noisily),
    ("stalled", "stalled", stalled),
    ("diverging", "diverging", diverging),
)
