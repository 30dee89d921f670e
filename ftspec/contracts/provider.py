"""The contract between ftspec and a tuner.

One life of a tuning job, as core drives it::

    problems ─ estimate ─ write ─ upload ─┬─ submit ─┬─ poll … poll ─ serve ─ (export)
       offline, no side effect            └─ find ───┘        └─ cancel

Core owns the order, the retries, the claim register (a job is submitted once: see claims), the cache and the
journal. A provider owns its wire format and its states, and never retries a call that could make a second job.

What is sent and what comes back are plain records (jobs, messages). What only some providers can do has
protocols of its own (ftspec.contracts.abilities, ftspec.contracts.tuner).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal, Protocol, runtime_checkable

import msgspec

from ftspec.common.errors import Problem
from ftspec.common.jobs import (
    DataFile,
    Estimate,
    Job,
    JobUpdate,
    ModelRef,
    RemoteFile,
    Request,
    Size,
    TunedModel,
    Written,
)
from ftspec.common.messages import Model, RemoteModel
from ftspec.layout.shapes import Shape

if TYPE_CHECKING:
    import pyarrow as pa


class Method(msgspec.Struct, frozen=True):
    """What a provider takes for one training method.

    Args:
        data: the shape of the rows that it trains on.
        hyperparameters: a Struct whose fields are the keys of the spec's `hyperparameters`, with defaults and bounds.
        options: a Struct of the method's own options, as in `method: {dpo: {beta: 0.1}}`.
        shapes_data: hyperparameters that `write` looks at (such as max_length): changing one makes the data step run
            again, changing any other does not.
        images: the most images that a row may hold; 0: none are taken; None: what the service takes is not known.
        image_urls: how the address of an image begins that the service reads.
    """

    hyperparameters: type[msgspec.Struct]
    options: type[msgspec.Struct]
    shapes_data: tuple[str, ...] = ()
    data: Shape = "chat"
    images: int | None = 0
    image_urls: tuple[str, ...] = ("https://", "http://", "data:image/")


@runtime_checkable
class Provider(Protocol):
    """A tuner. The options under its name in the spec are its `__init__`'s keyword-only parameters."""

    methods: ClassVar[Mapping[str, Method]]
    """By name. A fact of the class, because the schema of a spec is composed of it before there is an instance."""
    endpoint: str
    """Where jobs live (a URL without secrets, or a word): part of the keys of jobs and of answers.

    No other option of the provider is: one that decides what is learned or answered belongs in it."""

    @property
    def submission(self) -> Literal["idempotent", "findable", "blind"]:
        """idempotent: the same key twice makes one job. findable: a job can be found by its key. blind: neither.

        A class attribute where it is always the same; a property where it depends on options, such as the address."""
        ...

    def attach(self, home: Path) -> None:
        """Receive a private folder on this machine (it may not exist yet). Called once, before `upload` and so on."""
        ...

    def problems(self, request: Request) -> Iterable[Problem]:
        """Say what is wrong with the request, offline and without heavy imports. Paths are relative to the spec's root,
        e.g. ("hyperparameters", "epochs") or ("model",)."""
        ...

    def fingerprint(self, model: ModelRef) -> str:
        """The base model's content hash or pinned revision, "" where it cannot be told. Reads, never writes."""
        ...

    def estimate(self, request: Request, size: Size) -> Estimate:
        """Say what the job will take; offline."""
        ...

    def write(self, request: Request, batches: Iterable[pa.RecordBatch], out: BinaryIO) -> Written:
        """Write examples (the columns of the method's shape and `_row`: see ftspec.rows) in the provider's own format.

        Raises DataError with Findings that carry `row` for rows that the provider would refuse."""
        ...

    def upload(self, file: DataFile) -> RemoteFile:
        """Bring the file to the provider, or find it there by its content hash. Core calls again after Transient and
        Ambiguous, and while the file is `waiting` to be usable."""
        ...

    def submit(self, request: Request, *, key: str) -> Job:
        """Make the job: one attempt, no retry, within half a minute or so. Raises Rejected, Ambiguous (also when the
        answer is lost or cannot be read) or, only where nothing was made for certain (429, refused), Transient."""
        ...

    def find(self, request: Request, *, key: str) -> Sequence[Job]:
        """Jobs that were made with this key, oldest first."""
        ...

    def poll(self, job: Job, *, cursor: str | None) -> JobUpdate:
        """The job's state and the events since `cursor`. Raises Transient, or JobFailed for a job that has stopped
        without having ended: the next look may set it going again."""
        ...

    def cancel(self, job: Job) -> None:
        """Ask for the job to be cancelled; a job that has ended is left alone. Idempotent."""
        ...

    def serve(self, model: ModelRef | TunedModel) -> AbstractContextManager[Model | RemoteModel]:
        """Make the model answer; leaving the context takes down whatever was put up.

        Where the provider `SupportsDeployment`, core has deployed a tuned model before, and hands over
        `Deployment.model`."""
        ...
