"""The one implementation: a provider on top of files, jobs, events and chat, told by a preset what is different."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from ftspec import api, hosted
from ftspec_openai import jobs as wire
from ftspec_openai import models, tokens
from ftspec_openai.calls import Address, calling, made_at, proxy_of
from ftspec_openai.chat import ChatModel
from ftspec_openai.checkpoints import Checkpoints
from ftspec_openai.events import Log
from ftspec_openai.files import Files, sha256_of
from ftspec_openai.jobs import Jobs
from ftspec_openai.lean import LeanChatModel
from ftspec_openai.presets import Preset
from ftspec_openai.writing import Lines

if TYPE_CHECKING:
    import openai
    import pyarrow as pa


Client = Literal["sdk", "aiohttp"]


class Tuner:
    """What every tuner of this shape does. Subclasses name their options, methods and preset (ftspec_openai.tuners).

    Args:
        address: where the server is; the key is resolved for each request.
        suffix: part of the tuned model's name.
        extra: fields of the server's own for the body of a new job.
        limits: how hard its models may be asked.
        client: what asks them: the official SDK, or aiohttp alone (see ftspec_openai.lean), where no
            proxy stands in between.
    """

    preset: Preset
    methods: ClassVar[Mapping[str, api.Method]]

    def __init__(
        self,
        address: Address,
        *,
        suffix: str = "",
        extra: Mapping[str, Any] | None = None,
        limits: api.RateLimits | None = None,
        client: Client = "sdk",
    ) -> None:
        self.address = address
        self.suffix = suffix
        self.extra = dict(extra or {})
        self.limits = limits or api.RateLimits()
        self.asking = client
        self.endpoint = address.endpoint
        self._logs: dict[str, Log] = {}
        self._checkpoints: dict[str, Checkpoints] = {}

    @property
    def submission(self) -> Literal["idempotent", "findable", "blind"]:
        return "blind" if self.preset.key == "nowhere" else "findable"

    @property
    def least_rows(self) -> int:
        """Fewest training rows that the service takes."""
        return self.preset.rows

    def attach(self, home: Path) -> None:
        """Nothing is kept on this machine."""

    # ---- before the job

    def problems(self, request: api.Request) -> Iterator[api.Problem]:
        """What is wrong with the request, as far as it can be told without asking the service."""
        if len(self.suffix) > self.preset.suffix:
            message = f"the suffix has {len(self.suffix)} characters, and {self.preset.name} takes {self.preset.suffix}"
            yield api.Problem(message=message, hint="shorten it", path=("provider", self.preset.name, "suffix"))
        if models.HOST in self.endpoint:
            yield from models.problems(request)

    def fingerprint(self, model: api.ModelRef) -> str:
        """A hosted model is known by its name alone."""
        return ""

    def tokenizer(self, request: api.Request) -> tokens.Tokenizer | None:
        """o200k_base, for servers whose models read it, where the wheel is installed."""
        return tokens.tokenizer() if self.preset.o200k else None

    def data_limits(self, request: api.Request) -> api.Limits:
        """Bytes of a file by the server; tokens of a row by OpenAI's model."""
        known = models.known(request.model.id) if models.HOST in self.endpoint else None
        longest = known.longest if known else None
        sources = [self.preset.limits, known.source.partition(";")[0] if known and longest else ""]
        return api.Limits(file_bytes=self.preset.bytes, row_tokens=longest, source="; ".join(filter(None, sources)))

    def estimate(self, request: api.Request, size: api.Size) -> api.Estimate:
        """Steps where epochs and batch size are given: ceil(rows / batch size) x epochs."""
        epochs, batch = (request.hyperparameters.get(name) for name in ("epochs", "batch_size"))
        if isinstance(epochs, int) and isinstance(batch, int):
            return api.Estimate(steps=math.ceil(size.rows / batch) * epochs, basis="rows, batch size and epochs")
        return api.Estimate(basis=f"{self.preset.name} decides epochs or batch size by itself")

    def write(self, request: api.Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> api.Written:
        """JSON lines in the shape of the method."""
        known = models.known(request.model.id) if models.HOST in self.endpoint else None
        with tokens.totals() if self.preset.o200k else nullcontext() as totals:
            lines = Lines(self.methods[request.method].data, totals, known.longest if known else None)
            return lines.written(hosted.write_lines(batches, out, lines.line))

    # ---- the job

    @cached_property
    def client(self) -> openai.OpenAI:
        return self.address.client()

    @cached_property
    def files(self) -> Files:
        return Files(self.client, self.preset)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.client, self.preset, extra=self.extra, suffix=self.suffix)

    def upload(self, file: api.DataFile) -> api.RemoteFile:
        return self.files.bring(file)

    def submit(self, request: api.Request, *, key: str) -> api.Job:
        return self.jobs.make(request, key)

    def find(self, request: api.Request, *, key: str) -> Sequence[api.Job]:
        return self.jobs.found(request, key)

    def job(self, request: api.Request, id: str) -> api.Job:
        """A job that a person has found."""
        return self.jobs.named(request, id)

    def poll(self, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        """The job's state first, so that an end never comes without what was told before it."""
        said = self.jobs.look(job.id)
        state = wire.state_of(said.status)
        log = self._logs.setdefault(job.id, Log(self.client, job))
        news = log.refresh(ended=state.terminal)
        if state is api.JobState.SUCCEEDED:
            log.read_results(self.files, list(getattr(said, "result_files", None) or ()))
        base = api.ModelRef(id=job.details.get("model", said.model))
        known = self._checkpoints.setdefault(job.id, Checkpoints(self.client, self.preset, job.id, base))
        if news or state.terminal:
            known.refresh(needed=self.preset.newest_is_model and state is api.JobState.SUCCEEDED)
        error, hint = wire.ending_of(said, state)
        return api.JobUpdate(
            state=state,
            raw=said.status,
            events=log.after(cursor),
            cursor=log.cursor,
            model=self._model(said, base, known.known) if state is api.JobState.SUCCEEDED else None,
            error=error,
            hint=hint,
            checkpoints=known.known,
            trained_tokens=getattr(said, "trained_tokens", None),
        )

    def cancel(self, job: api.Job) -> None:
        self.jobs.cancel(job.id)

    # ---- the model

    @contextmanager
    def serve(self, model: api.ModelRef | api.TunedModel) -> Iterator[api.RemoteModel]:
        """Models of this kind are up as soon as they exist, or have been deployed before."""
        tuned = isinstance(model, api.TunedModel)
        base = model.base.id if isinstance(model, api.TunedModel) else model.id
        kind = LeanChatModel if self.asking == "aiohttp" and not proxy_of(self.address.base_url) else ChatModel
        name, reasons = self._asked(model), models.reasons(base)
        yield kind(self.address, self.preset, self.limits, name, tuned=tuned, reasons=reasons)

    def _asked(self, model: api.ModelRef | api.TunedModel) -> str:
        """What a model is called when it is asked."""
        return str(model.details.get("deployment", model.id)) if isinstance(model, api.TunedModel) else model.id

    # ---- what lies there

    def standing(self) -> Iterator[api.Deployment]:
        """Deployments of ours; a tuner that deploys says which."""
        return iter(())

    def remote_objects(self) -> Iterator[api.RemoteObject]:
        """Files with a name of ours, models of jobs with a key of ours, deployments with a name of ours."""
        for file in self.files.all():
            yield api.RemoteObject(
                kind="file",
                id=file.id,
                name=file.filename,
                bytes=getattr(file, "bytes", None),
                created_at=made_at(file),
                sha256=sha256_of(file.filename),
            )
        for job in self.jobs.all():
            model = getattr(job, "fine_tuned_model", None)
            if model and self.jobs.ours(job):
                at = made_at(job, "finished_at")
                yield api.RemoteObject(kind="model", id=model, name=model, created_at=at, job=job.id)
        for up in self.standing():
            job_id = str(up.model.details.get("job", ""))
            yield api.RemoteObject(kind="deployment", id=up.id, name=up.id, created_at=up.created_at, job=job_id)

    def delete(self, remote: api.RemoteObject) -> None:
        """Delete it; one that is gone is left alone."""
        if remote.kind == "file":
            self.files.delete(remote.id)
        elif remote.kind == "model":
            with suppress(api.NotFound), calling("delete the model"):
                self.client.models.delete(remote.id)

    def _model(self, said: Any, base: api.ModelRef, checkpoints: Sequence[api.Checkpoint]) -> api.TunedModel | None:
        """The model that a job made; None while the service does not name it, which it may do a little later."""
        if self.preset.newest_is_model:
            return checkpoints[-1].model if checkpoints else None
        name = getattr(said, "fine_tuned_model", None)
        return api.TunedModel(id=name, base=base, details={"job": said.id}) if name else None


class Pausing(Tuner):
    """A tuner whose jobs can be halted (api.SupportsPause)."""

    def pause(self, job: api.Job) -> None:
        self.jobs.pause(job.id)

    def resume(self, job: api.Job) -> None:
        self.jobs.resume(job.id)
