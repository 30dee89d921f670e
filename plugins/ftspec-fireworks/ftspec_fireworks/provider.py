"""The `fireworks` provider: datasets, managed tuning jobs, deployments and chat of Fireworks AI."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

import msgspec
from msgspec import Meta

from ftspec import api, hosted
from ftspec_fireworks import files, lines, options, progress
from ftspec_fireworks.cleanup import Cleanup
from ftspec_fireworks.client import HINTS, URL, calling, classes, got
from ftspec_fireworks.serving import Serving

if TYPE_CHECKING:
    import pyarrow as pa

INSTALL = "pip install ./plugins/ftspec-fireworks"
STATES = {
    "JOB_STATE_CREATING": api.JobState.QUEUED,
    "JOB_STATE_PENDING": api.JobState.QUEUED,
    "JOB_STATE_RE_QUEUEING": api.JobState.QUEUED,
    "JOB_STATE_CREATING_INPUT_DATASET": api.JobState.VALIDATING,
    "JOB_STATE_VALIDATING": api.JobState.VALIDATING,
    "JOB_STATE_RUNNING": api.JobState.RUNNING,
    "JOB_STATE_IDLE": api.JobState.RUNNING,
    "JOB_STATE_WRITING_RESULTS": api.JobState.FINALIZING,
    "JOB_STATE_PAUSED": api.JobState.PAUSED,
    "JOB_STATE_CANCELLING": api.JobState.CANCELLING,
    "JOB_STATE_COMPLETED": api.JobState.SUCCEEDED,
    "JOB_STATE_EARLY_STOPPED": api.JobState.SUCCEEDED,
    "JOB_STATE_FAILED": api.JobState.FAILED,
    "JOB_STATE_CANCELLED": api.JobState.CANCELLED,
    "JOB_STATE_EXPIRED": api.JobState.EXPIRED,
    "JOB_STATE_DELETING": api.JobState.CANCELLED,
    "JOB_STATE_DELETING_CLEANING_UP": api.JobState.CANCELLED,
}
MOST_ROWS = 3_000_000
FAILED = "the job's page at https://app.fireworks.ai has its log; most often rows, or a model that cannot be tuned"


class FireworksProvider(Serving, Cleanup):
    """Fine-tune open models on Fireworks AI; a tuned model answers from a deployment."""

    submission: ClassVar[Literal["idempotent", "findable", "blind"]] = "idempotent"
    methods: ClassVar[Mapping[str, api.Method]] = {
        "sft": api.Method(options.SftHyperparameters, options.Sft, images=None, image_urls=lines.IMAGE_URLS),
        "dpo": api.Method(hyperparameters=options.Hyperparameters, options=options.Dpo, data="preference"),
    }

    def __init__(
        self,
        *,
        account: Annotated[str, Meta(min_length=1, description="Id of the account, as in accounts/ID.")],
        api_key: Annotated[str, Meta(description="The key, as ${secret:NAME}.")] = "${secret:FIREWORKS_API_KEY}",
        deployment_shape: Annotated[str, Meta(description="Hardware and precision of a deployment.")] = "default",
        concurrency: Annotated[int, Meta(ge=1, le=256, description="Calls in flight while asking.")] = 16,
        requests_per_minute: Annotated[int | None, Meta(description="Most calls a minute while asking.")] = None,
        timeout: Annotated[float, Meta(gt=0, le=60, description="Seconds to wait for an answer.")] = 30.0,
        base_url: Annotated[api.Plain, Meta(description="Another address of the service.")] = "",
    ) -> None:
        self.endpoint = f"{(base_url or URL).rstrip('/')}/accounts/{account}"
        self.deployment_shape = deployment_shape
        self.asides = hosted.Asides()
        self.limits = api.RateLimits(concurrency=concurrency, requests_per_minute=requests_per_minute)
        # Chat is beside the other calls, or, at Fireworks itself, at an address of its own.
        self.chat_path = "/v1/chat/completions" if base_url else f"{URL}/inference/v1/chat/completions"
        where = base_url.rstrip("/") or None
        self.clients = hosted.Clients(classes, api_key, timeout, account_id=account, base_url=where)

    def attach(self, home: Path) -> None:
        """Nothing is kept on this machine."""

    # ---- before the job

    def problems(self, request: api.Request) -> Iterator[api.Problem]:
        """A model's name has a form of its own here."""
        if request.model.revision:
            yield api.Problem(message="Fireworks' models have no revision", hint="remove it", path=("model",))
        if not request.model.id.startswith("accounts/"):
            hint = f"perhaps accounts/fireworks/models/{request.model.id.rpartition('/')[2].lower()}"
            message = f"'{request.model.id}' is no name of a model at Fireworks"
            yield api.Problem(message=message, hint=hint, path=("model",))

    @property
    def least_rows(self) -> int:
        """Fewest rows of a dataset, as its pages say, of sft and of dpo."""
        return 3

    def data_limits(self, request: api.Request) -> api.Limits:
        """Most rows of a dataset, which are the same for sft and dpo."""
        page = "fine-tuning-models" if request.method == "sft" else "dpo-fine-tuning"
        return api.Limits(
            max_examples=MOST_ROWS,
            max_validation_examples=MOST_ROWS,
            source=f"https://docs.fireworks.ai/fine-tuning/{page}, as of 2026-11-28",
        )

    def fingerprint(self, model: api.ModelRef) -> str:
        """Fireworks tells none."""
        return ""

    def estimate(self, request: api.Request, size: api.Size) -> api.Estimate:
        """Steps where epochs and batch are given; costs come from the price table."""
        wanted = request.hyperparameters
        if not (wanted.get("epochs") and wanted.get("batch_size")):
            return api.Estimate(basis="Fireworks says neither time nor steps beforehand")
        batch = wanted["batch_size"] * (wanted.get("gradient_accumulation") or 1)
        return api.Estimate(steps=math.ceil(size.rows / batch) * wanted["epochs"], basis="rows, batch size and epochs")

    def write(self, request: api.Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> api.Written:
        """JSON lines: conversations, or preference pairs."""
        return hosted.write_lines(batches, out, lambda example: lines.line(request.method, example), hosted.ROLES)

    # ---- the job

    def upload(self, file: api.DataFile) -> api.RemoteFile:
        """A dataset named by its content's hash."""
        return files.bring(self.clients, file)

    def submit(self, request: api.Request, *, key: str) -> api.Job:
        """One POST. The job's id is ours and made of the key, so that the same key twice makes one job."""
        if request.training is None:
            raise api.Rejected("there is no training file")
        try:
            with calling():
                made = self._create(request, request.training, hosted.name_of(key))
            if not getattr(made, "name", None):
                raise hosted.unreadable(made)
        except (api.Rejected, api.Ambiguous):
            # An id that is taken, in whatever words; and a lost answer may be looked up at once.
            with contextlib.suppress(api.ProviderError):
                if held := self.find(request, key=key):
                    return held[0]
            raise
        return _job(made, request)

    def find(self, request: api.Request, *, key: str) -> Sequence[api.Job]:
        """The job of the key's id."""
        found = got(self._jobs(request.method).get, hosted.name_of(key))
        return [_job(found, request)] if found else []

    def job(self, request: api.Request, id: str) -> api.Job:
        """The job of that id, whoever made it."""
        found = got(self._jobs(request.method).get, id.rpartition("/")[2])
        if found is None:
            raise api.Rejected(f"there is no {request.method} job {id}", "ids stand at https://app.fireworks.ai")
        base = found.base_model if request.method == "sft" else (found.training_config or found).base_model
        if base and base != request.model.id:
            raise api.Rejected(f"job {id} tunes {base}", f"the spec says {request.model.id}")
        return _job(found, request)

    def poll(self, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        """The job's state, how far it is, and what its metrics file says by now."""
        said = self._get(job)
        raw = str(said.state or "")
        state = STATES.get(raw, api.JobState.UNKNOWN)
        told = set((cursor or "").split(","))
        read = partial(self._metrics, job, said)
        measured, without = self.asides.read(job, "metrics", read, ended=state.terminal)
        events = [*progress.percent(said), *progress.metrics(measured or "", job.created_at), *without]
        news = tuple(event for event in events if event.id not in told)
        failed = state in {api.JobState.FAILED, api.JobState.EXPIRED}
        return api.JobUpdate(
            state=state,
            raw=raw,
            events=news,
            cursor=",".join(filter(None, [cursor or "", *(event.id for event in news)])),
            model=_model(job, said) if state is api.JobState.SUCCEEDED else None,
            error=str(said.status.message or said.status.code or "") if failed and said.status else "",
            hint=FAILED if failed else "",
        )

    def cancel(self, job: api.Job) -> None:
        """Ask for it; a job that has ended, or is ending, is left alone."""
        jobs = self._jobs(job.details["method"])
        hosted.cancel(calling, lambda: jobs.cancel(job.id, body={}), lambda: STATES.get(str(self._get(job).state)))

    # ---- private

    def _jobs(self, method: str) -> Any:
        client = self.clients.sync()
        return client.dpo_jobs if method == "dpo" else client.supervised_fine_tuning_jobs

    def _create(self, request: api.Request, training: api.RemoteFile, name: str) -> Any:
        wanted = {"base_model": request.model.id, **options.training(request.hyperparameters)}
        if request.method == "dpo":
            beta = msgspec.convert(request.method_options, options.Dpo).beta
            return self._jobs("dpo").create(
                dataset=training.id,
                dpo_job_id=name,
                training_config=wanted,
                loss_config={"method": "DPO", "dpo": {"beta": beta}},
            )
        if request.validation:
            wanted |= {"evaluation_dataset": request.validation.id, "eval_auto_carveout": False}
        if request.hyperparameters.get("early_stopping"):
            wanted["early_stop"] = True
        return self._jobs("sft").create(dataset=training.id, supervised_fine_tuning_job_id=name, **wanted)

    def _get(self, job: api.Job) -> Any:
        said = got(self._jobs(job.details["method"]).get, job.id)
        if said is None:
            raise api.NotFound(f"Fireworks does not know job {job.id}", "its page lists all: https://app.fireworks.ai")
        return said

    def _metrics(self, job: api.Job, said: Any) -> str:
        """The metrics file, "" before there is one."""
        import httpx

        with calling():
            url = getattr(said, "metrics_file_signed_url", None)
            if job.details["method"] == "dpo":
                url = self.clients.sync().dpo_jobs.get_metrics_file_endpoint(job.id).signed_url
            if not url:
                return ""
            answer = httpx.get(url, timeout=self.clients.timeout)
        if answer.status_code >= 500:
            raise hosted.error(answer.status_code, answer.text, HINTS)
        return answer.text if answer.status_code == 200 else ""


def _job(said: Any, request: api.Request) -> api.Job:
    details = {"model": msgspec.to_builtins(request.model), "method": request.method, "name": said.name}
    at = hosted.timestamp(said.create_time) if said.create_time else 0.0
    return api.Job(id=said.name.rpartition("/")[2], created_at=at, details=details)


def _model(job: api.Job, said: Any) -> api.TunedModel:
    """The model of a job has the job's id where it was given no other."""
    config = getattr(said, "training_config", None)
    named = getattr(said, "output_model", None) or getattr(config, "output_model", None) or job.id
    account = said.name.split("/")[1]
    name = named if named.startswith("accounts/") else f"accounts/{account}/models/{named}"
    return api.TunedModel(id=name, base=msgspec.convert(job.details["model"], api.ModelRef), details={"job": job.id})
