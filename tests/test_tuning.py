from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ftspec.builtin.simulated import COMPONENTS
from ftspec.common.errors import Ambiguous, FtspecError, JobFailed, NotFound, Rejected, StillRunning, Transient
from ftspec.common.jobs import (
    DataFile,
    Job,
    JobState,
    JobUpdate,
    ModelRef,
    RemoteFile,
    Request,
    TrainingEvent,
    TunedModel,
)
from ftspec.common.progress import Quiet
from ftspec.state.journal import WRITER, Journal, Segments
from ftspec.state.store import Store
from ftspec.tuning.claims import Outcome, Register
from ftspec.tuning.control import Status, cancel, status
from ftspec.tuning.following import Follow, history
from ftspec.tuning.submission import Times
from ftspec.tuning.tuning import tune

QUICK = Times(fresh=60.0, grace=0.6, patience=5.0)
PROCESS = Path(__file__).with_name("tuning_process.py")


class Heard(Quiet):
    def __init__(self) -> None:
        self.phases: list[str] = []
        self.details: list[str] = []
        self.notes: list[str] = []

    def phase(self, name: str, *, total: float | None = None, unit: str = "") -> None:
        self.phases.append(name)

    def advance(self, done: float, *, total: float | None = None, detail: str = "") -> None:
        self.details.append(detail)

    def note(self, message: str) -> None:
        self.notes.append(message)


def data_file(folder: Path, purpose: Any = "training", count: int = 20, word: str = "a") -> DataFile:
    path = folder / f"{purpose}-{word}.jsonl"
    said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": word}]
    path.write_text(f"{json.dumps({'messages': said})}\n" * count)
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return DataFile(purpose=purpose, path=str(path), sha256=sha256, bytes=len(data), rows=count)


