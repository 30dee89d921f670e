"""The `vertex` provider: Cloud Storage for files, Vertex AI's tuning jobs, endpoints of tuned models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from ftspec import api, hosted
from ftspec_vertex import contents, options
from ftspec_vertex.chat import GeminiModel
from ftspec_vertex.google import Google, calling

if TYPE_CHECKING:
    import pyarrow as pa

INSTALL = "pip install ./plugins/ftspec-vertex"
LABEL = "ftspec"
LONGEST = 63
STATES = {
    "JOB_STATE_QUEUED": api.JobState.QUEUED,
    "JOB_STATE_PENDING": api.JobState.QUEUED,
    "JOB_STATE_RUNNING": api.JobState.RUNNING,
    "JOB_STATE_UPDATING": api.JobState.RUNNING,
    "JOB_STATE_PAUSED": api.JobState.PAUSED,
    "JOB_STATE_CANCELLING": api.JobState.CANCELLING,
    "JOB_STATE_SUCCEEDED": api.JobState.SUCCEEDED,
    "JOB_STATE_PARTIALLY_SUCCEEDED": api.JobState.SUCCEEDED,
    "JOB_STATE_FAILED": api.JobState.FAILED,
    "JOB_STATE_CANCELLED": api.JobState.CANCELLED,
    "JOB_STATE_EXPIRED": api.JobState.EXPIRED,
}
FAILED = "the job's page in Google's console says more; most often rows, or a bucket that the service may not read"


class VertexProvider:
    """Fine-tune Gemini models on Google Vertex AI; a tuned model answers from the endpoint that its job made."""

    submission: ClassVar[Literal["idempotent", "findable", "blind"]] = "findable"
    methods: ClassVar[Mapping[str, api.Method]] = {
        "sft": api.Method(
            options.Hyperparameters, options.Sft, images=contents.MOST_IMAGES, image_urls=contents.IMAGE_URLS
        ),
        "dpo": api.Method(hyperparameters=options.Hyperparameters, options=options.Dpo, data="preference"),
    }

    def __init__(
        self,
        *,
        project: Annotated[str, Meta(pattern="^[a-z0-9.:-]+$", description="Id of the Google Cloud project.")],
        gcs: Annotated[str, Meta(pattern=r"^gs://[^/]+(/.*)?$", description="Where files go: gs://bucket/prefix.")],
        location: Annotated[str, Meta(description="The region that tunes.", pattern="^[a-z0-9-]+$")] = "us-central1",
        access_token: Annotated[str, Meta(description="A token, as ${secret:NAME}; Google's search if left out.")] = "",
        concurrency: Annotated[int, Meta(ge=1, le=256, description="Calls in flight while asking.")] = 8,
        requests_per_minute: Annotated[int | None, Meta(description="Most calls a minute while asking.")] = None,
        timeout: Annotated[float, Meta(gt=0, le=60, description="Seconds to wait for an answer.")] = 30.0,
        base_url: Annotated[api.Plain, Meta(description="Another address of Vertex AI.")] = "",
        storage_url: Annotated[
            api.Plain, Meta(description="Where Cloud Storage is.")
        ] = "https://storage.googleapis.com",
    ) -> None:
        self.bucket, _, prefix = gcs.removeprefix("gs://").partition("/")
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        host = base_url.rstrip("/") or f"https://{location}-aiplatform.googleapis.com"
        self.parent = f"projects/{project}/locations/{location}"
        self.endpoint = f"{host}/{self.parent}"
        self.limits = api.RateLimits(concurrency=concurrency, requests_per_minute=requests_per_minute)
        self.google = Google(
            {
                "project": project,
                "location": location,
                "access_token": access_token,
                "timeout": timeout,
                "base_url": base_url.rstrip("/"),
                "storage_url": storage_url.rstrip("/"),
            }
        )

    def attach(self, home: Path) -> None:
        """Nothing is kept on this machine."""

    # ---- before the job

    def problems(self, request: api.Request) -> Iterator[api.Problem]:
        """Models are named with their version."""
        if request.model.revision:
            yield api.Problem(message="Vertex AI's models have no revision", hint="remove it", path=("model",))

    def fingerprint(self, model: api.ModelRef) -> str:
        """Google tells none."""
        return ""

    def estimate(self, request: api.Request, size: api.Size) -> api.Estimate:
        """Vertex AI chooses the batch; costs come from the price table."""
        return api.Estimate(basis="Vertex AI says neither time nor steps beforehand")

    def data_limits(self, request: api.Request) -> api.Limits:
        """What Google's pages say of tuning the Gemini 2.5 family; of others nothing is known here.

        Of pairs for validation its page says "5000 examples or 30 %", which is no number."""
        if not request.model.id.startswith("gemini-2.5"):
            return api.Limits()
        if request.method == "dpo":
            page = "https://docs.cloud.google.com/vertex-ai/generative-ai/docs/models/gemini-preference-tuning"
            return api.Limits(
                max_examples=10_000_000,
                file_bytes=1_000_000_000,
                row_tokens=131_072,
                source=f"{page}, as of 2026-11-28",
            )
        return api.Limits(
            max_examples=1_000_000,
            max_validation_examples=5_000,
            file_bytes=1_000_000_000,
            row_tokens=131_072,
            source="Google's page about supervised fine-tuning of Gemini, as of 2026-11",
        )

    def write(self, request: api.Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> api.Written:
        """JSON lines of `contents`, with `completions` for preference pairs."""
        return hosted.write_lines(batches, out, lambda example: contents.line(request.method, example))

    # ---- the job

    def upload(self, file: api.DataFile) -> api.RemoteFile:
        """An object named by the content's hash; one of that name and size is the same file."""
        name = f"{self.prefix}{hosted.PREFIX}data/{file.sha256}-{file.purpose}.jsonl"
        if self.google.size(self.bucket, name) != file.bytes:
            self.google.put(self.bucket, name, Path(file.path))
        return api.RemoteFile(id=f"gs://{self.bucket}/{name}", sha256=file.sha256, bytes=file.bytes)

    def submit(self, request: api.Request, *, key: str) -> api.Job:
        """One POST. A label made of the key is how `find` finds the job."""
        if request.training is None:
            raise api.Rejected("there is no training file")
        from google.genai import types

        wanted = options.config(request.method, request.method_options, request.hyperparameters)
        wanted |= {"tuned_model_display_name": hosted.name_of(key), "labels": {LABEL: key[:LONGEST]}}
        if request.validation:
            wanted["validation_dataset"] = {"gcs_uri": request.validation.id}
        config = types.CreateTuningJobConfig.model_validate(wanted)
        client = self.google.genai()
        with calling():
            dataset = types.TuningDataset(gcs_uri=request.training.id)
            made = client.tunings.tune(base_model=request.model.id, training_dataset=dataset, config=config)
        if not made.name:
            raise hosted.unreadable("a job without a name")
        return _job(made, request.model)

    def find(self, request: api.Request, *, key: str) -> Sequence[api.Job]:
        """Jobs with the key's label, oldest first; filtered here too, should the service not."""
        wanted = key[:LONGEST]
        found = [one for one in self._listed(f'labels.{LABEL}="{wanted}"') if (one.labels or {}).get(LABEL) == wanted]
        return sorted((_job(one, request.model) for one in found), key=lambda job: job.created_at)

    def job(self, request: api.Request, id: str) -> api.Job:
        """The job of that name or number, whoever made it."""
        said = self._get(id if id.startswith("projects/") else f"{self.parent}/tuningJobs/{id}")
        if said.base_model and said.base_model.rpartition("/")[2] != request.model.id.rpartition("/")[2]:
            raise api.Rejected(f"job {id} tunes {said.base_model}", f"the spec says {request.model.id}")
        return _job(said, request.model)

    def poll(self, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        """The job's state. Vertex AI gives losses to its own experiments only; a change of state is an event."""
        said = self._get(job.id)
        raw = _value(said.state)
        state = STATES.get(raw, api.JobState.UNKNOWN)
        at = (said.update_time or said.create_time).timestamp() if said.update_time or said.create_time else 0.0
        told = (cursor or "").split(",")
        event = api.TrainingEvent(id=raw, at=at, message=raw.removeprefix("JOB_STATE_").lower())
        failed = state in {api.JobState.FAILED, api.JobState.EXPIRED}
        stats = said.tuning_data_stats and said.tuning_data_stats.supervised_tuning_data_stats
        return api.JobUpdate(
            state=state,
            raw=raw,
            events=() if raw in told else (event,),
            cursor=",".join(filter(None, dict.fromkeys([*told, raw]))),
            model=_model(job, said) if state is api.JobState.SUCCEEDED else None,
            error=str((said.error and said.error.message) or "") if failed else "",
            hint=FAILED if failed else "",
            trained_tokens=int(stats.total_billable_token_count)
            if stats and stats.total_billable_token_count
            else None,
        )

    def cancel(self, job: api.Job) -> None:
        """Ask for it; a job that has ended, or is ending, is left alone."""
        jobs = self.google.genai().tunings
        hosted.cancel(calling, lambda: jobs.cancel(name=job.id), lambda: STATES.get(_value(self._get(job.id).state)))

    # ---- the model

    @contextmanager
    def serve(self, model: api.ModelRef | api.TunedModel) -> Iterator[api.RemoteModel]:
        """The base model by its name, a tuned one by the endpoint that its job made, which costs nothing idle."""
        yield GeminiModel(self.google, model.id, self.limits)

    # ---- what lies there

    def remote_objects(self) -> Iterator[api.RemoteObject]:
        """Objects under our prefix, and tuned models of jobs with our label."""
        folder, page = f"{self.prefix}{hosted.PREFIX}data/", ""
        while True:
            query = {"prefix": folder, **({"pageToken": page} if page else {})}
            found = self.google.storage("GET", f"/storage/v1/b/{self.bucket}/o", params=query) or {}
            for one in found.get("items", []):
                name = one["name"].rpartition("/")[2]
                sha256 = name.partition("-")[0]
                yield api.RemoteObject(
                    kind="file",
                    id=f"gs://{self.bucket}/{one['name']}",
                    name=name,
                    bytes=int(one["size"]),
                    sha256=sha256,
                )
            page = found.get("nextPageToken", "")
            if not page:
                break
        for one in self._listed(f"labels.{LABEL}:*"):
            if LABEL in (one.labels or {}) and one.tuned_model and one.tuned_model.model:
                job = _job(one, api.ModelRef(id=""))
                name, at = one.tuned_model_display_name or "", job.created_at
                yield api.RemoteObject(kind="model", id=one.tuned_model.model, name=name, created_at=at, job=job.id)

    def delete(self, remote: api.RemoteObject) -> None:
        """Delete it; one that is gone is left alone."""
        if remote.kind == "file":
            name = quote(remote.id.split("/", 3)[3], safe="")
            self.google.storage("DELETE", f"/storage/v1/b/{self.bucket}/o/{name}")
            return
        client = self.google.genai()
        with suppress(api.NotFound), calling():
            client.models.delete(model=remote.id)

    # ---- private

    def _get(self, name: str) -> Any:
        client = self.google.genai()
        with calling():
            said = client.tunings.get(name=name)
        if not said.name or said.state is None:
            raise hosted.unreadable("a job without a name or state")
        return said

    def _listed(self, filter: str) -> list[Any]:
        client = self.google.genai()
        with calling():
            return list(client.tunings.list(config={"filter": filter}))


def _value(state: Any) -> str:
    return str(getattr(state, "value", state))


def _job(said: Any, model: api.ModelRef) -> api.Job:
    at = said.create_time.timestamp() if said.create_time else 0.0
    return api.Job(id=said.name, created_at=at, details={"model": msgspec.to_builtins(model)})


def _model(job: api.Job, said: Any) -> api.TunedModel | None:
    """None as long as its endpoint is not named: core asks again."""
    if not said.tuned_model or not said.tuned_model.endpoint:
        return None
    base = msgspec.convert(job.details["model"], api.ModelRef)
    return api.TunedModel(
        id=said.tuned_model.endpoint, base=base, details={"job": job.id, "model": said.tuned_model.model}
    )
