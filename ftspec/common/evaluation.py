"""What an evaluation found, as records: an answer's grade, a model's score, models compared, what gates said."""

from __future__ import annotations

from typing import Literal

import msgspec

from ftspec.common.errors import Severity
from ftspec.common.records import Record


class Label(Record):
    """What an answer should have been classified as, and what it was classified as."""

    expected: str
    given: str


class Grade(Record):
    """One grader's opinion of one answer. `score` is between 0 and 1; `reason` says why, for people.

    A grader of a classification says the `label` too: core counts them over all answers (see Classes).
    """

    passed: bool
    score: float | None = None
    reason: str = ""
    label: Label | None = None


class ClassScore(Record):
    """How one class was recognised: TP/(TP+FP), TP/(TP+FN), their harmonic mean (0 where there is nothing to divide
    by), and how many answers should have been of it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class Classes(Record):
    """A classification over all answers: counts[i][j] answers should have been labels[i] and were labels[j].

    `macro_f1` is the mean over the classes that were expected at least once, each counting the same.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    scores: tuple[ClassScore, ...]
    macro_f1: float


class JudgeUse(Record):
    """What a judge was asked about one model's answers, and how far it agrees with people.

    `questions` counts distinct ones, `failed` those without an answer, `unclear` the answers on which its replies were
    no verdict. A judge that compares let the model win, tie and lose so often: `won`, `tied`, `lost`. Tokens are those
    of all its replies, also of those that an earlier run asked for. `agreement` is the share of `labelled` answers
    where judge and person say the same, `kappa` is Cohen's, which takes off what chance would give; None where there
    are no labels, or chance explains all; on `unlabelled` more that people have judged it gave no verdict. `cost` is
    what all those replies cost in `currency`, None where no price is known or nobody counts tokens.
    """

    grader: str
    provider: str
    model: str
    questions: int
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    labelled: int = 0
    agreement: float | None = None
    kappa: float | None = None
    cost: float | None = None
    currency: str = ""
    unclear: int = 0
    won: int = 0
    tied: int = 0
    lost: int = 0
    unlabelled: int = 0


class Interval(Record):
    """A two-sided 95 percent confidence interval of a proportion or a difference of two."""

    low: float
    high: float


Quadrant = Literal["reliable and repeatable", "right but inconsistent", "repeatedly wrong", "neither", "not measured"]


class Measured(Record):
    """A number with its 95 percent interval, None where none is known; `n` is how many prompts it rests on.

    `pairs` is, of a difference, how many independent pairs of answers its prompts are worth; 0 of anything else.
    """

    value: float
    interval: Interval | None = None
    n: int = 0
    pairs: float = 0.0


class Worst(Record):
    """One case that speaks against a model, short enough for a message: texts are excerpts, secrets masked.

    Args:
        prompt: its id; `origin` is where it stands.
        asked, expected, said: the last message, what was expected, and one answer that did not pass.
        reason: why it did not, as the grader said.
        value: what it is among the worst by, e.g. how often it passes (0 to 1), seconds, cost.
    """

    prompt: str
    origin: str = ""
    asked: str = ""
    expected: str = ""
    said: str = ""
    reason: str = ""
    value: float = 0.0


class Score(Record):
    """How one model did on the prompts.

    `accuracy` is the share of answers that pass, prompts counted by their weight. `consistency` is the share of pairs
    of repeats of one prompt that got the same verdict (None with one repeat or greedy decoding). `graders` maps a
    grader's id to its own pass rate.

    Args:
        pass_at: pass_at[k - 1] is pass@k, that at least one of k answers passes; k counts up to the repeats.
        pass_all: pass_all[k - 1] is pass^k, that all of k answers pass.
        measures: a grader's pass rate with its interval, by the grader's id.
        metrics: what graders say about all answers together (f1, BLEU, ...), by "grader.metric".
        errors: questions without an answer, or without a grader's verdict on it; they count neither as passed nor as
            failed. `lost` says what was wrong with one of them.
        seconds: wall time of asking them all; `latency_p50` and `latency_p95` are seconds of one answer.
        cost: of all answers, in USD; None where it is not known of any. It is that of `priced` answers; what `unpriced`
            others cost is not known (nobody counted their tokens, say), so that with these it is too little.
        slices: the same of the prompts that bear a tag, by the tag.
        classes: confusion matrix, precision, recall and F1 of each grader that says labels, by the grader's id.
        judges: what graders that ask a model were told, and how far those agree with people.
        worst: the prompts that pass least often; `divided` those whose repeats agree least; `slowest` and `dearest`
            those that took or cost most.
    """

    model: str
    prompts: int
    repeats: int
    accuracy: float
    interval: Interval
    consistency: float | None = None
    consistency_interval: Interval | None = None
    quadrant: Quadrant = "not measured"
    graders: dict[str, float] = {}
    errors: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    pass_at: tuple[Measured, ...] = ()
    pass_all: tuple[Measured, ...] = ()
    measures: dict[str, Measured] = {}
    metrics: dict[str, Measured] = {}
    prompt_tokens: int = 0
    latency_p50: Measured | None = None
    latency_p95: Measured | None = None
    cost: float | None = None
    slices: dict[str, Score] = {}
    worst: tuple[Worst, ...] = ()
    divided: tuple[Worst, ...] = ()
    slowest: tuple[Worst, ...] = ()
    dearest: tuple[Worst, ...] = ()
    classes: dict[str, Classes] = {}
    judges: tuple[JudgeUse, ...] = ()
    bootstrap_interval: Interval | None = None
    lost: str = ""
    priced: int = 0
    unpriced: int = 0

    @property
    def known(self) -> float | None:
        """The accuracy; None where no question was answered, or no answer counts: of weight 0, nothing is known."""
        nothing = self.errors >= self.prompts * self.repeats or (self.interval.low, self.interval.high) == (0.0, 1.0)
        return None if nothing else self.accuracy