class Bench:
    """One store and one service; a provider per run, as a new process would have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store.open(folder / "state")
        self.files: Sequence[DataFile] = [data_file(folder), data_file(folder, "validation", 4)]
        self.request = Request(
            model=ModelRef(id="tiny"),
            hyperparameters={"epochs": 2, "batch_size": 8, "learning_rate_multiplier": 1.0, "seed": 0},
        )
        self.key = "the-key"
        self.heard = Heard()

    def provider(self, **options: Any) -> Any:
        provider = COMPONENTS["simulated"].build({"seconds_per_step": 0.0, "idle": 5.0, "timeout": 0.3, **options})
        provider.attach(self.folder / "service")
        return provider

    def run(
        self, provider: Any = None, *, resubmit: bool = False, adopt: str = "", follow: Follow | None = None
    ) -> TunedModel:
        return tune(
            provider or self.provider(),
            self.request,
            self.files,
            store=self.store,
            journal=Journal(self.store, "run"),
            key=self.key,
            progress=self.heard,
            resubmit=resubmit,
            adopt=adopt,
            follow=follow or Follow(first=0.01, patience=5.0),
            times=QUICK,
        )

    @property
    def jobs(self) -> list[Any]:
        return self.look("jobs")

    def look(self, folder: str) -> list[Any]:
        """What the service has ever made, from its own books."""
        return [json.loads(path.read_text()) for path in (self.folder / "service" / folder).glob("*.json")]

    @property
    def calls(self) -> dict[str, int]:
        path = self.folder / "service/calls.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def kinds(self) -> list[str]:
        return [event.kind for event in Journal(self.store, "run").events()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    if found := bench.provider().client.server():
        os.kill(found["pid"], signal.SIGKILL)


# ---- one run


def test_from_file_to_model(bench: Bench) -> None:
    model = bench.run()
    assert model.base == ModelRef(id="tiny")
    assert len(bench.jobs) == 1
    assert bench.kinds() == ["file_uploaded", "file_uploaded", "job_submitted", "job_finished"]
    assert [event.step for event in history(bench.store, bench.key)] == [None, 1, 2, 3, 4, 5, 6]
    assert bench.heard.phases == ["uploading training file", "uploading validation file", "submitting", "tuning"]
    assert any(detail.startswith("loss ") for detail in bench.heard.details)


def test_a_second_run_asks_nobody(bench: Bench) -> None:
    model, calls = bench.run(), bench.calls
    written = bench.store.list("")
    assert bench.run() == model
    assert bench.calls == calls
    assert bench.store.list("") == written


def test_a_failed_job_stays_failed_without_asking(bench: Bench) -> None:
    provider = bench.provider(outcome="failed", fail_at_step=2)
    for _ in range(2):
        with pytest.raises(JobFailed, match="failed: told to fail") as caught:
            bench.run(provider)
        assert "--again tuning" in caught.value.hint
    assert bench.calls["poll"] <= 2
    assert len(bench.jobs) == 1


def test_other_data_uploads_only_what_is_new(bench: Bench) -> None:
    bench.run()
    bench.files = [data_file(bench.folder, word="b"), bench.files[1]]
    bench.key = "another-key"
    bench.run()
    assert len(bench.look("files")) == 3
    assert len(bench.jobs) == 2


def test_every_event_is_kept_once_however_often_it_comes(bench: Bench) -> None:
    hyperparameters = {**bench.request.hyperparameters, "epochs": 50, "batch_size": 1}
    bench.request = msgspec.structs.replace(bench.request, hyperparameters=hyperparameters)
    provider = bench.provider()
    poll = provider.poll
    provider.poll = lambda job, cursor: poll(job, cursor=cursor and str(max(0, int(cursor) - 30)))
    with pytest.raises(StillRunning):
        bench.run(bench.provider(seconds_per_step=0.0005), follow=Follow(wait=0.1, first=0.01))
    bench.run(provider)
    steps = [event.step for event in history(bench.store, bench.key)]
    assert steps == [None, *range(5, 1001, 5)]


def test_what_a_job_told_while_nobody_followed_it_is_kept(bench: Bench) -> None:
    """The first answer to whoever takes it up again holds nothing but what is known already."""
    hyperparameters = {**bench.request.hyperparameters, "epochs": 50, "batch_size": 1}
    bench.request = msgspec.structs.replace(bench.request, hyperparameters=hyperparameters)
    provider = bench.provider()
    poll = provider.poll
    running = {"state": JobState.RUNNING, "model": None}
    provider.poll = lambda job, cursor: msgspec.structs.replace(poll(job, cursor=cursor), **running)
    with pytest.raises(StillRunning):
        bench.run(provider, follow=Follow(detach=True))
    first = len(history(bench.store, bench.key))
    bench.run()
    steps = [event.step for event in history(bench.store, bench.key)]
    assert steps == [None, *range(5, 1001, 5)] and 1 < first < len(steps)


def test_odd_states_and_late_models_are_waited_for(bench: Bench) -> None:
    faults = [{"call": "poll", "kind": "odd_status", "times": 2}, {"call": "poll", "kind": "late_model", "times": 2}]
    assert bench.run(bench.provider(faults=faults)).id
    assert bench.calls["poll"] >= 1


# ---- leaving


def test_detached_and_taken_up_again(bench: Bench) -> None:
    provider = bench.provider(seconds_per_step=0.05)
    with pytest.raises(StillRunning) as caught:
        bench.run(provider, follow=Follow(detach=True))
    assert caught.value.exit_code == 5
    assert len(bench.jobs) == 1
    model = bench.run(provider)
    assert bench.run(follow=Follow(detach=True)) == model
    assert len(bench.jobs) == 1


def test_waiting_runs_out_in_time(bench: Bench) -> None:
    started = time.monotonic()
    with pytest.raises(StillRunning, match="goes on without us"):
        bench.run(bench.provider(seconds_per_step=60), follow=Follow(wait=0.3))
    assert time.monotonic() - started < 60  # the time of one step: it did not wait for the job
    assert status(bench.provider(), bench.store, bench.key).state is JobState.RUNNING


def test_a_job_without_a_sign_of_life_is_left(bench: Bench) -> None:
    with pytest.raises(StillRunning, match="no sign of life"):
        bench.run(bench.provider(seconds_per_step=60), follow=Follow(stall=0.2, first=0.01, longest=0.05))


def test_an_interrupt_leaves_the_job_running_and_says_so(bench: Bench) -> None:
    provider = bench.provider(seconds_per_step=60)

    def interrupt(job: Any, cursor: Any) -> None:
        raise KeyboardInterrupt

    provider.poll = interrupt
    with pytest.raises(KeyboardInterrupt):
        bench.run(provider)
    assert any("goes on" in note and "ftspec cancel" in note for note in bench.heard.notes)
    assert len(bench.jobs) == 1


@pytest.mark.parametrize("moment", ["before the call", "after the call"])
def test_an_interrupted_submission_says_what_may_go_on(bench: Bench, moment: str) -> None:
    provider = bench.provider(seconds_per_step=60)
    submit = provider.submit

    def interrupted(*given: Any, **named: Any) -> Any:
        if moment == "after the call":
            submit(*given, **named)
        raise KeyboardInterrupt

    provider.submit = interrupted
    with pytest.raises(KeyboardInterrupt):
        bench.run(provider)
    assert any("may have been submitted" in note for note in bench.heard.notes)


def test_the_live_figure_stays_the_loss_when_a_checkpoint_is_said_last(bench: Bench) -> None:
    loss = TrainingEvent(id="1", at=1.0, step=6, total_steps=6, metrics={"train_loss": 0.5})
    checkpoint = TrainingEvent(id="2", at=2.0, message="checkpoint at step 6")
    updates = iter(
        [
            JobUpdate(state=JobState.RUNNING, events=(TrainingEvent(id="0", at=0.0, message="job created"),)),
            JobUpdate(state=JobState.RUNNING, events=(loss, checkpoint)),
            JobUpdate(state=JobState.CANCELLED, events=(TrainingEvent(id="3", at=3.0, message="saved"),)),
            JobUpdate(state=JobState.CANCELLED),
        ]
    )
    provider = bench.provider()
    provider.poll = lambda job, cursor: next(updates)
    with pytest.raises(JobFailed):
        bench.run(provider)
    assert bench.heard.details == ["job created", "loss 0.500", "loss 0.500"]


def test_an_end_stays_one_where_the_next_answer_is_older(bench: Bench) -> None:
    """As replicas of a service give them, of which one lags behind."""
    job = TunedModel(id="m", base=bench.request.model)
    updates = iter(
        [
            JobUpdate(state=JobState.SUCCEEDED, model=job, events=(TrainingEvent(id="1", at=1.0, step=1),)),
            JobUpdate(state=JobState.RUNNING),
        ]
    )
    provider = bench.provider()
    provider.poll = lambda job, cursor: next(updates)
    assert bench.run(provider).id == "m"
    assert bench.run().id == "m"


def test_a_provider_out_of_reach_is_left_when_patience_ends(bench: Bench) -> None:
    provider = bench.provider(faults=[{"call": "poll", "kind": "500", "times": 1000}])
    with pytest.raises(Ambiguous, match="internal error"):
        bench.run(provider, follow=Follow(patience=0.3))
    assert bench.run().id
    assert len(bench.jobs) == 1


# ---- status and cancel


class Forgetful:
    """Tells the first page of its events only, whoever asks."""

    def poll(self, job: Job, *, cursor: str | None) -> JobUpdate:
        return JobUpdate(state=JobState.RUNNING, events=(TrainingEvent(id="1", at=1.0, step=1),))


def test_status_tells_the_latest_event_of_what_is_kept_and_what_is_said(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    Register(store, "key").claim(1)
    Register(store, "key").settle(1, Outcome(kind="job", job=Job(id="job-1")))
    assert status(Forgetful(), store, "key").last.step == 1
    Segments(store, "jobs/key").append([TrainingEvent(id="150", at=150.0, step=150)])
    assert status(Forgetful(), store, "key").last.step == 150


def test_status_from_nothing_to_the_end(bench: Bench) -> None:
    assert status(bench.provider(), bench.store, bench.key) == Status()
    elsewhere = Store.open(bench.folder / "elsewhere")
    Register(elsewhere, bench.key).claim(1)
    assert status(bench.provider(), elsewhere, bench.key) == Status(claimed=WRITER)
    with pytest.raises(StillRunning):
        bench.run(bench.provider(seconds_per_step=0.5), follow=Follow(wait=0.6, first=0.05))
    running = status(bench.provider(), bench.store, bench.key)
    assert running.state is JobState.RUNNING
    assert running.last is not None
    assert running.last.total_steps == 6
    model, calls = bench.run(), bench.calls
    ended = status(bench.provider(), bench.store, bench.key)
    assert (ended.state, ended.model, bench.calls) == (JobState.SUCCEEDED, model, calls)


class Telling:
    """Answers each poll with one thing."""

    def __init__(self, said: JobUpdate | Exception) -> None:
        self.said = said

    def poll(self, job: Job, *, cursor: str | None) -> JobUpdate:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def test_status_tells_all_that_is_known(tmp_path: Path) -> None:
    """Also of jobs that nobody uses, of what the provider advises, and where it cannot be asked."""
    store, job, orphan = Store.open(tmp_path), Job(id="job-1"), Job(id="job-0")
    register = Register(store, "key")
    register.claim(1)
    register.orphan(1, orphan)
    assert status(Telling(Transient("")), store, "key") == Status(claimed=WRITER, orphans=(orphan,))
    register.settle(1, Outcome(kind="abandoned"))
    assert status(Telling(Transient("")), store, "key") == Status(orphans=(orphan,))
    register.claim(2)
    register.settle(2, Outcome(kind="job", job=job))
    waits = JobUpdate(state=JobState.RUNNING, raw="paused", error="no quota", hint="ask for more")
    found = status(Telling(waits), store, "key")
    assert (found.job, found.orphans, found.last) == (job, (orphan,), None)
    assert (found.state, found.raw, found.error, found.hint) == (waits.state, "paused", "no quota", "ask for more")
    away = Transient("no answer", "look at your network")
    assert status(Telling(away), store, "key").last is None
    events = [TrainingEvent(id=str(step), at=100.0 - step, step=step) for step in (1, 2)]
    Segments(store, "jobs/key").append(events)
    assert status(Telling(away), store, "key") == Status(
        unknown="no answer", hint="look at your network", job=job, last=events[0], orphans=(orphan,)
    )


def test_cancel_as_often_as_you_like(bench: Bench) -> None:
    refused = Store.open(bench.folder / "refused")
    Register(refused, bench.key).claim(1)
    Register(refused, bench.key).settle(1, Outcome(kind="rejected"))
    for store in (bench.store, refused):
        with pytest.raises(FtspecError, match="no job has been submitted"):
            cancel(bench.provider(), store, bench.key, bench.request)
    with pytest.raises(StillRunning):
        bench.run(bench.provider(seconds_per_step=60), follow=Follow(detach=True))
    for _ in range(2):
        cancel(bench.provider(), bench.store, bench.key, bench.request)
    with pytest.raises(JobFailed, match="cancelled"):
        bench.run()
    calls = bench.calls
    assert cancel(bench.provider(), bench.store, bench.key, bench.request).id == bench.jobs[0]["id"]
    assert bench.calls == calls


def test_a_job_that_somebody_removed_needs_no_cancelling(bench: Bench) -> None:
    with pytest.raises(StillRunning):
        bench.run(bench.provider(seconds_per_step=60), follow=Follow(detach=True))
    provider = bench.provider()

    def removed(job: Job) -> None:
        raise NotFound("no such job", "check the model")

    provider.cancel = removed
    with pytest.raises(FtspecError, match="is not there: no such job") as told:
        cancel(provider, bench.store, bench.key, bench.request)
    assert told.value.hint == "where it was removed there, nothing is left to cancel"


def test_a_cancellation_is_asked_for_until_it_is_heard(bench: Bench) -> None:
    with pytest.raises(StillRunning):
        bench.run(bench.provider(seconds_per_step=60), follow=Follow(detach=True))
    faulty = bench.provider(faults=[{"call": "cancel", "kind": kind, "times": 1} for kind in ("429", "lost", "500")])
    dead = bench.provider(faults=[{"call": "cancel", "kind": "429", "times": 99}])
    with pytest.raises(Transient):
        cancel(dead, bench.store, bench.key, bench.request, patience=0.2)
    cancel(faulty, bench.store, bench.key, bench.request, patience=5.0)
    with pytest.raises(JobFailed, match="cancelled"):
        bench.run()


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (JobUpdate(state=JobState.CANCELLING), 1),
        (JobUpdate(state=JobState.CANCELLED), 1),
        (JobUpdate(state=JobState.RUNNING), 2),
        (Transient("no answer"), 2),
    ],
)
def test_a_cancellation_whose_answer_is_lost_is_asked_for_again_unless_it_was_heard(
    said: JobUpdate | Exception, asked: int, tmp_path: Path
) -> None:
    store, provider, heard = Store.open(tmp_path), Telling(said), []
    Register(store, "key").claim(1)
    Register(store, "key").settle(1, Outcome(kind="job", job=Job(id="job-1")))

    def lost(job: Job) -> None:
        heard.append(job)
        if len(heard) == 1:
            raise Ambiguous("reset")

    provider.cancel = lost
    assert cancel(provider, store, "key", Request(model=ModelRef(id="m"))) == Job(id="job-1")
    assert len(heard) == asked


def test_a_doubtful_job_is_looked_for_when_it_is_to_be_cancelled(bench: Bench) -> None:
    provider = bench.provider(submission="findable", seconds_per_step=60)
    Register(bench.store, bench.key).claim(1)
    with pytest.raises(FtspecError, match="the provider shows none"):
        cancel(provider, bench.store, bench.key, bench.request)
    remote = {file.purpose: provider.upload(file) for file in bench.files}
    job = provider.submit(msgspec.structs.replace(bench.request, **remote), key=bench.key)
    assert cancel(provider, bench.store, bench.key, bench.request) == job
    assert Register(bench.store, bench.key).job() == job


def test_a_doubtful_job_that_a_person_has_found_is_adopted(bench: Bench) -> None:
    lossy = bench.provider(submission="blind", faults=[{"call": "create", "kind": "lost", "times": 1}])
    with pytest.raises(Ambiguous, match="may or may not") as caught:
        bench.run(lossy)
    assert "--adopt" in caught.value.hint
    blind = bench.provider(submission="blind")
    with pytest.raises(Rejected):
        bench.run(blind, adopt="job-unknown")
    [job] = bench.jobs
    model = bench.run(blind, adopt=job["id"])
    assert bench.run(blind) == bench.run(blind, adopt=job["id"]) == model
    assert len(bench.jobs) == 1
    with pytest.raises(FtspecError, match="cannot be adopted: the job of this spec is"):
        bench.run(blind, adopt="another")


def test_a_job_is_adopted_where_the_state_is_gone(bench: Bench) -> None:
    model = bench.run()
    [job] = bench.jobs
    bench.store = Store.open(bench.folder / "fresh")
    calls = bench.calls
    assert bench.run(adopt=job["id"]) == model
    assert bench.calls["create"] == calls["create"]
    assert bench.kinds() == ["job_adopted", "job_finished"]


def test_a_file_that_cannot_be_used_yet_is_waited_for_and_shown(bench: Bench) -> None:
    provider, states = bench.provider(), ["uploaded", "processing"]
    upload = provider.upload

    def slow(file: DataFile) -> RemoteFile:
        return msgspec.structs.replace(upload(file), waiting=states.pop(0) if states else "")

    provider.upload = slow
    bench.run(provider)
    assert bench.heard.phases[:3] == [
        "uploading training file",
        "waiting until the training file can be used",
        "uploading validation file",
    ]
    assert [detail.partition(": ")[2] for detail in bench.heard.details[:2]] == ["uploaded", "processing"]
    assert len(bench.look("files")) == 2


def test_a_file_that_is_never_ready_stays_there_for_the_next_run(bench: Bench) -> None:
    provider = bench.provider()
    upload = provider.upload
    provider.upload = lambda file: msgspec.structs.replace(upload(file), waiting="uploaded")
    with pytest.raises(Transient, match="cannot be used yet: the provider calls it 'uploaded'"):
        bench.run(provider, follow=Follow(first=0.01, patience=0.1))
    assert bench.run().id
    assert (len(bench.look("files")), len(bench.jobs)) == (2, 1)


def test_what_is_known_of_a_job_is_told_when_the_provider_is_out_of_reach(bench: Bench) -> None:
    with pytest.raises(StillRunning):
        bench.run(bench.provider(seconds_per_step=60), follow=Follow(detach=True))
    found = status(bench.provider(faults=[{"call": "poll", "kind": "429", "times": 1}]), bench.store, bench.key)
    assert found.job == Register(bench.store, bench.key).job()
    assert (found.state, bool(found.unknown)) == (None, True)


def test_a_run_that_stops_following_says_that_the_job_goes_on(bench: Bench) -> None:
    dead = bench.provider(faults=[{"call": "poll", "kind": "429", "times": 99}])
    with pytest.raises(Transient):
        bench.run(dead, follow=Follow(first=0.01, patience=0.1))
    assert any("goes on; run again to follow it" in note for note in bench.heard.notes)
    assert bench.run().id


def test_a_rejection_looks_for_the_files_anew(bench: Bench) -> None:
    provider = bench.provider()
    provider.upload(bench.files[0])
    provider.upload(bench.files[1])
    expired = provider.upload

    def gone(file: DataFile) -> RemoteFile:
        return msgspec.structs.replace(expired(file), id="file-gone")

    provider.upload = gone
    with pytest.raises(Rejected, match="upload it first"):
        bench.run(provider)
    assert bench.run().id
    assert (len(bench.look("files")), len(bench.jobs)) == (2, 1)


def test_files_that_were_there_and_are_gone_are_brought_there_once_more(bench: Bench) -> None:
    """A register that others share, or that is older than what became of the files."""
    assert bench.run().id
    for held in (bench.folder / "service/files").iterdir():
        held.unlink()
    bench.key = "another-key"
    provider = bench.provider()
    submit = provider.submit

    def told(request: Request, *, key: str) -> Job:
        try:
            made: Job = submit(request, key=key)
        except Rejected as error:
            raise NotFound(error.message) from error
        return made

    provider.submit = told
    assert bench.run(provider).id
    assert (len(bench.look("files")), len(bench.jobs)) == (2, 2)
    assert any("upload it first" in note and "once more" in note for note in bench.heard.notes)


def test_what_is_not_there_is_looked_for_once_more_only_where_it_was_known(bench: Bench) -> None:
    provider = bench.provider()
    tries = []

    def told(request: Request, *, key: str) -> Job:
        tries.append(key)
        raise NotFound("no such model")

    provider.submit = told
    for _ in range(2):
        with pytest.raises(NotFound):
            bench.run(provider)
    assert len(tries) == 2


def test_of_a_job_that_somebody_removed_it_is_told_what_makes_another(bench: Bench) -> None:
    provider = bench.provider()

    def removed(job: Job, *, cursor: str | None) -> JobUpdate:
        raise NotFound("no such job", "check it")

    provider.poll = removed
    with pytest.raises(JobFailed, match="is not there: no such job") as told:
        bench.run(provider)
    assert told.value.hint.startswith("check it; where it was removed there, `ftspec run --again tuning`")
    assert not any("goes on" in note for note in bench.heard.notes)


def test_of_a_job_that_has_stopped_nobody_says_that_it_goes_on(bench: Bench) -> None:
    provider = bench.provider()

    def stopped(job: Job, *, cursor: str | None) -> JobUpdate:
        raise JobFailed("no room", "make some")

    provider.poll = stopped
    with pytest.raises(JobFailed, match="no room"):
        bench.run(provider)
    assert not any("goes on" in note for note in bench.heard.notes)
    assert bench.run().id  # it was not the end of it
    assert len(bench.jobs) == 1


# ---- faults


BEFORE = {"refused", "reset", "429"}
CALLS = [
    ("idempotent", "upload"),
    ("idempotent", "poll"),
    *((kind, "create") for kind in ("idempotent", "findable", "blind")),
]


@pytest.mark.parametrize(("submission", "call"), CALLS)
@pytest.mark.parametrize("kind", ["refused", "reset", "timeout", "429", "500", "broken", "lost"])
def test_a_fault_never_makes_a_second_job(bench: Bench, submission: str, kind: str, call: str) -> None:
    def provider() -> Any:
        return bench.provider(submission=submission, faults=[{"call": call, "kind": kind, "times": 1}])

    doubtful = call == "create" and kind not in {"refused", "429"}
    known = submission == "idempotent" or (submission == "findable" and kind not in BEFORE)
    if doubtful and not known:
        for _ in range(2):
            with pytest.raises(Ambiguous):
                bench.run(provider())
        assert len(bench.jobs) == (kind not in BEFORE)
    else:
        assert bench.run(provider()).id
        assert len(bench.jobs) == 1
    assert len(bench.look("files")) == 2


def test_a_long_rate_limit_is_sat_out(bench: Bench) -> None:
    assert bench.run(bench.provider(rate_limit=4)).id
    assert len(bench.jobs) == 1
    (note,) = (note for note in bench.heard.notes if "trying again" in note)
    assert note.endswith(": trying again for up to 5.0 s"), "nobody would know why nothing happens"


def test_refused_for_too_long(bench: Bench) -> None:
    provider = bench.provider(faults=[{"call": "upload", "kind": "refused", "times": 1000}])
    with pytest.raises(Transient, match="refused"):
        bench.run(provider, follow=Follow(patience=0.2))
    assert bench.jobs == []
    (note,) = bench.heard.notes
    assert "refused" in note
    assert note.endswith(": trying again for up to 0.2 s")


# ---- processes that are killed, stopped, and race


class Runners:
    """Processes that run `tune`, each order in a child of its own."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.opened: list[subprocess.Popen[str]] = []

    def start(self, number: int, *, runner: int = 0, **order: Any) -> None:
        while len(self.opened) <= runner:
            command = [sys.executable, str(PROCESS)]
            self.opened.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        options = {"seconds_per_step": 0.0, "idle": 20.0, **order.pop("options", {})}
        files = [msgspec.to_builtins(data_file(self.bench.folder, count=9, word=f"word{number}"))]
        order = {"seed": number, "files": files, "options": options, "times": {"fresh": 0.5, "grace": 0.6}, **order}
        order |= {"state": str(self.bench.folder / f"state-{number}"), "service": str(self.bench.folder / "service")}
        stdin = self.opened[runner].stdin
        assert stdin
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()

    def answer(self, runner: int = 0) -> dict[str, Any]:
        stdout = self.opened[runner].stdout
        assert stdout
        said: dict[str, Any] = json.loads(stdout.readline())
        return said

    def run(self, number: int, **order: Any) -> dict[str, Any]:
        self.start(number, **order)
        return self.answer()

    def child(self, runner: int, state: str) -> int:
        """The pid of the runner's child, as soon as the kernel says it is in that state."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            pid = self.opened[runner].pid
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == state:
                    return int(child)
            time.sleep(0.02)
        raise AssertionError(f"no child in state {state}")

    def jobs(self, number: int) -> int:
        return sum(job["hyperparameters"]["seed"] == number for job in self.bench.jobs)

    def close(self) -> None:
        for process in self.opened:
            assert process.stdin
            process.stdin.close()
            process.wait(60)


@pytest.fixture
def runners(bench: Bench) -> Iterator[Runners]:
    runners = Runners(bench)
    yield runners
    runners.close()


def test_a_run_killed_between_any_two_lines_goes_on_and_makes_one_job(runners: Runners) -> None:
    runners.run(1000)  # the service is up from here on
    lines = runners.run(0)["lines"]
    points = range(1, lines, lines // 24)
    for number, point in enumerate(points, 1):
        assert runners.run(number, kill_at=point) == {"killed": True}
        assert "model" in runners.run(number)
        assert runners.jobs(number) == 1
    assert len(points) >= 24
    assert len(runners.bench.look("files")) == 2 + len(points)


@pytest.mark.parametrize("submission", ["findable", "blind"])
def test_killed_without_idempotence_it_asks_rather_than_pays_twice(runners: Runners, submission: str) -> None:
    options = {"submission": submission}
    runners.run(1000, options=options)
    lines = runners.run(0, options=options)["lines"]
    asked = 0
    for number, point in enumerate(range(lines // 4, lines, lines // 12), 1):
        assert runners.run(number, options=options, kill_at=point) == {"killed": True}
        made = runners.jobs(number)
        said = runners.run(number, options=options)
        if "error" in said:
            asked += 1
            assert said["error"] == "Ambiguous"
            assert runners.jobs(number) == made
            assert "model" in runners.run(number, options=options, resubmit=True)
        assert runners.jobs(number) <= 1 or submission == "blind"
    assert asked


@pytest.mark.parametrize("submission", ["idempotent", "findable", "blind"])
def test_two_runs_at_once_make_one_job(runners: Runners, submission: str) -> None:
    for number in range(3):
        for runner in (0, 1):
            runners.start(number, runner=runner, options={"submission": submission})
        first, second = runners.answer(0), runners.answer(1)
        assert first["model"] == second["model"]
        assert runners.jobs(number) == 1


@pytest.mark.parametrize("submission", ["idempotent", "findable", "blind"])
@pytest.mark.parametrize("stop_in", ["claim", "submit"])
def test_one_stopped_beyond_the_grace_and_continued(runners: Runners, submission: str, stop_in: str) -> None:
    options = {"submission": submission}
    runners.start(1, stop_in=stop_in, options=options)
    stopped = runners.child(0, "T")
    time.sleep(0.7)
    runners.start(1, runner=1, options=options)
    other = runners.answer(1)
    if submission == "idempotent":
        assert "model" in other
    else:
        assert other["error"] == "Ambiguous"
        assert runners.jobs(1) == 0
    os.kill(stopped, signal.SIGCONT)
    assert "model" in runners.answer(0)
    assert runners.jobs(1) == 1


def give_up(runners: Runners, stop_in: str) -> None:
    """One is stopped there and given up by a person, for whom a job is made; continued, it takes that job's model."""
    options = {"submission": "blind"}
    runners.start(1, stop_in=stop_in, options=options)
    stopped = runners.child(0, "T")
    time.sleep(0.7)
    runners.start(1, runner=1, options=options, resubmit=True)
    model = runners.answer(1)["model"]
    os.kill(stopped, signal.SIGCONT)
    assert runners.answer(0)["model"] == model


def test_one_stopped_after_its_claim_and_given_up_does_not_send(runners: Runners) -> None:
    give_up(runners, "claim")
    assert runners.jobs(1) == 1


def test_a_late_owner_records_its_job_as_an_orphan(runners: Runners) -> None:
    give_up(runners, "submit")
    store = Store.open(runners.bench.folder / "state-1")
    [key] = {stored.key.split("/")[1] for stored in store.list("jobs")}
    assert runners.jobs(1) == 2, "a person asked for the second"
    assert len(Register(store, key).orphans()) == 1
