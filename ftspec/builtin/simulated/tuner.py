"""The simulated provider: everything about tuning but the learning."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

import msgspec
from msgspec import Meta

from ftspec import api
from ftspec.builtin.simulated.client import Client, Fault
from ftspec.builtin.simulated.hosting import Hosting

if TYPE_CHECKING:
    import pyarrow as pa

    from ftspec import rows

WATERMARK = "simulated"
SHOWN = 20
"""Findings that are listed at the most; the rest are counted."""
BATCH = 25
"""Questions in one call."""
WORD = re.compile(r"\s*\S+")
STATES = {
    "queued": api.JobState.QUEUED,
    "running": api.JobState.RUNNING,
    "paused": api.JobState.PAUSED,
    "succeeded": api.JobState.SUCCEEDED,
    "failed": api.JobState.FAILED,
    "cancelled": api.JobState.CANCELLED,
}

TrainOn = Literal["assistant", "last", "all"]
Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]


class Hyperparameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the simulated tuner takes."""

    epochs: Annotated[int, Meta(ge=1, le=50, description="How often every row is seen.")] = 3
    batch_size: Annotated[int, Meta(ge=1, le=256, description="Rows per optimizer step.")] = 8
    learning_rate_multiplier: Annotated[float, Meta(gt=0, description="How fast the loss falls; 1 is usual.")] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Decides the noise of the loss.")] = 0


class SftOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervised fine-tuning."""

    train_on: Annotated[
        TrainOn, Meta(description="Which messages count: the assistant's, only its last one, or all.")
    ] = "assistant"


class DpoOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Direct preference optimisation."""

    beta: Annotated[float, Meta(gt=0, description="How close the model stays to what it was.")] = 0.1


class ReinforcementOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reinforcement fine-tuning."""


class Simulated(Hosting):
    """A tuner that trains nothing: for trying specs out, for CI and for demonstrations, and it says so everywhere.

    A separate process keeps files and jobs, as a service far away would. How long a job takes follows from the real
    rows, batch size and epochs, its loss from the rows' words. Its model gives the expected answer to a share of the
    prompts. Everything is deterministic.
    """

    checkpoints: ClassVar[str] = "after each epoch"
    methods: ClassVar[Mapping[str, api.Method]] = {
        "sft": api.Method(Hyperparameters, SftOptions, images=None),
        "dpo": api.Method(Hyperparameters, DpoOptions, data="preference", images=None),
        "reinforcement": api.Method(Hyperparameters, ReinforcementOptions, data="reinforcement", images=None),
    }

    def __init__(
        self,
        *,
        outcome: Annotated[
            Literal["succeeded", "failed", "cancelled"], Meta(description="How jobs end.")
        ] = "succeeded",
        fail_at_step: Annotated[
            int | None, Meta(description="Step at which a job ends that does not succeed; its last when not given.")
        ] = None,
        seconds_per_step: Annotated[Seconds, Meta(description="How long a step takes.")] = 0.01,
        queue_seconds: Annotated[Seconds, Meta(description="How long a job waits before it starts.")] = 0.0,
        accuracy: Annotated[Share, Meta(description="Share of prompts the tuned model answers as expected.")] = 0.95,
        base_accuracy: Annotated[Share, Meta(description="The same for the base model.")] = 0.1,
        noise: Annotated[Share, Meta(description="Share of answers drawn anew per repeat, with a temperature.")] = 0.05,
        overfits_after: Annotated[
            Share | None, Meta(description="Share of the steps after which the validation loss rises.")
        ] = None,
        rate_limit: Annotated[int, Meta(ge=0, description="Calls that are answered with 429 first.")] = 0,
        submission: Annotated[
            Literal["idempotent", "findable", "blind"], Meta(description="What the same key twice does.")
        ] = "idempotent",
        faults: Annotated[tuple[Fault, ...], Meta(description="Calls that go wrong, for tests.")] = (),
        deploy: Annotated[bool, Meta(description="Tuned models answer only when they are deployed.")] = False,
        deploy_seconds: Annotated[Seconds, Meta(description="How long a deployment takes to be ready.")] = 0.0,
        deploy_fails: Annotated[bool, Meta(description="Deployments fail.")] = False,
        timeout: Annotated[Seconds, Meta(description="Seconds to wait for an answer.")] = 30.0,
        idle: Annotated[Seconds, Meta(description="Seconds of silence after which its process leaves.")] = 60.0,
    ) -> None:
        self.submission = submission
        self.behaviour: dict[str, Any] = {
            "outcome": outcome,
            "fail_at_step": fail_at_step,
            "seconds_per_step": seconds_per_step,
            "queue_seconds": queue_seconds,
            "accuracy": accuracy,
            "base_accuracy": base_accuracy,
            "noise": noise,
            "overfits_after": overfits_after,
        }
        self.hosting: dict[str, Any] = {"deploy_seconds": deploy_seconds, "deploy_fails": deploy_fails}
        self.needs_deployment = deploy
        limited = (Fault(call="any", kind="429", times=rate_limit),) if rate_limit else ()
        self._connection: dict[str, Any] = {"timeout": timeout, "idle": idle, "faults": (*limited, *faults)}
        self.endpoint = _endpoint(
            outcome=outcome,
            fail_at_step=fail_at_step,
            accuracy=accuracy,
            base_accuracy=base_accuracy,
            noise=noise,
            overfits_after=overfits_after,
        )

    def attach(self, home: Path) -> None:
        self.client = Client(home, **self._connection)

    # ---- before the job

    def problems(self, request: api.Request) -> Iterable[api.Problem]:
        """Nothing beyond what the schema says: any model will do."""
        return ()

    def fingerprint(self, model: api.ModelRef) -> str:
        return ""

    def estimate(self, request: api.Request, size: api.Size) -> api.Estimate:
        """Steps by the same formula as the tuner's own: ceil(rows / batch size) x epochs."""
        wanted = msgspec.convert(request.hyperparameters, Hyperparameters)
        steps = math.ceil(size.rows / wanted.batch_size) * wanted.epochs
        seconds = self.behaviour["queue_seconds"] + steps * self.behaviour["seconds_per_step"]
        basis = "rows, batch size and epochs; nothing is trained"
        return api.Estimate(seconds=seconds, cost=0.0, steps=steps, basis=basis, watermark=WATERMARK)

    def write(self, request: api.Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> api.Written:
        """JSON lines, as hosted tuners read them. A conversation from which nothing can be learned is refused."""
        from ftspec import rows

        tally = Tally(request)
        for batch in batches:
            for part in rows.parts(batch):
                lines = tally.count(part)
                out.write(part.lines(lines))
        if tally.findings:
            raise api.DataError(tally.findings[:SHOWN], len(tally.findings))
        return api.Written(rows=tally.rows, tokens=tally.tokens, trained_tokens=tally.trained)

    def render(self, request: api.Request, example: api.Example) -> Sequence[api.Token]:
        """A mark for each message's role, and its words. Of an item that graders judge nothing is trained on."""
        tokens = []
        for message, weight in _said(request, example):
            tokens.append(api.Token(text=f"<{message.role}>"))
            tokens += [api.Token(text=word, weight=weight) for word in WORD.findall(_text(message))]
        return tokens

    def tokenizer(self, request: api.Request) -> Words:
        return Words(self, request)

    # ---- the job

    def upload(self, file: api.DataFile) -> api.RemoteFile:
        held = self.client.call("find_file", "GET", "/files", sha256=file.sha256, purpose=file.purpose)["files"]
        if not held:
            with Path(file.path).open("rb") as content:
                held = [self.client.call("upload", "POST", "/files", content, purpose=file.purpose)]
        return api.RemoteFile(id=held[0]["id"], sha256=held[0]["sha256"], bytes=held[0]["bytes"])

    def submit(self, request: api.Request, *, key: str) -> api.Job:
        order = {
            "key": key,
            "submission": self.submission,
            "model": request.model.id,
            "hyperparameters": request.hyperparameters,
            "behaviour": self.behaviour,
            "method": request.method,
            "training": request.training.id if request.training else "",
            "validation": request.validation.id if request.validation else None,
        }
        return _job(self.client.call("create", "POST", "/jobs", msgspec.json.encode(order)))

    def find(self, request: api.Request, *, key: str) -> Sequence[api.Job]:
        return [_job(job) for job in self.client.call("find", "GET", "/jobs", key=key)["jobs"]]

    def job(self, request: api.Request, id: str) -> api.Job:
        self.client.call("poll", "GET", f"/jobs/{id}")
        return api.Job(id=id, details={"model": request.model.id})

    def poll(self, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        said = self.client.call("poll", "GET", f"/jobs/{job.id}", after=cursor or "0")
        base = api.ModelRef(id=job.details["model"])
        return api.JobUpdate(
            state=STATES.get(said["status"], api.JobState.UNKNOWN),
            raw=said["status"],
            events=tuple(msgspec.convert(said["events"], list[api.TrainingEvent])),
            cursor=str(said["cursor"]),
            model=api.TunedModel(id=said["model"], base=base, details={"job": job.id}) if said["model"] else None,
            error=said["error"],
            checkpoints=tuple(_checkpoint(job, checkpoint) for checkpoint in said.get("checkpoints", ())),
        )

    def cancel(self, job: api.Job) -> None:
        self.client.call("cancel", "POST", f"/jobs/{job.id}/cancel")

    def stop(self, job: api.Job) -> None:
        self.client.call("stop", "POST", f"/jobs/{job.id}/stop")

    def pause(self, job: api.Job) -> None:
        self.client.call("pause", "POST", f"/jobs/{job.id}/pause")

    def resume(self, job: api.Job) -> None:
        self.client.call("resume", "POST", f"/jobs/{job.id}/resume")

    # ---- the model

    @contextmanager
    def serve(self, model: api.ModelRef | api.TunedModel) -> Iterator[api.Model]:
        if self.deploys(model) and isinstance(model, api.TunedModel) and "deployment" not in model.details:
            raise api.Rejected("simulated: this model answers only when it is deployed")
        yield Answering(self.client, model, self.behaviour)


class Answering:
    """A model that answers from its process: it is told what is expected, and says it as often as it should."""

    def __init__(self, client: Client, model: api.ModelRef | api.TunedModel, behaviour: Mapping[str, Any]) -> None:
        self.client = client
        self.order = {
            "model": model.id,
            "job": model.details["job"] if isinstance(model, api.TunedModel) else "",
            "deployment": model.details.get("deployment", "") if isinstance(model, api.TunedModel) else "",
            "behaviour": behaviour,
        }

    def answer(self, questions: Sequence[api.Question], generation: api.Generation) -> Iterator[api.Answer]:
        for start in range(0, len(questions), BATCH):
            asked = questions[start : start + BATCH]
            order = {**self.order, "generation": generation, "questions": [_question(question) for question in asked]}
            said = self.client.call("answer", "POST", "/answers", msgspec.json.encode(order))["answers"]
            for question, answer in zip(asked, said, strict=True):
                words = sum(len(WORD.findall(_text(message))) for message in question.prompt.messages)
                yield api.Answer(prompt=question.prompt.id, repeat=question.repeat, prompt_tokens=words, **answer)


def _endpoint(**world: Any) -> str:
    """Where jobs live. What decides their results is part of it: another world is another endpoint, so another key."""
    usual = {"outcome": "succeeded", "fail_at_step": None, "accuracy": 0.95, "base_accuracy": 0.1, "noise": 0.05}
    usual["overfits_after"] = None
    differs = [f"{name}={value}" for name, value in world.items() if value != usual[name]]
    return "?".join(["simulated", "&".join(differs)]) if differs else "simulated"


def _job(said: Mapping[str, Any]) -> api.Job:
    return api.Job(id=said["id"], created_at=said["created_at"], details={"model": said["model"]})


def _checkpoint(job: api.Job, said: Mapping[str, Any]) -> api.Checkpoint:
    base = api.ModelRef(id=job.details["model"])
    model = api.TunedModel(id=said["model"], base=base, details={"job": job.id, "step": said["step"]})
    return api.Checkpoint(id=said["model"], step=said["step"], model=model, metrics=said["metrics"])


def _question(question: api.Question) -> dict[str, Any]:
    prompt = question.prompt
    return {"prompt": prompt.id, "expected": prompt.expected, "repeat": question.repeat, "seed": question.seed}


def _said(request: api.Request, example: api.Example) -> list[tuple[api.Message, float]]:
    """The messages that are read, and the loss weight of each one's words."""
    if request.method != "sft":
        parts = [(example.messages, 0.0), (example.chosen or [], 1.0), (example.rejected or [], -1.0)]
        return [(message, weight) for messages, weight in parts for message in messages]
    train_on: TrainOn = request.method_options.get("train_on", "assistant")
    return list(zip(example.messages, _weights(example.messages, train_on), strict=True))


def _line(example: api.Example) -> bytes:
    line: dict[str, Any] = {"messages": example.messages}
    if example.tools:
        line["tools"] = example.tools
    if example.chosen is not None:
        line = {"input": line, "preferred_output": example.chosen, "non_preferred_output": example.rejected}
    return msgspec.json.encode(line | (example.item or {})) + b"\n"


class Tally:
    """Counts what is written: rows, words and marks, and those that are trained on."""

    def __init__(self, request: api.Request) -> None:
        self.request = request
        self.rows = self.tokens = self.trained = 0
        self.findings: list[api.Finding] = []

    def count(self, part: rows.Part) -> list[bytes]:
        """Count a part; returns the lines of those of its rows that are not plain."""
        from ftspec import rows

        self.rows += len(part.places) + len(part.other_places)
        untrained = self._plain(part)
        lines = []
        for place, example in zip(part.other_places.tolist(), rows.examples(part.others), strict=True):
            counts = [(1 + len(_text(message).split()), weight) for message, weight in _said(self.request, example)]
            learnt = sum(marked - 1 for marked, weight in counts if weight)
            if self.request.method == "sft" and not learnt:
                untrained.append((place, example.row))
            lines.append(_line(example))
            self.tokens, self.trained = self.tokens + sum(marked for marked, _ in counts), self.trained + learnt
        self.findings += [_untrained(row) for _, row in sorted(untrained)]
        return lines

    def _plain(self, part: rows.Part) -> list[tuple[int, int]]:
        """The same for the plain rows, all at once: (place, number) of those of which nothing is learnt."""
        said = part.plain
        words = said.words()
        self.tokens += int(words.sum()) + len(words)
        if self.request.method != "sft":
            return []
        learnt = said.per_row(words * _are_trained(said, self.request.method_options.get("train_on", "assistant")))
        self.trained += int(learnt.sum())
        return [(place, part.numbers[place].as_py()) for place in part.places[learnt == 0].tolist()]


class Words:
    """What counts as a token here: a word, and a mark for each message's role."""

    special: tuple[str, ...] = ()
    per_byte = 1.0

    def __init__(self, tuner: Simulated, request: api.Request) -> None:
        self.tuner, self.request = tuner, request

    def counts(self, texts: Sequence[str]) -> list[int]:
        return [len(WORD.findall(text)) for text in texts]

    def cut(self, text: str, most: int) -> str:
        return "".join(WORD.findall(text)[:most])

    def row(self, example: api.Example) -> tuple[int, int]:
        tokens = self.tuner.render(self.request, example)
        return len(tokens), sum(1 for token in tokens if token.weight)


def _text(message: api.Message) -> str:
    """What of a message is read: its text, other content and tool calls as JSON."""
    content = message.content if isinstance(message.content, str) else _json(message.content)
    if not message.tool_calls:
        return content.strip()
    return f"{content} {_json(message.tool_calls)}".strip()


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode() if value else ""


def _weights(messages: Sequence[api.Message], train_on: TrainOn) -> list[float]:
    """Each message's loss weight: its own where it has one and its role is trained on, 1 where it has none."""
    roles = [message.role for message in messages]
    if train_on == "last":
        last = len(roles) - 1 - roles[::-1].index("assistant") if "assistant" in roles else -1
        chosen = [index == last for index in range(len(roles))]
    else:
        chosen = [train_on == "all" or role == "assistant" for role in roles]
    weights = [1.0 if message.weight is None else message.weight for message in messages]
    return [weight if trained else 0.0 for weight, trained in zip(weights, chosen, strict=True)]


def _are_trained(said: rows.Conversations, train_on: TrainOn) -> Any:
    """Of each message of plain rows, which have no weights of their own, whether its words are trained on."""
    import numpy as np

    if train_on == "all":
        return np.ones(len(said.row), np.bool_)
    answers = said.is_role("assistant")
    if train_on == "assistant":
        return answers
    last = np.full(said.count, -1)
    last[said.row[answers]] = np.flatnonzero(answers)  # of several for one place, NumPy keeps the last
    return last[said.row] == np.arange(len(said.row))


def _untrained(row: int) -> api.Finding:
    return api.Finding(
        message="nothing in this row is trained on: no assistant message with a weight above 0 and a text",
        hint="give the row an assistant message, or drop it in `cleaning`",
        row=row,
    )
