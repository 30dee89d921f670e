"""Jobs in the wire shape: what is sent to make one, how one is found again, and what its state means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ftspec import api, hosted
from ftspec_openai import calls, faults
from ftspec_openai.calls import calling, listed, whole
from ftspec_openai.presets import Preset

if TYPE_CHECKING:
    import openai

KEY = "ftspec_key"
"""Where in a job's metadata our key stands."""
METHODS = {"sft": "supervised", "dpo": "dpo", "reinforcement": "reinforcement"}
PAGE = 100

STATES = {
    "validating_files": api.JobState.VALIDATING,
    "queued": api.JobState.QUEUED,
    "running": api.JobState.RUNNING,
    "pausing": api.JobState.RUNNING,
    "paused": api.JobState.PAUSED,
    "resuming": api.JobState.RUNNING,
    "cancelling": api.JobState.CANCELLING,
    "succeeded": api.JobState.SUCCEEDED,
    "failed": api.JobState.FAILED,
    "cancelled": api.JobState.CANCELLED,
    "canceled": api.JobState.CANCELLED,
}
"""What servers of this shape say. Anything else is UNKNOWN, which is not an end."""


def state_of(raw: str) -> api.JobState:
    return STATES.get(raw.lower(), api.JobState.UNKNOWN)


class Jobs:
    """The jobs at one server.

    Args:
        extra: fields of the server's own that go into the body of a new job.
        suffix: part of the tuned model's name, where the server takes one and it is not needed for the key.
    """

    def __init__(
        self, client: openai.OpenAI, preset: Preset, *, extra: Mapping[str, Any] | None = None, suffix: str = ""
    ) -> None:
        self.client, self.preset, self.extra, self.suffix = client, preset, dict(extra or {}), suffix

    def make(self, request: api.Request, key: str) -> api.Job:
        """Make the job: one attempt."""
        with calling("make the job"):
            answer = self.client.fine_tuning.jobs.create(**self.body(request, key), timeout=calls.SUBMIT)
        return self._job(whole(answer, "make the job", "status"), request)

    def body(self, request: api.Request, key: str) -> dict[str, Any]:
        """What is sent."""
        if request.training is None:
            raise api.Rejected("there is no training file")
        body: dict[str, Any] = {
            "model": request.model.id,
            "training_file": request.training.id,
            "method": method_of(request, self.preset),
        }
        if request.validation:
            body["validation_file"] = request.validation.id
        seed = request.hyperparameters.get("seed")
        if seed is not None:
            body["seed"] = seed
        suffix = hosted.name_of(key) if self.preset.key == "suffix" else self.suffix
        if suffix and self.preset.suffix:
            body["suffix"] = suffix
        if self.preset.key == "metadata":
            body["metadata"] = {KEY: key}
        if self.extra:
            body["extra_body"] = self.extra
        return body

    def found(self, request: api.Request, key: str) -> list[api.Job]:
        """Jobs with the key, oldest first; every page of the server's list is looked at."""
        with_key = [job for job in self.all(key) if self._key(job) in {key, hosted.name_of(key)}]
        with_key.sort(key=lambda job: (calls.made_at(job), job.id))
        return [self._job(job, request) for job in with_key]

    def all(self, key: str = "") -> Iterator[Any]:
        """Every job, or those with the key where the server can tell them apart (it may give others too)."""
        what = "list the jobs"
        narrowed = {"metadata": {KEY: key}} if key and self.preset.filters else {}
        with calling(what):
            page = self.client.fine_tuning.jobs.list(limit=PAGE, **narrowed)  # type: ignore[arg-type]
        for job in listed(page, what):
            yield whole(job, what)

    def named(self, request: api.Request, identity: str) -> api.Job:
        """The job of that id, as `make` would have returned it. Raises Rejected for one of another base model."""
        job = self.look(identity)
        if not str(getattr(job, "model", "")).startswith(request.model.id):
            raise api.Rejected(f"job {identity} tunes {job.model}, not {request.model.id}", "take another job")
        return self._job(job, request)

    def look(self, identity: str) -> Any:
        with calling("look at the job"):
            answer = self.client.fine_tuning.jobs.retrieve(identity)
        return whole(answer, "look at the job", "status")

    def cancel(self, identity: str) -> None:
        self._change("cancel the job", identity, self.client.fine_tuning.jobs.cancel, {"cancelling"})

    def pause(self, identity: str) -> None:
        self._change("pause the job", identity, self.client.fine_tuning.jobs.pause, {"pausing", "paused"})

    def resume(self, identity: str) -> None:
        self._change("resume the job", identity, self.client.fine_tuning.jobs.resume, {"running", "queued", "resuming"})

    def _change(self, what: str, identity: str, call: Any, done: set[str]) -> None:
        """Ask for it; a job that has ended, or where it has happened already, refuses and is left alone."""
        try:
            with calling(what):
                call(identity)
        except api.Rejected:
            status = self.look(identity).status
            if not state_of(status).terminal and status.lower() not in done:
                raise

    def ours(self, job: Any) -> bool:
        """Whether ftspec made it."""
        key = self._key(job)
        return key.startswith(hosted.PREFIX) if self.preset.key == "suffix" else bool(key)

    def _job(self, job: Any, request: api.Request) -> api.Job:
        return api.Job(id=job.id, created_at=calls.made_at(job), details={"model": request.model.id})

    def _key(self, job: Any) -> str:
        if self.preset.key == "suffix":
            return str(getattr(job, "suffix", None) or (getattr(job, "model_extra", None) or {}).get("suffix") or "")
        metadata = getattr(job, "metadata", None)
        return str(metadata.get(KEY, "")) if isinstance(metadata, Mapping) else ""


def method_of(request: api.Request, preset: Preset) -> dict[str, Any]:
    """The `method` of a new job: its type, hyperparameters that were not left to the service, and its options."""
    name = METHODS[request.method]
    options = {key: value for key, value in request.method_options.items() if value is not None}
    beta = {"beta": options.pop("beta")} if "beta" in options else {}
    wanted = {key: value for key, value in (request.hyperparameters | beta).items() if key != "seed"}
    inner = {**options, "hyperparameters": _wire(wanted, preset)}
    if "function" in inner:
        inner["grader"] = {"type": "lambda", "lambda": {"function": inner.pop("function")}}
    return {"type": name, name: inner}


def _wire(hyperparameters: Mapping[str, Any], preset: Preset) -> dict[str, Any]:
    """Hyperparameters in the server's words; those that are left to it are left out."""
    lora = hyperparameters.get("lora")
    flat = dict(hyperparameters)
    if isinstance(lora, Mapping):
        flat |= {**lora, "lora": True}
    left = {"auto", "default", None}
    return {
        preset.wire.get(name, name): value
        for name, value in flat.items()
        if not (isinstance(value, str | None) and value in left)
    }


def ending_of(job: Any, state: api.JobState) -> tuple[str, str]:
    """(error, hint) of a job that has ended without a model."""
    error = getattr(job, "error", None)
    code, text = (str(getattr(error, name, None) or "") for name in ("code", "message"))
    if state is not api.JobState.FAILED:
        return "", ""
    said = f"{code}: {text}" if code and text else code or text
    return said[:500], faults.of_job(code, text)
