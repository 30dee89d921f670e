"""One tuning job from file to model: upload, submit (ftspec.tuning.submission), follow, result.

Everything that was learned is durable before the next step relies on it, so that a run may be killed between any two
lines, and the next one goes on from there: a file is not uploaded again, a job not made again, and of a finished job
the provider is not even asked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ftspec.asking.patience import Patience
from ftspec.common.errors import FtspecError, JobFailed, NotFound, ProviderError, Rejected, Transient
from ftspec.common.figures import duration
from ftspec.common.jobs import DataFile, Job, JobState, RemoteFile, Request, TunedModel
from ftspec.common.progress import Progress
from ftspec.common.references import mask
from ftspec.contracts.abilities import SupportsAdoption
from ftspec.contracts.provider import Provider
from ftspec.files import ondisk
from ftspec.state.journal import Journal
from ftspec.state.store import Store
from ftspec.tuning.claims import Register
from ftspec.tuning.following import Follow, Following, Result, chosen, ended
from ftspec.tuning.submission import Submission, Times
from ftspec.tuning.uploads import Uploads

AGAIN = "`ftspec run --again tuning` makes a new job (and a hosted provider may charge for it)"


def tune(
    provider: Provider,
    request: Request,
    files: Sequence[DataFile],
    *,
    store: Store,
    journal: Journal,
    key: str,
    progress: Progress,
    resubmit: bool = False,
    adopt: str = "",
    follow: Follow | None = None,
    times: Times | None = None,
) -> TunedModel:
    """The model that the key's job makes, by doing whatever has not been done yet.

    Args:
        request: without files; `files` are uploaded and filled in here.
        key: names the job in the store and at the provider: the digest of the plan's tuning step.
        resubmit: a person has decided to submit again though an earlier attempt may have made a job.
        adopt: id of a job that a person has found at the provider and knows to be this one.

    Raises:
        JobFailed: it ended without a model. Rejected: the provider said no. Ambiguous: a person has to decide.
        StillRunning: it goes on without us. Transient: the provider could not be reached for too long.
    """
    follow = follow or Follow()
    result = ended(store, key)
    tuning = Tuning(provider, store, journal, key, progress)
    if adopt:
        tuning.adopted(request, adopt, follow)
    if result is None:
        try:
            job = Register(store, key).job()
            if job is None:
                job = tuning.made(request, files, resubmit, follow, times or Times())
            else:
                tuning.say_who_submitted(job)
            result = tuning.followed(job, request, follow)
        except KeyboardInterrupt:
            tuning.say_what_goes_on()
            raise
    model = chosen(result, follow.checkpoint)
    if model is None:
        raise failure(result)
    return model


def failure(result: Result) -> JobFailed:
    """Why a job that has ended has no model, and what to do. Who cancels one knows why."""
    reason = result.error or ("" if result.state is JobState.CANCELLED else "no reason given")
    said = f"job {result.job.id} {result.raw or result.state}"
    return JobFailed(f"{said}: {reason}" if reason else said, result.hint or AGAIN)


class Tuning:
    """The three things to do about a job; each is durable when it returns."""

    def __init__(self, provider: Provider, store: Store, journal: Journal, key: str, progress: Progress) -> None:
        self.provider = provider
        self.store = store
        self.journal = journal
        self.key = key
        self.progress = progress
        self.uploads = Uploads(store, provider.endpoint)

    def adopted(self, request: Request, name: str, follow: Follow) -> None:
        """Make the job of this id the key's own, if the provider knows it and there is no other."""
        register, result = Register(self.store, self.key), ended(self.store, self.key)
        known = result.job if result else register.job()
        if known is None:
            known = register.adopt(self._found(request, name, follow)).job
            self.journal.append("job_adopted", job=name)
        if known is None or known.id != name:
            raise FtspecError(
                f"job {name} cannot be adopted: the job of this spec is {known.id if known else 'unknown'}",
                "see `ftspec status`; a changed spec, or `--again tuning`, has a job of its own",
            )

    def _found(self, request: Request, name: str, follow: Follow) -> Job:
        """The job of this id, if the provider knows it."""
        provider = self.provider
        if not isinstance(provider, SupportsAdoption):
            raise FtspecError(
                "this provider cannot be told the id of a job", "`ftspec run` looks for the job by itself"
            )
        patience = Patience(follow.patience, first=follow.first, longest=follow.longest)
        return patience.retry(lambda: provider.job(request, name), self.progress)

    def made(self, request: Request, files: Sequence[DataFile], resubmit: bool, follow: Follow, times: Times) -> Job:
        """The job of the request, whoever makes it. Files that were there and are gone are brought there once more."""
        known = any(self.uploads.get(file) for file in files)
        try:
            return self.submitted(self.uploaded(request, files, follow), files, resubmit, times)
        except NotFound as error:
            if not known:
                raise
            self.progress.note(f"{mask(error.message)}: the files are brought there once more")
        return self.submitted(self.uploaded(request, files, follow), files, False, times)

    def uploaded(self, request: Request, files: Sequence[DataFile], follow: Follow) -> Request:
        """The request with its files at the provider."""
        remote = {}
        for file in files:
            held = self.uploads.get(file)
            if held is None:
                self.progress.phase(f"uploading {file.purpose} file", total=file.bytes, unit="B")
                ondisk.check(Path(file.path), file.sha256)  # nobody else may notice what is trained on then
                held = self._upload(file, follow)
                self.uploads.put(file, held)
                self.journal.append("file_uploaded", purpose=file.purpose, sha256=file.sha256, id=held.id)
            remote[file.purpose] = held
        return msgspec.structs.replace(request, training=remote.get("training"), validation=remote.get("validation"))

    def submitted(self, request: Request, files: Sequence[DataFile], resubmit: bool, times: Times) -> Job:
        """The job of the request, whoever makes it."""
        self.progress.phase("submitting")
        register = Register(self.store, self.key)
        try:
            return Submission(
                self.provider, request, register, journal=self.journal, progress=self.progress, times=times
            ).job(resubmit=resubmit)
        except Rejected:
            # A file that has expired there is a reason to say no: the next run looks for it anew.
            for file in files:
                self.uploads.forget(file)
            raise

    def followed(self, job: Job, request: Request, follow: Follow) -> Result:
        """How the job ended."""
        wanted = request.hyperparameters
        try:
            result = Following(self.provider, job, self.store, self.key, self.progress, follow, wanted).result()
        except JobFailed:
            raise  # nothing goes on
        except NotFound as error:
            hint = f"{error.hint}; where it was removed there, {AGAIN}" if error.hint else AGAIN
            raise JobFailed(f"job {job.id} is not there: {error.message}", hint) from error
        except ProviderError:
            self.say_what_goes_on()
            raise
        self.journal.append("job_finished", job=job.id, state=result.state, error=result.error)
        return result

    def say_who_submitted(self, job: Job) -> None:
        """Of a job that this process did not make: who did, and when. It is not paid for again."""
        attempt = Register(self.store, self.key).latest()
        by = f" by {attempt.writer} {duration(max(time.time() - attempt.claimed, 0))} ago" if attempt else ""
        self.progress.note(f"following job {job.id}, which was submitted{by}")

    def say_what_goes_on(self) -> None:
        """What ^C leaves behind: a job, or a submission of which nothing has been heard."""
        register = Register(self.store, self.key)
        job, attempt = register.job(), register.latest()
        if job:
            self.progress.note(f"job {job.id} goes on; run again to follow it, `ftspec cancel` to stop it")
        elif attempt and not attempt.outcome:
            self.progress.note("a job may have been submitted already; run again to find out")

    def _upload(self, file: DataFile, follow: Follow) -> RemoteFile:
        """Upload with retries: a provider finds by its content hash what an earlier try brought there."""
        failing, waiting = (Patience(follow.patience, first=follow.first, longest=follow.longest) for _ in range(2))
        while True:
            held = failing.retry(lambda: self.provider.upload(file), self.progress)
            if not held.waiting:
                return held
            if waiting.fresh:
                self.progress.phase(f"waiting until the {file.purpose} file can be used")
            self.progress.advance(0, detail=f"{held.id}: {held.waiting}")
            waiting.wait(
                Transient(
                    f"the {file.purpose} file {held.id} cannot be used yet: the provider calls it '{held.waiting}'",
                    "it stays there: run the same command again later",
                )
            )
