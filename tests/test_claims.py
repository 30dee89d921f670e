from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from runs import Notes

from ftspec.asking import patience
from ftspec.common.errors import Ambiguous, ProviderError, Rejected, StoreError, Transient
from ftspec.common.jobs import DataFile, Job, ModelRef, RemoteFile, Request
from ftspec.state.journal import WRITER, Journal
from ftspec.state.store import Store
from ftspec.tuning import claims
from ftspec.tuning.claims import Outcome, Register
from ftspec.tuning.submission import Submission, Times
from ftspec.tuning.uploads import Uploads

REQUEST = Request(model=ModelRef(id="tiny"))
QUICK = Times(fresh=60.0, grace=0.6, patience=60.0)
"""For who waits until an attempt is given up. Whatever takes longer than these, a busy disk's write too, is another
case: most tests have a run's own times, as `submission` does without."""


class Tuner:
    """The provider's side as the register sees it: what exists there, and what each POST is to meet."""

    endpoint = "here"

    def __init__(self, submission: str, *meets: Callable[[Tuner, str], None]) -> None:
        self.submission = submission
        self.meets = list(meets)
        self.jobs: list[tuple[str, Job]] = []
        self.posts = 0
        self.hidden = False

    def submit(self, request: Request, *, key: str) -> Job:
        self.posts += 1
        if self.meets:
            self.meets.pop(0)(self, key)
        return self.make(key)

    def make(self, key: str) -> Job:
        held = [job for name, job in self.jobs if name == key]
        if self.submission == "idempotent" and held:
            return held[0]
        self.jobs.append((key, Job(id=f"job-{len(self.jobs) + 1}")))
        return self.jobs[-1][1]

    def find(self, request: Request, *, key: str) -> Sequence[Job]:
        return [] if self.hidden else [job for name, job in self.jobs if name == key]


def lost(tuner: Tuner, key: str) -> None:
    tuner.make(key)
    raise Ambiguous("no answer")


def vanished(tuner: Tuner, key: str) -> None:
    raise Ambiguous("connection reset")


def limited(tuner: Tuner, key: str) -> None:
    raise Transient("rate limit", retry_after=0.01)


def no(tuner: Tuner, key: str) -> None:
    raise Rejected("quota exceeded", "raise the quota")


def bug(tuner: Tuner, key: str) -> None:
    tuner.make(key)
    raise ZeroDivisionError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "state")


def submission(tuner: Tuner, store: Store, times: Times | None = None, notes: Notes | None = None) -> Submission:
    journal, register = Journal(store, "run"), Register(Store.open(store.url), "key")
    provider: Any = tuner
    return Submission(provider, REQUEST, register, journal=journal, progress=notes or Notes(), times=times or Times())


def kinds(store: Store) -> list[str]:
    return [event.kind for event in Journal(store, "run").events()]


