"""The `together` provider: files, fine-tuning jobs, dedicated endpoints and chat of Together AI."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

import msgspec
from msgspec import Meta

from ftspec import api, hosted
from ftspec_together import files, lines, options, progress
from ftspec_together.cleanup import Cleanup
from ftspec_together.client import calling, classes
from ftspec_together.serving import Serving

if TYPE_CHECKING:
    import pyarrow as pa

INSTALL = "pip install ./plugins/ftspec-together"
STATES = {
    "pending": api.JobState.QUEUED,
    "queued": api.JobState.QUEUED,
    "running": api.JobState.RUNNING,
    "compressing": api.JobState.FINALIZING,
    "uploading": api.JobState.FINALIZING,
    "cancel_requested": api.JobState.CANCELLING,
    "cancelled": api.JobState.CANCELLED,
    "error": api.JobState.FAILED,
    "user_error": api.JobState.FAILED,
    "completed": api.JobState.SUCCEEDED,
}
MOST_BYTES = int(50.1 * 2**30)
MOST_SOURCE = (
    "together/lib/constants.py of its SDK 3.1; https://docs.together.ai/docs/fine-tuning/data-preparation, as of "
    "2026-11-28, says 100 GB"
)
SEES: Any = {"images": lines.MOST_IMAGES, "image_urls": lines.IMAGE_URLS}
FAILED = "the job's log says why (`ftspec logs`); most often rows, a model that cannot be tuned, or no credit"


class TogetherProvider(Serving, Cleanup):
    """Fine-tune open models on Together AI; a tuned model answers from a dedicated endpoint."""

    submission: ClassVar[Literal["idempotent", "findable", "blind"]] = "findable"
    methods: ClassVar[Mapping[str, api.Method]] = {
        "sft": api.Method(options.Hyperparameters, options.Sft, **SEES),
        "dpo": api.Method(options.Hyperparameters, options.Dpo, data="preference", **SEES),
    }

    def __init__(
        self,
        *,
        api_key: Annotated[str, Meta(description="The key, as ${secret:NAME}.")] = "${secret:TOGETHER_API_KEY}",
        project: Annotated[str, Meta(description="Id of the project in which endpoints are put up.")] = "",
        deployment_config: Annotated[str, Meta(description="Config revision of a deployment.")] = "",
        concurrency: Annotated[int, Meta(ge=1, le=256, description="Calls in flight while asking.")] = 16,
        requests_per_minute: Annotated[int | None, Meta(description="Most calls a minute while asking.")] = None,
        timeout: Annotated[float, Meta(gt=0, le=60, description="Seconds to wait for an answer.")] = 30.0,
        base_url: Annotated[api.Plain, Meta(description="Where the service is.")] = "https://api.together.ai",
    ) -> None:
        self.endpoint = base_url.rstrip("/")
        self.deployment_config = deployment_config
        self.limits = api.RateLimits(concurrency=concurrency, requests_per_minute=requests_per_minute)
        self.project = project
        self.asides = hosted.Asides()
        self.clients = hosted.Clients(classes, api_key, timeout, base_url=self.endpoint, project_id=project or None)

    def attach(self, home: Path) -> None:
        """Nothing is kept on this machine."""

    # ---- before the job

    def problems(self, request: api.Request) -> Iterator[api.Problem]:
        """What does not go together; a model's own limits are Together's to say, when the job is submitted."""
        wanted = msgspec.convert(request.hyperparameters, options.Hyperparameters)
        if request.model.revision:
            yield api.Problem(message="Together's models have no revision", hint="remove it", path=("model",))
        patience = wanted.early_stopping_patience
        if patience is not None and wanted.evaluations < patience + 2:
            message = f"stopping after {patience} evaluations needs at least {patience + 2} of them"
            path = ("hyperparameters", "early_stopping_patience")
            yield api.Problem(message=message, hint=f"set `evaluations: {patience + 2}`, or more", path=path)

    def data_limits(self, request: api.Request) -> api.Limits:
        """Only models that see take images; and files are as large as the SDK takes."""
        seen = None if request.model.id in lines.SEEING else 0
        return api.Limits(images=seen, file_bytes=MOST_BYTES, source=MOST_SOURCE)

    def fingerprint(self, model: api.ModelRef) -> str:
        """Together tells none."""
        return ""

    def estimate(self, request: api.Request, size: api.Size) -> api.Estimate:
        """Steps where the batch is given; costs come from the price table."""
        wanted = msgspec.convert(request.hyperparameters, options.Hyperparameters)
        if wanted.batch_size == "max" or wanted.packing:
            return api.Estimate(basis="Together says neither time nor steps beforehand")
        batch = wanted.batch_size * (wanted.gradient_accumulation or 1)
        return api.Estimate(steps=math.ceil(size.rows / batch) * wanted.epochs, basis="rows, batch size and epochs")

    def write(self, request: api.Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> api.Written:
        """JSON lines: conversations, or preference pairs."""
        line = partial(lines.line, request.method, model=request.model.id)
        return hosted.write_lines(batches, out, line, hosted.ROLES)

    # ---- the job

    def upload(self, file: api.DataFile) -> api.RemoteFile:
        """A file named by its content's hash; one of that name and size is the same file."""
        return files.bring(self.clients, file)

    def submit(self, request: api.Request, *, key: str) -> api.Job:
        """One POST. The job's suffix is made of the key, by which `find` finds it."""
        if request.training is None:
            raise api.Rejected("there is no training file")
        client = self.clients.sync()
        try:
            with calling():  # nothing is made by asking for the model's limits
                limits = client.fine_tuning.model_limits(model_name=request.model.id)
        except api.Ambiguous as fault:
            raise api.Transient(fault.message, fault.hint) from fault
        wanted = options.arguments(request.method, request.method_options, request.hyperparameters)
        try:
            with calling():
                made = client.fine_tuning.create(
                    training_file=request.training.id,
                    validation_file=request.validation.id if request.validation else None,
                    model=request.model.id,
                    model_limits=limits,
                    suffix=hosted.name_of(key),
                    **wanted,
                )
        except (ValueError, AttributeError, TypeError) as fault:  # the SDK compares with the model's limits itself
            raise api.Rejected(f"not what Together takes: {fault}", "change `hyperparameters`") from fault
        if not getattr(made, "id", None):
            raise hosted.unreadable(made)
        return _job(made.id, made.created_at, request.model)

    def find(self, request: api.Request, *, key: str) -> Sequence[api.Job]:
        """Jobs with the key's suffix, which covers the data too, oldest first.

        Of whichever file: two runs that began at once have brought the same one there twice."""
        with calling():
            listed = self.clients.sync().fine_tuning.list().data
        if listed is None:
            raise hosted.unreadable("a list of jobs without data")
        ours = [one for one in listed if one.suffix == hosted.name_of(key)]
        return sorted((_job(one.id, one.created_at, request.model) for one in ours), key=lambda job: job.created_at)

    def job(self, request: api.Request, id: str) -> api.Job:
        """The job of that id, whoever made it."""
        said = self._get(id)
        if said.model and said.model != request.model.id:
            raise api.Rejected(f"job {id} tunes {said.model}", f"the spec says {request.model.id}")
        return _job(said.id, said.created_at, request.model)

    def poll(self, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        """The job's status, the new lines of its log, and the metrics that are new."""
        said = self._get(job.id)
        at = msgspec.json.decode(cursor, type=progress.Cursor) if cursor else progress.Cursor()
        raw = str(said.status or "")
        state = STATES.get(raw, api.JobState.UNKNOWN)
        ended = state.terminal
        logged, without_log = self.asides.read(job, "log", partial(self._log, job), ended=ended)
        measured, without = self.asides.read(job, "metrics", partial(self._metrics, job, at.step), ended=ended)
        told = list(progress.log(logged or []))[at.log :]
        measures = progress.metrics(measured or [], at, job.created_at)
        failed = state is api.JobState.FAILED
        reason = (
            next((event.message for event in reversed(logged or []) if event.type == "job_error"), "") if failed else ""
        )
        return api.JobUpdate(
            state=state,
            raw=raw,
            events=(*told, *measures, *without_log, *without),
            cursor=msgspec.json.encode(progress.told(at, len(told), measures)).decode(),
            model=_model(job, said) if state is api.JobState.SUCCEEDED else None,
            error=reason,
            hint=FAILED if failed else "",
            trained_tokens=said.token_count,
        )

    def cancel(self, job: api.Job) -> None:
        """Ask for it; a job that has ended, or is ending, is left alone."""
        jobs = self.clients.sync().fine_tuning
        hosted.cancel(calling, lambda: jobs.cancel(job.id), lambda: STATES.get(str(self._get(job.id).status)))

    def _log(self, job: api.Job) -> Sequence[Any]:
        with calling():
            return self.clients.sync().fine_tuning.list_events(job.id).data or []

    def _metrics(self, job: api.Job, step: int) -> Sequence[Any]:
        """From that step on."""
        with calling():
            return self.clients.sync().fine_tuning.list_metrics(job.id, global_step_from=step).metrics or []

    def _get(self, id: str) -> Any:
        with calling():
            said = self.clients.sync().fine_tuning.retrieve(id)
        if not getattr(said, "status", None):
            raise hosted.unreadable(said)
        return said


def _job(id: str, created: Any, model: api.ModelRef) -> api.Job:
    at = hosted.timestamp(created) if created else 0.0
    return api.Job(id=id, created_at=at, details={"model": msgspec.to_builtins(model)})


def _model(job: api.Job, said: Any) -> api.TunedModel | None:
    """None as long as Together does not name it: core asks again. Endpoints want the registry's id of it."""
    if not said.x_model_output_name:
        return None
    base = msgspec.convert(job.details["model"], api.ModelRef)
    known = {"job": job.id, "object": said.api_model_object_id, "revision": said.api_model_object_revision_id}
    return api.TunedModel(id=said.x_model_output_name, base=base, details={k: v for k, v in known.items() if v})
