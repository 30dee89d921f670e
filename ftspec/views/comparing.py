"""Runs and models side by side, from the answers that they have kept: nothing is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from ftspec.common.errors import FtspecError
from ftspec.common.evaluation import Evaluation
from ftspec.common.figures import plural
from ftspec.common.messages import Message, Prompt
from ftspec.common.records import REPORT, Plan, Record
from ftspec.common.references import mask
from ftspec.grading import answersheet, scoring, tally
from ftspec.grading.answersheet import Row
from ftspec.grading.tally import Tally
from ftspec.state import history
from ftspec.state.history import Located
from ftspec.state.journal import Journal

AT = "@"
"""Between a run and the label of one of its models: `router-1a2b@base`."""
GRADERS, GENERATION = "eval.graders", "eval.generation"
SHOWN, SHORT = 4, 60
"""Keys that a note names, and characters of their values."""


class Side(Record):
    """One model in a comparison: what it is called there, the run that asked it, and its label in that run."""

    name: str
    run: str
    model: str
    prompts: int
    graders: tuple[str, ...]


class Compared(Record):
    """What `ftspec compare` shows: everything but the first is compared with the first, over the prompts of both."""

    sides: tuple[Side, ...]
    evaluation: Evaluation
    notes: tuple[str, ...] = ()


def compare(targets: Sequence[str], where: str | None) -> Compared:
    """Compare models.

    Args:
        targets: a run (see history.locate), or RUN@MODEL for one of its models. A run is its tuned model; one run alone
            is all of its models.
        where: the store, as for every command.

    Raises FtspecError for a run or model that is not there, or that has kept no answers.
    """
    found: dict[str, tuple[Side, list[Tally]]] = {}
    plans: dict[str, Plan] = {}
    located = {target: history.locate(target.partition(AT)[0], where) for target in targets}
    for target, of in located.items():
        for name, model, tallies in _asked(target, of, everything=len(targets) == 1):
            graders = dict.fromkeys(grader for tally in tallies for grader in tally.graders)
            side = Side(name=name, run=of.run, model=model, prompts=len(tallies), graders=tuple(graders))
            found.setdefault(name, (side, tallies))
        plans[of.run] = history.plan_of(of.run, Journal(of.space.store, of.run).events())
    if len(found) < 2:
        raise FtspecError("there is only one model to compare", f"name another run, or a run's models: RUN{AT}base")
    first, *others = found
    evaluation = scoring.of_tallies(
        {name: tallies for name, (_, tallies) in found.items()}, {}, [(name, first) for name in others]
    )
    sides = tuple(side for side, _ in found.values())
    told = dict.fromkeys(of.note for of in located.values() if of.note)
    return Compared(sides=sides, evaluation=evaluation, notes=(*told, *_notes(found, first, plans)))


def _asked(target: str, of: Located, *, everything: bool) -> Iterator[tuple[str, str, list[Tally]]]:
    """(name, label, tallies) of the models that a target means."""
    (_, at, label), run = target.partition(AT), of.run
    folder = of.space.report(run)
    if not (folder / answersheet.FILE).exists():
        raise FtspecError(
            f"run {run} has kept no answers to compare",
            "its evaluation has not come to its end: `ftspec status` says what goes on with it",
        )
    models = _tallies(folder)
    wanted = [label] if at else list(models) if everything else [_only(models, run)]
    for model in wanted:
        if model not in models:
            raise FtspecError(f"run {run} asked no model '{model}'", f"it asked {', '.join(models)}")
        yield model if everything and not at else target, model, models[model]


def _only(models: Iterable[str], run: str) -> str:
    """The model that a run stands for."""
    known = list(models)
    if "tuned" in known or len(known) == 1:
        return "tuned" if "tuned" in known else known[0]
    raise FtspecError(f"run {run} has no tuned model", f"say which: {', '.join(f'{run}{AT}{name}' for name in known)}")


def _tallies(folder: Path) -> dict[str, list[Tally]]:
    """Every model's answers, counted per prompt."""
    found: dict[str, list[Tally]] = {}
    masked = mask.now()
    for (model, _), rows in groupby(answersheet.read(folder), key=lambda row: (row.model, row.prompt)):
        found.setdefault(model, []).append(_tally(list(rows), masked))
    return found


def _tally(rows: Sequence[Row], masked: Callable[[str], str]) -> Tally:
    one = rows[0]
    prompt = Prompt(
        id=one.prompt,
        messages=[Message(role="user", content=one.asked)],
        expected=one.expected,
        origin=one.origin,
        tags=tuple(one.tags),
        weight=one.weight,
    )
    return tally.tally(tally.brief(prompt, masked), [(row.answer, row.graded) for row in rows], masked)


def _notes(found: Mapping[str, tuple[Side, list[Tally]]], first: str, plans: Mapping[str, Plan]) -> Iterator[str]:
    """What makes two sides less comparable than they look."""
    side, tallies = found[first]
    prompts = {tally.prompt.id for tally in tallies}
    for name, (other, theirs) in found.items():
        both = sum(tally.prompt.id in prompts for tally in theirs)
        if name != first and not both == len(prompts) == len(theirs):
            yield f"{name} and {first} share {plural(both, 'prompt')}: {len(theirs):,} and {len(prompts):,} were asked"
        one, two = plans[side.run], plans[other.run]
        if other.graders != side.graders:
            yield f"{name} was graded by {', '.join(other.graders)}; {first} by {', '.join(side.graders)}"
        elif apart := _apart(_keys(one, REPORT, GRADERS), _keys(two, REPORT, GRADERS)):
            yield f"{name} was graded otherwise than {first}: {apart}"
        generations = (_keys(plan, f"{of.model} answers", GENERATION) for plan, of in ((one, side), (two, other)))
        if apart := _apart(*generations):
            yield f"{name} was asked otherwise than {first}: {apart}"


def _keys(plan: Plan, step: str, under: str) -> dict[str, str]:
    """What a step's digest covers of one part of the spec."""
    keys = next((each.keys for each in plan.steps if each.name == step), {})
    return {key: value for key, value in keys.items() if key.startswith(under)}


def _apart(one: Mapping[str, str], two: Mapping[str, str]) -> str:
    """Which keys differ, with their values where those are short."""
    names = [key for key in {**one, **two} if one.get(key) != two.get(key)]
    known = [(key, two.get(key, "nothing"), one.get(key, "nothing")) for key in names[:SHOWN]]
    told = (f"{key} is {new}, not {old}" if len(new + old) <= SHORT else f"{key} differs" for key, new, old in known)
    return ", ".join([*told, *([f"{len(names) - SHOWN} more"] if len(names) > SHOWN else [])])
