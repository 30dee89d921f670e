"""One provider with one finished job, and what a suite does with it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ftspec.common.jobs import DataFile, Job, JobUpdate, ModelRef, Request, TunedModel
from ftspec.common.messages import Model, RemoteModel
from ftspec.common.progress import Quiet
from ftspec.contracts.abilities import Deployment, SupportsDeployment
from ftspec.contracts.provider import Provider
from ftspec.state.journal import Journal
from ftspec.state.store import Store
from ftspec.testing.samples import batch_of
from ftspec.tuning.claims import Register
from ftspec.tuning.following import Follow
from ftspec.tuning.tuning import tune

PAGES = 100
"""Polls after which the suite stops asking for more events."""


class World:
    """One provider with one finished job, shared by the tests of a suite."""

    def __init__(self, provider: Provider, request: Request, home: Path, follow: Follow) -> None:
        self.store = Store.open(home / "state")
        self.provider, self.request = provider, request
        self.provider.attach(home / "home")
        self.shape = provider.methods[request.method].data
        self.files = [self._file(home, "training", 16), self._file(home, "validation", 4)]
        self.key = hashlib.sha256(self.provider.endpoint.encode()).hexdigest()
        self.model = self.tune(follow)

    def tune(self, follow: Follow) -> TunedModel:
        journal = Journal(self.store, "suite")
        return tune(
            self.provider,
            self.request,
            self.files,
            store=self.store,
            journal=journal,
            key=self.key,
            progress=Quiet(),
            follow=follow,
        )

    @property
    def job(self) -> Job:
        job = Register(self.store, self.key).job()
        assert job is not None
        return job

    def uploaded(self) -> Request:
        """The request as `submit` gets it."""
        remote = {file.purpose: self.provider.upload(file) for file in self.files}
        return msgspec.structs.replace(self.request, **remote)

    def _file(self, home: Path, purpose: Any, count: int) -> DataFile:
        path = home / f"{purpose}.data"
        with path.open("wb") as out:
            written = self.provider.write(self.request, [batch_of(self.shape, count)], out)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        return DataFile(purpose=purpose, path=str(path), sha256=digest, bytes=len(data), rows=written.rows)


class Unreachable:
    """A provider of which only the endpoint may be asked."""

    def __init__(self, provider: Provider) -> None:
        self.endpoint = provider.endpoint


@contextmanager
def served(world: World, model: ModelRef | TunedModel) -> Iterator[Model | RemoteModel]:
    """The model as core puts it up: deployed before where it has to be, and taken down after."""
    provider = world.provider
    if isinstance(model, TunedModel) and isinstance(provider, SupportsDeployment) and provider.deploys(model):
        standing = deployed(provider, model, world.key)
        try:
            with provider.serve(standing.model) as up:
                yield up
        finally:
            provider.undeploy(standing)
    else:
        with provider.serve(model) as up:
            yield up


def deployed(provider: SupportsDeployment, model: TunedModel, key: str) -> Deployment:
    """A deployment that is ready."""
    standing: Deployment | None = provider.deploy(model, key=key)
    for _ in range(PAGES):
        assert standing is not None, "the deployment is gone"
        assert not standing.error, standing.error
        if standing.ready:
            return standing
        time.sleep(0.05)
        standing = provider.deployment(standing)
    raise AssertionError("the deployment does not get ready")


def after(world: World, update: JobUpdate) -> Iterator[Any]:
    """Events that come when one goes on asking after an update."""
    for _ in range(PAGES):
        update = world.provider.poll(world.job, cursor=update.cursor)
        yield from update.events
        if not update.events:
            break
