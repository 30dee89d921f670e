"""What some providers can do beyond the contract of all: optional protocols, each with the records that it speaks.

Core asks `isinstance` and does without where the answer is no; tuner has two more, about a model's limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

from ftspec.common.jobs import Job, JobUpdate, ModelRef, Request, TunedModel
from ftspec.common.messages import Example
from ftspec.common.records import Record


class Token(Record):
    """One token of a rendered example: its text, its id (-1 where the provider does not tell) and its loss weight.

    Below 0 is what the model learns not to say: the rejected answer of a preference pair.
    """

    text: str
    id: int = -1
    weight: float = 0.0


@runtime_checkable
class SupportsRender(Protocol):
    """A provider that can show the exact tokens of an example and which of them are trained on."""

    def render(self, request: Request, example: Example) -> Sequence[Token]:
        """All tokens of the example, in order, as training sees them. Raises DataError for one that it refuses."""
        ...


@runtime_checkable
class SupportsExport(Protocol):
    """A provider whose models can be taken away."""

    exports: ClassVar[tuple[str, ...]]
    """Forms that can be exported: "adapter", "merged"."""

    def export(self, model: TunedModel, form: str, out: Path) -> None:
        """Write the model into the existing empty folder `out`."""
        ...


@runtime_checkable
class SupportsAdoption(Protocol):
    """A provider that can be told the id of a job, by a person who has found it in the provider's own list."""

    def job(self, request: Request, id: str) -> Job:
        """The job, as `submit` would have returned it for this request. Raises Rejected where there is none, or one
        of another base model; Transient."""
        ...


@runtime_checkable
class SupportsPause(Protocol):
    """A provider whose jobs can be halted and taken up again. Both calls are idempotent."""

    def pause(self, job: Job) -> None:
        """Ask for the job to be halted; `poll` tells when it is."""
        ...

    def resume(self, job: Job) -> None:
        """Ask for a halted job to go on."""
        ...


@runtime_checkable
class SupportsLook(Protocol):
    """A provider whose `poll` sets a job going again that has stopped: who only wants to know how it stands looks."""

    def look(self, job: Job) -> JobUpdate:
        """As `poll` from the first event on, and nothing is changed by it: what has stopped is PAUSED."""
        ...


@runtime_checkable
class SupportsStop(Protocol):
    """A provider that can end a job early and keep what it has learned until then."""

    def stop(self, job: Job) -> None:
        """Ask for the job to be ended. Once it has, its model or its checkpoints are there. Idempotent."""
        ...


@runtime_checkable
class SupportsCheckpoints(Protocol):
    """A provider whose jobs keep models on their way, told in `JobUpdate.checkpoints`.

    Where some of its jobs keep none, it has a method `keeps_no_checkpoints(request: Request) -> Problem | None` too:
    what is wrong (and its hint) where a spec wants checkpoints of such a job.
    """

    checkpoints: ClassVar[str]
    """When one is kept, for people: "after each epoch"."""


@runtime_checkable
class SupportsLeastRows(Protocol):
    """A provider that takes no fewer training rows than so many: the data step says so, before anything is sent."""

    @property
    def least_rows(self) -> int:
        """Rows of the training side; those of validation do not count."""
        ...


class Deployment(Record):
    """A tuned model that was put up to answer. `model` is what `serve` is given; it costs money until it is taken down.

    `ready` is False while it is being put up. `created_at` is seconds since the epoch, by the provider's clock.
    """

    id: str
    model: TunedModel
    ready: bool = True
    created_at: float = 0.0
    error: str = ""


@runtime_checkable
class SupportsDeployment(Protocol):
    """A provider whose tuned models answer only when they are deployed, which costs money while they stand.

    Core writes down its intent, looks for the key, deploys, waits until it is ready, asks, and undeploys; the next run
    or `ftspec gc` takes down what a crash left standing.
    """

    def deploys(self, model: ModelRef | TunedModel) -> bool:
        """Whether this model needs a deployment, by its options; offline. The plan says so."""
        ...

    def deploy(self, model: TunedModel, *, key: str) -> Deployment:
        """Put the model up, or find the deployment that was made with this key. One attempt. Raises as `submit`."""
        ...

    def find_deployment(self, *, key: str) -> Deployment | None:
        """The deployment that was made with this key, None where there is none. Raises Transient."""
        ...

    def deployment(self, deployment: Deployment) -> Deployment | None:
        """The deployment as it is now; None when it is gone. Raises Transient."""
        ...

    def undeploy(self, deployment: Deployment) -> None:
        """Take it down; one that is gone is left alone. Idempotent."""
        ...


class RemoteObject(Record):
    """Something that lies at the provider and was made for ftspec: what `ftspec gc` lists and may delete.

    `sha256` is that of a file's content where the provider or its name tells; `job` the job that made a model.
    """

    kind: Literal["file", "model", "deployment"]
    id: str
    name: str = ""
    bytes: int | None = None
    created_at: float = 0.0
    sha256: str = ""
    job: str = ""


@runtime_checkable
class SupportsCleanup(Protocol):
    """A provider where things can be listed and deleted."""

    def remote_objects(self) -> Iterable[RemoteObject]:
        """What ftspec has put or made there, told by names and metadata; nothing that others own. Raises Transient."""
        ...

    def delete(self, remote: RemoteObject) -> None:
        """Delete it; one that is gone is left alone. Idempotent."""
        ...
