"""The simulated provider: everything about tuning but the learning."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

import msgspec
from msgspec import Meta

from ftspec import api
from ftspec.builtin.simulated.answering import Answering
from ftspec.builtin.simulated.client import Client, Fault
from ftspec.builtin.simulated.hosting import Hosting
from ftspec.builtin.simulated.options import DpoOptions, Hyperparameters, ReinforcementOptions, SftOptions
from ftspec.builtin.simulated.words import Tally, Words, tokens

if TYPE_CHECKING:
    import pyarrow as pa

WATERMARK = "simulated"
SHOWN = 20
"""Findings that are listed at the most; the rest are counted."""
STATES = {
    "queued": api.JobState.QUEUED,
    "running": api.JobState.RUNNING,
    "paused": api.JobState.PAUSED,
    "succeeded": api.JobState.SUCCEEDED,
    "failed": api.JobState.FAILED,
    "cancelled": api.JobState.CANCELLED,
}

Share = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0)]


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
        world = {
            "outcome": outcome,
            "fail_at_step": fail_at_step,
            "accuracy": accuracy,
            "base_accuracy": base_accuracy,
            "noise": noise,
            "overfits_after": overfits_after,
        }
        self.endpoint = _endpoint(world)
        self.behaviour: dict[str, Any] = {
            **world,
            "seconds_per_step": seconds_per_step,
            "queue_seconds": queue_seconds,
        }
        self.hosting: dict[str, Any] = {"deploy_seconds": deploy_seconds, "deploy_fails": deploy_fails}
        self.needs_deployment = deploy
        limited = (Fault(call="any", kind="429", times=rate_limit),) if rate_limit else ()
        self._connection: dict[str, Any] = {"timeout": timeout, "idle": idle, "faults": (*limited, *faults)}

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
        return tokens(request, example)

    def tokenizer(self, request: api.Request) -> Words:
        return Words(request)

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


def _endpoint(world: Mapping[str, Any]) -> str:
    """Where jobs live. What decides their results is part of it: another world is another endpoint, so another key."""
    usual = Simulated.__init__.__kwdefaults__ or {}
    differs = [f"{name}={value}" for name, value in world.items() if value != usual[name]]
    return "?".join(["simulated", "&".join(differs)]) if differs else "simulated"


def _job(said: Mapping[str, Any]) -> api.Job:
    return api.Job(id=said["id"], created_at=said["created_at"], details={"model": said["model"]})


def _checkpoint(job: api.Job, said: Mapping[str, Any]) -> api.Checkpoint:
    base = api.ModelRef(id=job.details["model"])
    model = api.TunedModel(id=said["model"], base=base, details={"job": job.id, "step": said["step"]})
    return api.Checkpoint(id=said["model"], step=said["step"], model=model, metrics=said["metrics"])