class Comparison(Record):
    """Two models on the same prompts: `label` minus `against`, paired over prompts that both answered.

    Args:
        metric: "accuracy" or "consistency".
        difference: the mean of the prompts' differences.
        p_value: two-sided, that the two do not differ; None where nothing can be said (see docs/statistics.md).
        adjusted: of a slice, the p-value corrected for the number of slices (Holm).
        detectable: the smallest difference that so many prompts show with 80 percent power.
        better, worse: prompts that pass more often, and less often, with `label`.
        slices: the same of the prompts that bear a tag, by the tag.
        worst: the prompts that lost most.
        pairs: how many independent pairs of answers the prompts are worth, between the numbers of prompts and answers.
    """

    label: str
    against: str
    difference: float
    interval: Interval
    metric: Literal["accuracy", "consistency"] = "accuracy"
    prompts: int = 0
    p_value: float | None = None
    adjusted: float | None = None
    detectable: float | None = None
    better: int = 0
    worse: int = 0
    slices: dict[str, Comparison] = {}
    worst: tuple[Worst, ...] = ()
    pairs: float = 0.0


NOT_ASKED = Score(model="", prompts=0, repeats=0, accuracy=0.0, interval=Interval(low=0.0, high=1.0))
"""Stands for a model that was not asked: a gate finds no prompts there."""


class Evaluation(Record):
    """Any number of models on the same prompts. `gain` is the tuned model's over the base model: see `Comparison`.

    `base` and `tuned` are NOT_ASKED where there is no such model. `further` holds other models, earlier runs and
    checkpoints by label; `scores` has every model that was asked. `suites` holds the evaluations on sets of items that
    ship with ftspec, by name ("general"): they count in nothing else. `accepted` is the run that was accepted last, ""
    where there is none yet; its model is `further["accepted"]`, unless it was asked none of these prompts, and
    `accepted_of` says what that was tuned from, where it is another base model or another tuner than this run's.
    `unfallen` says why nothing can have been lost since, whatever the answers: "hand" where a person has accepted this
    very run (`ftspec accept`), "same" where the accepted run's model is this one, asked in the same way.
    """

    base: Score = NOT_ASKED
    tuned: Score = NOT_ASKED
    gain: float = 0.0
    gain_interval: Interval = Interval(low=-1.0, high=1.0)
    further: dict[str, Score] = {}
    comparisons: tuple[Comparison, ...] = ()
    suites: dict[str, Evaluation] = {}
    accepted: str = ""
    accepted_of: str = ""
    unfallen: Literal["", "hand", "same"] = ""

    @property
    def scores(self) -> dict[str, Score]:
        """Every model that was asked, by label: base and tuned first."""
        named = {"base": self.base, "tuned": self.tuned, **self.further}
        return {label: score for label, score in named.items() if score.prompts or label in self.further}

    def comparison(self, label: str, against: str, metric: str = "accuracy") -> Comparison | None:
        """How `label` compares with `against`; None where they were not compared."""
        wanted = (label, against, metric)
        return next((one for one in self.comparisons if (one.label, one.against, one.metric) == wanted), None)


class Needs(Record):
    """What a gate needs measured, so that core measures it, and `validate` says where the spec does not.

    Args:
        repeats: several answers per prompt that may differ: `repeat` of 2 or more, and a `temperature` above 0.
        answers: to each prompt, as many as pass@k looks at.
        suite: a set of items that ships with ftspec, asked of base and tuned model: "general".
        accepted: the last accepted run's answers, as model "accepted".
        compared: a model and another one that it is compared with, by their labels.
    """

    repeats: bool = False
    answers: int = 1
    suite: Literal["", "general"] = ""
    accepted: bool = False
    compared: tuple[str, str] | None = None


Outcome = Literal["PASS", "FAIL", "INSUFFICIENT_EVIDENCE"]


class Verdict(Record):
    """What a gate said. `measured` is None where there was nothing to measure: then it passes only where it says so.

    `severity` comes from the spec's item: a gate that only warns does not fail the run.

    Args:
        outcome: follows from `passed` and `measured` where the gate does not say: PASS, FAIL, and
            INSUFFICIENT_EVIDENCE for what was not measured.
        needed: about how many prompts would decide, where the evidence is too thin and that can be told.
        worst: up to three cases that speak most against passing.
    """

    gate: str
    passed: bool
    measured: float | None
    message: str
    severity: Severity = "error"
    outcome: Outcome | Literal[""] = ""
    needed: int | None = None
    worst: tuple[Worst, ...] = ()

    def __post_init__(self) -> None:
        if not self.outcome:
            unknown: Outcome = "INSUFFICIENT_EVIDENCE" if self.measured is None else "FAIL"
            msgspec.structs.force_setattr(self, "outcome", "PASS" if self.passed else unknown)
