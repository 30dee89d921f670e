"""The `local` provider: what ftspec asks of a tuner, answered with folders and child processes on this machine.

Nothing heavy is imported here: planning a spec, or following a job, loads no torch.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Literal

import msgspec
from msgspec import Meta

from ftspec import api
from ftspec_local import children, device, hub, models, planning, updates, writing
from ftspec_local.jobs import JobFolder, sync
from ftspec_local.options import Device, Dpo, DpoHyperparameters, Hyperparameters, Precision, Settings, Sft

if TYPE_CHECKING:
    import pyarrow as pa

    from ftspec_local.answering import AnsweringModel
    from ftspec_local.render import Renderer
    from ftspec_local.tokens import Tokenizer

SHAPES_DATA = ("max_length", "truncate")
AGAIN = "`ftspec run --again tuning` trains it again"
ELSEWHERE = f"run it on the machine that has it; where there is none, {AGAIN}"
GOES_ON = "then run the same command again: the job goes on from its last checkpoint"
IDLE, CONTINUED = "no worker is at it", "`ftspec run` goes on from its last checkpoint"
RESTARTS = 3  # by one runner; a job whose worker dies again and again is better looked at


class LocalProvider:
    """Fine-tune with transformers, peft and trl on this machine: CPU, one GPU, or Apple's MPS."""

    submission: ClassVar[Literal["idempotent", "findable", "blind"]] = "idempotent"
    methods: ClassVar[Mapping[str, api.Method]] = {
        "sft": api.Method(hyperparameters=Hyperparameters, options=Sft, shapes_data=SHAPES_DATA),
        "dpo": api.Method(hyperparameters=DpoHyperparameters, options=Dpo, shapes_data=SHAPES_DATA, data="preference"),
    }
    exports: ClassVar[tuple[str, ...]] = ("adapter", "merged")
    checkpoints: ClassVar[str] = (
        "of an adapter, every `checkpoint_steps` and whenever the validation loss is the lowest; of a full "
        "fine-tuning as many as `full_checkpoints` says"
    )

    def __init__(
        self,
        *,
        device: Annotated[Device, Meta(description="Where to train and answer; found by itself.")] = "auto",
        precision: Annotated[
            Precision, Meta(description="Number format; bf16 where the hardware has it, else fp32.")
        ] = "auto",
        threads: Annotated[int, Meta(ge=0, description="CPU threads; 0 means every core.")] = 0,
    ) -> None:
        self.settings = Settings(device=device, precision=precision, threads=threads)
        # A precision that is written makes another model, and other answers, so it is in their keys. What is left to
        # the machine is not: it may be another one by the next look.
        self.endpoint = "local" if precision == "auto" else f"local?precision={precision}"
        self.home = Path()
        self._restarts: dict[str, int] = {}
        self._seen: set[str] = set()  # jobs of which we know that a worker was there
        self._renderers: dict[Path, Renderer] = {}

    def attach(self, home: Path) -> None:
        """Keep files, jobs and logs under `home`."""
        self.home = home

    # --- before anything happens --------------------------------------------------------------------------------------

    def problems(self, request: api.Request) -> Iterator[api.Problem]:
        """Packages that are missing, a device or model that cannot be had, hyperparameters that do not go together."""
        return planning.problems(request, self.settings)

    def keeps_no_checkpoints(self, request: api.Request) -> api.Problem | None:
        """A full fine-tuning keeps none unless it is told how many: each is as large as the model."""
        return planning.keeps_no_checkpoints(request)

    def fingerprint(self, model: api.ModelRef) -> str:
        """The base model's content hash or commit. Raises FtspecError for a model that the hub does not give."""
        try:
            return models.fingerprint(model.id, model.revision)
        except hub.ModelError as fault:
            raise api.FtspecError(str(fault), fault.hint) from fault

    def estimate(self, request: api.Request, size: api.Size) -> api.Estimate:
        """Steps, exactly; seconds, roughly, from the model's size and this machine's cores."""
        return planning.estimate(request, size, self.settings)

    def data_limits(self, request: api.Request) -> api.Limits:
        """Rows may have `max_length` tokens, and no more than the model has positions for; longer ones may be cut."""
        return planning.data_limits(request)

    # --- data ---------------------------------------------------------------------------------------------------------

    def write(self, request: api.Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> api.Written:
        """Write JSON lines; every row is rendered once, so that one the model cannot take is found before training."""
        from ftspec.rows import examples

        writer = writing.Writer(self._renderer(request.model), request, out)
        for batch in batches:
            for example in examples(batch):
                writer.add(example)
        return writer.written()

    def render(self, request: api.Request, example: api.Example) -> list[api.Token]:
        """The exact tokens of an example, and which are trained on. Raises DataError."""
        return writing.tokens(self._renderer(request.model), request, example)

    def tokenizer(self, request: api.Request) -> Tokenizer | None:
        """The model's own tokenizer and chat template, where the model lies on this machine."""
        from ftspec_local.tokens import Tokenizer

        if models.described(request.model.id, request.model.revision) is None:
            return None
        return Tokenizer(self._renderer(request.model), request)

    def upload(self, file: api.DataFile) -> api.RemoteFile:
        """Keep the file under its hash, where it stays until the job has read it."""
        kept = self._file(file.sha256)
        if not kept.exists() or kept.stat().st_size != file.bytes:
            kept.parent.mkdir(parents=True, exist_ok=True)
            staging = kept.with_name(f".{kept.name}.{os.getpid()}")
            try:
                shutil.copyfile(file.path, staging)
                sync(staging)
                staging.replace(kept)
            except OSError:
                staging.unlink(missing_ok=True)
                raise
        return api.RemoteFile(id=file.sha256, sha256=file.sha256, bytes=file.bytes)

    # --- the job ------------------------------------------------------------------------------------------------------

    def submit(self, request: api.Request, *, key: str) -> api.Job:
        """Start the job, or go on with it: the same key is the same folder."""
        if request.training is None:
            raise api.Rejected("there is no training file")
        folder = self._job(key)
        if not folder.exists():
            if lacking := device.lacking(self.settings.device):
                raise api.Rejected(lacking, device.DeviceError.hint)
            folder.create(self._job_content(request, request.training))
        self._start(key, folder)
        return self._describe(key)

    def find(self, request: api.Request, *, key: str) -> Sequence[api.Job]:
        """The job with this key, if it was ever made."""
        return [self._describe(key)] if self._job(key).exists() else []

    def poll(self, job: api.Job, *, cursor: str | None) -> api.JobUpdate:
        """Read the job's files; a worker that has died is started again and goes on from its last checkpoint.

        Raises JobFailed where the machine does not let it."""
        folder = self._there(job)
        result = folder.result()  # before the events, so that a result never comes without the last of them
        if result is None and folder.is_running():
            self._seen.add(job.id)
        elif result is None:
            result = folder.result() or self._revive(job.id, folder)
        events = folder.events(after=int(cursor or 0))
        return updates.update(job, folder, result, events, cursor)

    def look(self, job: api.Job) -> api.JobUpdate:
        """Read the job's files, and leave a worker that has died alone."""
        folder = self._there(job)
        idle = not folder.is_running()  # before the result, which is what a worker leaves last
        update = updates.update(job, folder, folder.result(), folder.events(), None)
        if not idle or update.state.terminal:
            return update
        why = folder.halted(keep=True) or {"error": "", "hint": ""}
        hint = "; ".join(filter(None, [why["hint"], CONTINUED]))
        return msgspec.structs.replace(update, state=api.JobState.PAUSED, raw=IDLE, error=why["error"], hint=hint)

    def cancel(self, job: api.Job) -> None:
        """Ask the worker to stop after its current step."""
        folder = self._job(job.id)
        if folder.exists() and folder.result() is None:
            folder.cancel()

    def stop(self, job: api.Job) -> None:
        """Ask the worker to end after its current step and keep the model."""
        folder = self._job(job.id)
        if folder.exists() and folder.result() is None:
            folder.stop()

    # --- the model afterwards -----------------------------------------------------------------------------------------

    @contextmanager
    def serve(self, model: api.ModelRef | api.TunedModel) -> Iterator[AnsweringModel]:
        """Put the model up in a process of its own."""
        from ftspec_local.answering import serving

        name = "tuned" if isinstance(model, api.TunedModel) else "base"
        log = self.home / "logs" / f"answering-{name}.log"
        with serving(self._where(model), msgspec.to_builtins(self.settings), log) as up:
            yield up

    def export(self, model: api.TunedModel, form: str, out: Path) -> None:
        """Write the adapter in peft's format, or merged weights that plain transformers loads."""
        where = self._where(model)
        if form == "adapter":
            if not where["adapter"]:
                raise api.ProviderError("this model was trained in full: it has no adapter", "export it as `merged`")
            shutil.copytree(where["adapter"], out, dirs_exist_ok=True)
            _name_base(out / "adapter_config.json", model.base)
            return
        job = json.dumps({"where": where, "settings": msgspec.to_builtins(self.settings)})
        done = subprocess.run(
            children.command("export", job, str(out)),
            env=children.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise api.ProviderError(f"the model cannot be exported: {reason}")

    # --- private ------------------------------------------------------------------------------------------------------

    def _job(self, key: str) -> JobFolder:
        return JobFolder(self.home.absolute() / "jobs" / key)

    def _there(self, job: api.Job) -> JobFolder:
        folder = self._job(job.id)
        if not folder.exists():
            # No end of the job: another machine that shares the state may be at work on it.
            raise api.JobFailed(f"the job's folder {folder.path} is not on this machine", ELSEWHERE)
        return folder

    def _file(self, sha256: str) -> Path:
        return self.home.absolute() / "files" / f"{sha256}.jsonl"

    def _renderer(self, model: api.ModelRef) -> Renderer:
        from ftspec_local.render import Renderer, RenderError

        folder = _base_folder(model, weights=False)
        if folder not in self._renderers:
            try:
                self._renderers[folder] = Renderer.from_folder(folder)
            except RenderError as fault:
                raise api.ProviderError(str(fault), fault.hint) from fault
        return self._renderers[folder]

    def _job_content(self, request: api.Request, training: api.RemoteFile) -> dict[str, Any]:
        threads = self.settings.threads or device.cores()  # fixed now: sums of floats depend on it
        for file in filter(None, (training, request.validation)):
            if not self._file(file.sha256).exists():
                raise api.NotFound(f"{self._file(file.sha256)} is not there any more", "run the same command again")
        return {
            "request": msgspec.to_builtins(request),
            "base": str(_base_folder(request.model)),
            "training": str(self._file(training.sha256)),
            "validation": str(self._file(request.validation.sha256)) if request.validation else None,
            "hyperparameters": request.hyperparameters,
            "method_options": request.method_options,
            "settings": {**msgspec.to_builtins(self.settings), "threads": threads},
        }

    def _describe(self, key: str) -> api.Job:
        folder = self._job(key)
        return api.Job(id=key, created_at=folder.created_at(), details={"folder": str(folder.path)})

    def _revive(self, key: str, folder: JobFolder) -> dict[str, Any] | None:
        """Start a new worker in place of one that has ended, unless that would not help, or did not before.

        What the machine refused before we came may be mended by now.
        """
        halted = folder.halted()
        if halted and key in self._seen:
            raise api.JobFailed(f"the job has stopped: {halted['error']}", f"{halted['hint']}, {GOES_ON}")
        self._restarts[key] = self._restarts.get(key, 0) + 1
        if self._restarts[key] > RESTARTS:
            raise api.JobFailed(
                f"the job has stopped: its worker died {RESTARTS + 1} times without a word, perhaps killed because "
                f"memory ran out (its log is {folder.path / 'worker.log'})",
                f"end what else runs here, or lower batch_size or max_length, {GOES_ON}",
            )
        self._start(key, folder)
        return folder.result()

    def _start(self, key: str, folder: JobFolder) -> None:
        """Have a worker at it, which uses the machine as the spec says by now: it may say `device: cpu` where there was
        no GPU. Threads that were chosen for the job stay, since sums of floats depend on their number."""
        threads = self.settings.threads or folder.job()["settings"]["threads"]
        folder.adjust({**msgspec.to_builtins(self.settings), "threads": threads})
        folder.start()
        self._seen.add(key)

    def _where(self, model: api.ModelRef | api.TunedModel) -> dict[str, str]:
        if isinstance(model, api.ModelRef):
            return {"folder": str(_base_folder(model)), "adapter": ""}
        folder = model.details["folder"]
        if not Path(folder).is_dir():
            raise api.ProviderError(f"the tuned model's folder {folder} is gone", AGAIN)
        if model.details["form"] == "full":
            return {"folder": folder, "adapter": ""}
        return {"folder": str(_base_folder(model.base)), "adapter": folder}


def _base_folder(model: api.ModelRef, *, weights: bool = True) -> Path:
    """The base model's folder, fetched where it is not here. Raises ProviderError."""
    try:
        return (models.ensure if weights else models.ensure_described)(model.id, model.revision)
    except hub.ModelError as fault:
        raise api.ProviderError(str(fault), fault.hint) from fault


def _name_base(config: Path, base: api.ModelRef) -> None:
    """peft notes the base's folder on this machine; whoever gets the adapter needs its public name."""
    content = json.loads(config.read_text(encoding="utf-8"))
    alias = models.ALIASES.get(base.id)
    content["base_model_name_or_path"] = alias.hub if alias else base.id
    config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
