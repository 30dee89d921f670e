"""Every fault at every call, once and for good: what a run makes of it, and that nothing is lost or made twice.

A `Subject` is a provider with the server it is tried against. `Trial` runs one cell: the run that meets the fault, then
the same command again with the fault gone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ftspec.asking import ask, remote
from ftspec.asking.spill import Spill
from ftspec.common.errors import Ambiguous, JobFailed, Rejected, StillRunning, Transient
from ftspec.common.jobs import DataFile, Request, TunedModel
from ftspec.common.messages import Answer, Generation, Message, Prompt
from ftspec.common.progress import Quiet
from ftspec.common.references import mask
from ftspec.state.journal import Journal
from ftspec.state.store import Store
from ftspec.tuning.control import cancel
from ftspec.tuning.following import Follow, history
from ftspec.tuning.submission import Times
from ftspec.tuning.tuning import tune
from servers.proxy import FAULTS, Operation, Proxy

OPERATIONS = ("upload", "create", "poll", "events", "cancel", "chat")
Outcome = Literal["goes on", "again", "refused", "asks", "gaps"]

MEANING: dict[Outcome, str] = {
    "goes on": "the run gets over it by itself",
    "again": "the run stops with an error when its patience ends; the same command goes on from there",
    "refused": "the run stops at once and says what can be done; the same command goes on from there",
    "asks": "nobody but a person can tell whether there is a job: the run stops and asks (`--adopt`, `--resubmit`)",
    "gaps": "the run ends, and says how many questions have no answer; the same command asks those again",
}
"""What becomes of a run that meets a fault. Never more than one job, never anything done twice."""

NOT_SENT = {"refused", "429"}
DOUBTFUL = {"reset", "timeout", "408", "409", "500", "503"}
HANDLED = {"broken", "lost"}
"""Of what the server has heard: nothing; who knows (nothing, in the matrix); everything."""


class Case(NamedTuple):
    fault: str
    operation: str
    once: bool

    def __str__(self) -> str:
        return f"{self.fault} at {self.operation} {'once' if self.once else 'always'}"


CASES = [Case(*cell) for cell in product(FAULTS, OPERATIONS, (True, False))]


def expected(case: Case) -> Outcome:
    """What a run makes of it, where jobs can be found by key."""
    fault, operation, once = case
    if operation == "events" and (fault != "refused" or once):
        return "goes on"  # after some tries without them: a job's end must not be kept from us
    if operation == "chat":
        return _expected_of_chat(fault, once)
    if fault == "429 daily":
        return "refused"
    if operation == "create" and fault in DOUBTFUL:
        return "asks"
    if once or (fault in HANDLED and operation != "poll"):
        return "goes on"  # what was made is found
    return "again"


def _expected_of_chat(fault: str, once: bool) -> Outcome:
    if fault == "429 daily":
        return "gaps"
    if once:
        return "goes on"
    return "again" if fault in NOT_SENT else "gaps"  # a question of which it is not known is asked four times


@dataclass
class Subject:
    """A provider and the server that it is tried against.

    Args:
        operations: how its requests are told.
        provider: a new one, as a new process would have, for the server at a URL; with seconds to wait for answers.
        jobs: ids of all jobs that the server has ever made; `files`: of all files that it holds.
        cancelled: whether the server has the job of this id down as cancelled.
    """

    name: str
    url: str
    operations: Sequence[Operation]
    provider: Callable[[str, float], Any]
    request: Request
    jobs: Callable[[], list[str]]
    files: Callable[[], list[str]]
    cancelled: Callable[[str], bool]
    rows: int = 12


@dataclass
class Trial:
    """One cell, in a folder of its own."""

    subject: Subject
    folder: Path
    case: Case
    first: Mapping[str, int] = field(default_factory=dict)
    """The number of each operation's first request in a healthy run."""
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store.open(self.folder / "state")
        self.files = [self._file("training", self.subject.rows), self._file("validation", 4)]
        self.patience = 20.0 if expected(self.case) == "goes on" else 0.5

    def run(self, proxy: Proxy) -> Outcome:
        """What became of the run that met the fault. Leaves the fault."""
        if self.case.operation == "cancel":
            assert self._said(self._detached, proxy) == "goes on"
        self._break(proxy)
        return self._said(self._work, proxy)

    def again(self, proxy: Proxy, outcome: Outcome) -> None:
        """The same command, with the fault gone, comes to the end; a person answers where one is asked."""
        proxy.heal()
        self.patience = 20.0
        if outcome == "asks":
            assert self._said(self._work, proxy) == "asks", "it may not be sent again because somebody asks again"
            self.resubmit = True
        assert self._said(self._work, proxy) == "goes on", self.said[-1]
        if self.case.operation == "cancel":
            [job] = self.subject.jobs()
            assert self.subject.cancelled(job)
            assert "cancelled" in self._failure(proxy)
        else:
            assert self._unanswered() == 0
            assert history(self.store, "key"), "no event of the job was kept"

    resubmit = False

    def _said(self, work: Callable[[Proxy], Outcome], proxy: Proxy) -> Outcome:
        try:
            return work(proxy)
        except (Transient, Ambiguous, Rejected) as error:
            # As the command line shows it.
            self.said.append(mask(f"{error.message} | {error.hint}"))
            if isinstance(error, Ambiguous) and "may or may not" in error.message:
                return "asks"
            return "refused" if isinstance(error, Rejected) else "again"

    def _work(self, proxy: Proxy) -> Outcome:
        if self.case.operation == "cancel":
            cancel(self._provider(proxy), self.store, "key", self.subject.request, patience=self.patience)
            return "goes on"
        return "gaps" if self._asked(proxy, self._tuned(proxy)) else "goes on"

    def _tuned(self, proxy: Proxy, *, detach: bool = False) -> TunedModel:
        return tune(
            self._provider(proxy),
            self.subject.request,
            self.files,
            store=self.store,
            journal=Journal(self.store, "run"),
            key="key",
            progress=Quiet(),
            resubmit=self.resubmit,
            follow=Follow(detach=detach, patience=self.patience, first=0.01, longest=0.05),
            times=Times(fresh=20.0, grace=0.4, patience=self.patience),
        )

    def _detached(self, proxy: Proxy) -> Outcome:
        try:
            self._tuned(proxy, detach=True)
        except StillRunning:
            return "goes on"
        raise AssertionError("it did not leave the job")

    def _failure(self, proxy: Proxy) -> str:
        try:
            self._tuned(proxy)
        except JobFailed as error:
            return error.message
        raise AssertionError("a cancelled job made a model")

    def _provider(self, proxy: Proxy) -> Any:
        slow = self.case.fault == "timeout"
        provider = self.subject.provider(proxy.url, 1.0 if slow else 20.0)
        provider.attach(self.folder / "home")
        return provider

    def _break(self, proxy: Proxy) -> None:
        fault, operation, once = self.case
        if not fault:
            return
        if fault == "refused":
            # The port is closed when the last request before this operation has been answered.
            before = 0 if operation == "cancel" else self.first[operation] - 1
            proxy.refuse(after=before, seconds=0.3 if once else None)
        else:
            proxy.fault(operation, fault, once=once)

    def _asked(self, proxy: Proxy, model: TunedModel) -> int:
        """Ask what has no answer yet; how many questions are left without."""
        wanted, spill = self._round(), Spill(self.store, "answers/tuned")
        with (
            self._provider(proxy).serve(model) as up,
            remote.asking(up) as answers,
            spill.writer() as writer,
        ):
            ask.ask(answers, wanted, label="tuned", keep=writer.add, progress=Quiet(), again=False)
        return len(wanted) - wanted.known

    def _round(self) -> ask.Round:
        prompts = [Prompt(id=f"p{n}", messages=[Message(role="user", content=f"question {n}")]) for n in range(3)]
        wanted = ask.Round(prompts, Generation(max_tokens=8), repeat=1, seed=0)
        for answer in Spill(self.store, "answers/tuned").read(Answer):
            wanted.note(answer)
        return wanted

    def _unanswered(self) -> int:
        wanted = self._round()
        return len(wanted) - wanted.known

    def _file(self, purpose: Any, count: int) -> DataFile:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{purpose}.jsonl"
        said = [{"role": "user", "content": "q"}, {"role": "assistant", "content": purpose}]
        path.write_text(f"{json.dumps({'messages': said})}\n" * count)
        data = path.read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        return DataFile(purpose=purpose, path=str(path), sha256=sha256, bytes=len(data), rows=count)


def healthy(subject: Subject, folder: Path, proxy: Proxy) -> dict[str, int]:
    """The number of each operation's first request in a run that meets no fault."""
    assert Trial(subject, folder, Case("", "", True)).run(proxy) == "goes on"
    return {exchange.operation: exchange.number for exchange in reversed(proxy.exchanges)}


def traces(folder: Path, key: str, said: Sequence[str] = ()) -> list[str]:
    """Where parts of a key (of twelve characters or more) are found: in files of any kind, or in what was said."""
    parts = [key[at : at + 12].encode() for at in range(len(key) - 11)]
    found = [
        str(path) for path in folder.rglob("*") if path.is_file() and any(part in path.read_bytes() for part in parts)
    ]
    return found + [text for text in said if any(part in text.encode() for part in parts)]