def test_a_claim_of_tomorrow_is_watched_no_longer_than_any(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock was set back since: by it the claim comes of age in a day."""
    Register(store, "key").claim(1)
    now = store.now
    monkeypatch.setattr(Store, "now", lambda self: now() - 86_400)
    began = time.monotonic()
    with pytest.raises(Ambiguous, match="may or may not"):
        submission(Tuner("findable"), store, QUICK).job()
    assert QUICK.grace <= time.monotonic() - began < 30


def test_who_waits_for_a_job_that_may_be_there_is_told(store: Store) -> None:
    notes = Notes()
    with pytest.raises(Ambiguous):
        submission(Tuner("findable", vanished), store, QUICK, notes).job()
    assert notes.notes == ["connection reset: looking for up to 0.6 s whether the job was made"]


# ---- the register


def test_one_of_many_claims_wins(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        tickets = list(pool.map(lambda _: Register(Store.open(store.url), "key").claim(1), range(8)))
    assert sum(ticket is not None for ticket in tickets) == 1


def test_a_claim_whose_first_write_got_through_unseen_is_ours(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_new = store.put_new
    store.put("warm", b"")
    monkeypatch.setattr(store, "put_new", lambda key, data: put_new(key, data) and False)
    assert Register(store, "key").claim(1) is not None
    assert Register(store, "key").claim(1) is None


def test_the_first_outcome_stands(store: Store) -> None:
    register = Register(store, "key")
    register.claim(1)
    assert register.settle(1, Outcome(kind="abandoned")).kind == "abandoned"
    assert register.settle(1, Outcome(kind="job", job=Job(id="late"))).kind == "abandoned"
    attempt = register.latest()
    assert attempt is not None
    assert (attempt.number, attempt.outcome) == (1, Outcome(kind="abandoned"))


def test_the_latest_attempt_is_by_number(store: Store) -> None:
    register = Register(store, "key")
    for number in (1, 2, 10):
        register.claim(number)
        register.settle(number, Outcome(kind="rejected"))
    latest = register.latest()
    assert latest is not None
    assert latest.number == 10


def test_a_damaged_claim_stops_everything(store: Store) -> None:
    Register(store, "key").claim(1)
    store.put("jobs/key/0001.claim", b"{")
    with pytest.raises(StoreError, match=r"0001\.claim is damaged"):
        Register(store, "key").latest()


@pytest.mark.parametrize(("wall", "boot"), [(31, 31), (31, 0), (0, 31), (-5, 1)])
def test_a_claim_is_stale_when_either_clock_says_so(monkeypatch: pytest.MonkeyPatch, wall: int, boot: int) -> None:
    monkeypatch.setattr(claims, "_clocks", lambda: (1000.0, 50.0))
    ticket = claims.Ticket()
    assert ticket.fresh(30.0)
    monkeypatch.setattr(claims, "_clocks", lambda: (1000.0 + wall, 50.0 + boot))
    assert not ticket.fresh(30.0)


def test_the_defaults_are_the_promised_ones() -> None:
    times = Times()
    assert times.fresh == 30.0
    assert times.grace >= 2 * times.fresh


# ---- submitting


@pytest.mark.parametrize("kind", ["idempotent", "findable", "blind"])
def test_a_job_is_made_once_and_found_in_the_register(store: Store, kind: str) -> None:
    tuner = Tuner(kind)
    assert submission(tuner, store).job() == submission(tuner, store).job() == Job(id="job-1")
    assert (tuner.posts, len(tuner.jobs)) == (1, 1)
    assert kinds(store) == ["job_submitted"]


def test_that_a_job_was_submitted_is_told(store: Store) -> None:
    notes = Notes()
    submission(Tuner("blind"), store, notes=notes).job()
    submission(Tuner("blind"), store, notes=notes).job()
    assert notes.notes == ["submitted job job-1"]


def test_a_lost_answer_is_sent_again_where_that_is_safe(store: Store) -> None:
    tuner, notes = Tuner("idempotent", lost, vanished), Notes()
    assert submission(tuner, store, notes=notes).job().id == "job-1"
    assert (tuner.posts, len(tuner.jobs)) == (3, 1)
    assert notes.notes == ["no answer: trying again for up to 15 min 00 s", "submitted job job-1"], (
        "nobody looks for it"
    )


def test_a_lost_answer_is_looked_up_where_it_can_be(store: Store) -> None:
    tuner = Tuner("findable", lost)
    assert submission(tuner, store).job().id == "job-1"
    assert (tuner.posts, kinds(store)) == (1, ["job_adopted"])


@pytest.mark.parametrize(("kind", "meet"), [("blind", lost), ("blind", vanished), ("findable", vanished)])
def test_a_lost_answer_is_asked_about_otherwise(store: Store, kind: str, meet: Any) -> None:
    tuner = Tuner(kind, meet)
    for _ in range(2):
        with pytest.raises(Ambiguous, match="may or may not") as caught:
            submission(tuner, store, QUICK).job()
        assert "--resubmit" in caught.value.hint
    assert tuner.posts == 1


def test_a_lost_answer_that_nobody_can_look_up_is_told_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("waits"))
    with pytest.raises(Ambiguous, match="no answer"):
        submission(Tuner("blind", lost), store).job()


def test_who_left_a_submission_open_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    Register(store, "key").claim(1)
    monkeypatch.setattr(Register, "age", lambda self, attempt: 0.0)  # however long it took to write it
    notes = Notes()
    with pytest.raises(Ambiguous, match=f"{WRITER} claimed it and left no word"):
        submission(Tuner("blind"), store, QUICK, notes).job()
    assert notes.notes == [f"{WRITER} is submitting this job; waiting for what comes of it"]


@pytest.mark.parametrize("fault", [Transient("503"), Ambiguous("connection reset")], ids=["refused", "lost"])
def test_a_look_that_fails_for_now_is_taken_again(
    store: Store, monkeypatch: pytest.MonkeyPatch, fault: ProviderError
) -> None:
    tuner, looks = Tuner("findable", lost), []

    def find(self: Tuner, request: Request, *, key: str) -> Sequence[Job]:
        looks.append(key)
        if len(looks) < 4:
            raise fault
        return [job for name, job in self.jobs if name == key]

    Register(store, "key").claim(1)
    tuner.make("key")
    monkeypatch.setattr(Tuner, "find", find)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert submission(tuner, store).job().id == "job-1"
    assert tuner.posts == 0


def test_consent_gives_one_more_post(store: Store) -> None:
    tuner = Tuner("blind", lost)
    with pytest.raises(Ambiguous):
        submission(tuner, store, QUICK).job()
    assert submission(tuner, store, QUICK).job(resubmit=True).id == "job-2"
    assert submission(tuner, store, QUICK).job(resubmit=True).id == "job-2"
    assert (tuner.posts, kinds(store)) == (2, ["job_abandoned", "job_submitted"])


def test_consent_does_not_cover_what_goes_wrong_afterwards(store: Store) -> None:
    tuner = Tuner("findable", vanished, vanished)
    for resubmit in (False, True):
        with pytest.raises(Ambiguous):
            submission(tuner, store, QUICK).job(resubmit=resubmit)
    assert tuner.posts == 2


def test_consent_looks_first(store: Store) -> None:
    tuner = Tuner("findable", lost)
    tuner.hidden = True
    with pytest.raises(Ambiguous):
        submission(tuner, store, QUICK).job()
    tuner.hidden = False
    assert submission(tuner, store, QUICK).job(resubmit=True).id == "job-1"
    assert tuner.posts == 1


def test_a_job_of_a_lost_register_is_adopted(store: Store) -> None:
    tuner = Tuner("findable")
    tuner.make("key")
    assert submission(tuner, store).job().id == "job-1"
    assert tuner.posts == 0


def test_more_than_one_job_is_told_and_never_cancelled(store: Store) -> None:
    tuner, notes = Tuner("findable"), Notes()
    tuner.make("key")
    tuner.make("key")
    assert submission(tuner, store, notes=notes).job().id == "job-1"
    assert [job.id for job in Register(store, "key").orphans()] == ["job-2"]
    assert any("job-2" in note for note in notes.notes)


@pytest.mark.parametrize("kind", ["idempotent", "findable", "blind"])
def test_a_rate_limit_is_waited_for(store: Store, kind: str) -> None:
    tuner = Tuner(kind, limited, limited)
    assert submission(tuner, store).job().id == "job-1"
    assert (tuner.posts, len(tuner.jobs)) == (3, 1)
    last = Register(store, "key").latest()
    assert last is not None
    assert last.number == (1 if kind == "idempotent" else 3), "an attempt is one request that may have made a job"


@pytest.mark.parametrize(("kind", "meet"), [("idempotent", limited), ("idempotent", vanished), ("blind", limited)])
def test_patience_ends(store: Store, monkeypatch: pytest.MonkeyPatch, kind: str, meet: Any) -> None:
    slept = [0.0]
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append))
    tuner = Tuner(kind, *[meet] * 100)
    with pytest.raises((Transient, Ambiguous), match=r"rate limit|connection reset"):
        submission(tuner, store, Times(patience=0.3)).job()
    assert tuner.posts == 3


def test_a_rejection_waits_for_the_next_run(store: Store) -> None:
    tuner = Tuner("blind", no)
    with pytest.raises(Rejected, match="quota"):
        submission(tuner, store).job()
    assert tuner.posts == 1
    assert submission(tuner, store).job().id == "job-1"
    assert kinds(store) == ["job_rejected", "job_submitted"]


def test_a_rejection_is_written_down_without_the_key_that_it_quotes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNER_API_KEY", "key-0123456789")

    def quoting(tuner: Tuner, key: str) -> None:
        raise Rejected("key-0123456789 is not yours", "ask who has key-0123456789")

    with pytest.raises(Rejected):
        submission(Tuner("blind", quoting), store).job()
    [event] = Journal(store, "run").events()
    assert event.data == {"attempt": 1, "message": "*** is not yours"}
    assert not [stored for stored in store.list("") if b"key-0123456789" in (store.get(stored.key) or b"")]


def test_a_rejection_of_another_run_is_ours_too(store: Store) -> None:
    def slow_no(tuner: Tuner, key: str) -> None:
        time.sleep(1)
        no(tuner, key)

    tuner = Tuner("blind", slow_no)
    with ThreadPoolExecutor(2) as pool:
        results = [pool.submit(submission(tuner, store).job) for _ in range(2)]
        errors = [result.exception() for result in results]
    assert [type(error) for error in errors] == [Rejected, Rejected]
    assert tuner.posts == 1


def test_a_provider_that_raises_anything_else_leaves_the_claim_open(store: Store) -> None:
    tuner = Tuner("findable", bug)
    with pytest.raises(ZeroDivisionError):
        submission(tuner, store).job()
    assert submission(tuner, store).job().id == "job-1"
    assert tuner.posts == 1


@pytest.mark.parametrize("kind", ["idempotent", "findable", "blind"])
def test_runs_at_the_same_time_make_one_job(store: Store, kind: str) -> None:
    tuner = Tuner(kind, lambda tuner, key: time.sleep(0.1))
    with ThreadPoolExecutor(6) as pool:
        jobs = [result.result() for result in [pool.submit(submission(tuner, store).job) for _ in range(6)]]
    assert {job.id for job in jobs} == {"job-1"}
    assert len(tuner.jobs) == 1


def test_a_process_that_was_stopped_after_its_claim_does_not_send(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuner, fresh = Tuner("blind"), [False]
    monkeypatch.setattr(claims.Ticket, "fresh", lambda self, seconds: fresh.pop() if fresh else True)
    assert submission(tuner, store).job().id == "job-1"
    assert tuner.posts == 1
    first = Register(store, "key").outcome(1)
    assert first is not None
    assert (first.kind, first.transient) == ("rejected", True)


def test_a_late_owner_finds_itself_given_up(store: Store) -> None:
    """It was stopped inside its POST, longer than the grace; meanwhile a person said: submit again."""
    notes = Notes()

    def meanwhile(tuner: Tuner, key: str) -> None:
        time.sleep(QUICK.grace + 0.1)
        assert submission(tuner, store, QUICK).job(resubmit=True).id == "job-1"

    tuner = Tuner("blind", meanwhile)
    assert submission(tuner, store, notes=notes).job().id == "job-1"
    assert [job.id for job in Register(store, "key").orphans()] == ["job-2"]
    assert any("job-2" in note and "cancel" in note for note in notes.notes)
    assert kinds(store)[-1] == "job_orphaned"


def test_a_late_owner_whose_key_makes_one_job_leaves_none_behind(store: Store) -> None:
    """Another run gave its attempt up meanwhile: the next one, with the same key, gets the same job."""
    tuner = Tuner("idempotent", lambda tuner, key: Register(store, key).settle(1, Outcome(kind="abandoned")))
    assert submission(tuner, store).job().id == "job-1"
    assert (tuner.posts, len(tuner.jobs)) == (2, 1)
    assert Register(store, "key").orphans() == []


def test_the_grace_is_by_the_stores_clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.monotonic()
    Register(store, "key").claim(1)
    tuner = Tuner("blind")
    monkeypatch.setattr(claims.time, "time", lambda: 1e12)
    with pytest.raises(Ambiguous):
        submission(tuner, store, QUICK).job(resubmit=False)
    assert time.monotonic() - started > 0.4
    assert tuner.posts == 0


# ---- uploads


def test_uploads_are_known_by_endpoint_content_and_purpose(store: Store) -> None:
    file = DataFile(purpose="training", path="a", sha256="1" * 64, bytes=3, rows=1)
    remote = RemoteFile(id="file-1", sha256=file.sha256)
    Uploads(store, "https://here").put(file, remote)
    again = msgspec.structs.replace(file, path="elsewhere")
    assert Uploads(store, "https://here").get(again) == remote
    assert Uploads(store, "https://there").get(file) is None
    assert Uploads(store, "https://here").get(msgspec.structs.replace(file, purpose="validation")) is None
    [stored] = store.list("uploads")
    store.put(stored.key, b'{"id"')
    assert Uploads(store, "https://here").get(file) is None
    Uploads(store, "https://here").forget(file)
    assert Uploads(store, "https://here").get(file) is None


@pytest.mark.parametrize("what", ["claim", "outcome"])
def test_a_damaged_object_is_not_to_be_removed_without_a_look(tmp_path: Path, what: str) -> None:
    register = Register(Store.open(tmp_path), "key")
    assert register.claim(1)
    register.settle(1, Outcome(kind="abandoned"))
    register.store.put(f"jobs/key/0001.{what}", b"{")
    with pytest.raises(StoreError) as caught:
        register.latest()
    assert "look at the provider's own list of jobs first" in caught.value.hint
