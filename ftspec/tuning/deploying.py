"""Deployments: a tuned model that is put up to be asked costs money until somebody takes it down.

`deployments/<run>/<key>` is written before a deployment is made, and again with what it became, so that whatever
breaks, somebody knows what may stand: the process that made it takes it down, whatever ends the asking; after a SIGKILL
the next run of the same store does, or `ftspec gc`. Processes of this machine that use one deployment hold a shared
lock on it; the last one takes it down. What a process of another machine has put up is left alone: nobody here can tell
whether it is used.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from ftspec.asking.patience import Patience
from ftspec.common.errors import Ambiguous, FtspecError, ProviderError, Transient
from ftspec.common.figures import duration
from ftspec.common.jobs import ModelRef, TunedModel
from ftspec.common.progress import Progress
from ftspec.common.records import Record
from ftspec.contracts.abilities import Deployment, SupportsDeployment
from ftspec.contracts.provider import Provider
from ftspec.costs.spending import Purse
from ftspec.state.journal import decode
from ftspec.state.store import Store
from ftspec.state.workspace import Workspace

WHAT = "deployment"
HOST = socket.gethostname()


class Waits(Record):
    """Times in seconds: how long a deployment may take to be ready, and how long the provider may be out of reach
    while it is put up (`patience`) and taken down (`leave`)."""

    ready: float = 3600.0
    patience: float = 900.0
    leave: float = 120.0
    first: float = 0.1
    longest: float = 15.0


class Standing(Record):
    """What is known of a deployment. `deployment` is None while nobody has heard whether it was made."""

    key: str
    run: str
    endpoint: str
    model: TunedModel
    state: Literal["wanted", "up", "down"] = "wanted"
    deployment: Deployment | None = None
    since: float = 0.0
    ended: float = 0.0
    host: str = HOST


class Register:
    """Every deployment of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def put(self, standing: Standing) -> Standing:
        """Write it down; durable when this returns."""
        self.store.put(f"deployments/{standing.run}/{standing.key}", msgspec.json.encode(standing))
        return standing

    def all(self, run: str = "") -> list[Standing]:
        """Those of a run, or of all runs, taken down or not."""
        prefix = f"deployments/{run}" if run else "deployments"
        return [decode(self.store, stored.key, Standing) for stored in self.store.list(prefix)]

    def standing(self) -> list[Standing]:
        """Those that may stand."""
        return [one for one in self.all() if one.state != "down"]


def key_of(run: str, endpoint: str, model: TunedModel) -> str:
    """What a deployment is called at the provider: one per run and model."""
    return hashlib.sha256("\n".join([run, endpoint, model.id]).encode()).hexdigest()[:32]


class Deployer:
    """Puts one run's models up and takes them down.

    Args:
        hourly: what a deployment costs per hour; None: nobody knows.
    """

    def __init__(
        self,
        provider: Provider,
        workspace: Workspace,
        run: str,
        *,
        purse: Purse,
        hourly: float | None,
        progress: Progress,
    ) -> None:
        self.provider, self.workspace, self.run = provider, workspace, run
        self.purse, self.hourly, self.progress = purse, hourly, progress
        self.waits = Waits()
        self.register = Register(workspace.store)

    @contextmanager
    def up(self, model: ModelRef | TunedModel) -> Iterator[ModelRef | TunedModel]:
        """The model as it answers: deployed where it has to be, and taken down afterwards, whatever happens.

        Raises Rejected, Ambiguous or Transient (out of reach, or not ready in time), FtspecError where it failed.
        """
        provider = self.provider
        if not (isinstance(model, TunedModel) and isinstance(provider, SupportsDeployment) and provider.deploys(model)):
            yield model
            return
        key = key_of(self.run, provider.endpoint, model)
        lock = _lock(key)
        try:
            with self.workspace.alive(lock):
                yield self._ready(provider, self._wanted(key, model)).model
        finally:
            if not self.workspace.is_alive(lock):
                self._down(provider, key)

    def _wanted(self, key: str, model: TunedModel) -> Standing:
        known = next((one for one in self.register.all(self.run) if one.key == key and one.state != "down"), None)
        if known:
            return known
        now = time.time()
        self.purse.stands(WHAT, f"{key}-{now:.0f}", self.hourly, now)
        return self.register.put(
            Standing(key=key, run=self.run, endpoint=self.provider.endpoint, model=model, since=now)
        )

    def _ready(self, provider: SupportsDeployment, standing: Standing) -> Deployment:
        """The deployment, once it can be asked."""
        self.progress.phase("deploying the tuned model")
        began, patience = time.monotonic(), self._patience()
        made = self._made(provider, standing, patience)
        self.register.put(msgspec.structs.replace(standing, state="up", deployment=made))
        delay = self.waits.first
        while True:
            if made.error:
                raise FtspecError(f"deployment {made.id} failed: {made.error}", "look at the provider's own page of it")
            if made.ready:
                return made
            waited = time.monotonic() - began
            if waited > self.waits.ready:
                raise Transient(
                    f"deployment {made.id} is not ready after {duration(waited)}", "run again, or ask the provider why"
                )
            self.progress.advance(0, detail=f"{made.id}: {duration(waited)}")
            time.sleep(delay)
            delay = min(delay * 1.5, self.waits.longest)
            made = self._looked_at(provider, made, patience)

    def _made(self, provider: SupportsDeployment, standing: Standing, patience: Patience) -> Deployment:
        """The key's deployment: found, or made. Every try looks first, so that none is made twice."""
        key = standing.key
        return patience.retry(lambda: provider.find_deployment(key=key) or provider.deploy(standing.model, key=key))

    def _looked_at(self, provider: SupportsDeployment, made: Deployment, patience: Patience) -> Deployment:
        try:
            found = provider.deployment(made)
        except (Transient, Ambiguous) as error:
            patience.wait(error)
            return made
        patience.reset()
        if found is None:
            raise FtspecError(f"deployment {made.id} is gone before it was ready", "run again to put it up anew")
        return found

    def _down(self, provider: SupportsDeployment, key: str) -> None:
        """Take down what stands under the key, and say so when that does not work: it goes on costing money."""
        for standing in self.register.all(self.run):
            if standing.key == key and standing.state != "down":
                try:
                    take_down(provider, self.register, standing, self._leaving(), self.purse)
                except ProviderError as error:
                    self.progress.note(
                        f"the deployment of {standing.model.id} may still stand, which costs money ({error.message}): "
                        "run again or `ftspec gc --delete` to take it down"
                    )

    def sweep(self) -> None:
        """Take down what earlier processes of this machine have left standing at this endpoint."""
        provider = self.provider
        if not isinstance(provider, SupportsDeployment):
            return
        for standing in abandoned(self.workspace):
            if standing.endpoint != provider.endpoint:
                continue
            try:
                take_down(provider, self.register, standing, self._leaving(), purse_for(self.purse, standing.run))
                self.progress.note(f"took down a deployment of {standing.model.id} that an earlier process had left")
            except ProviderError as error:
                self.progress.note(f"a deployment of {standing.model.id} may still stand: {error.message}")

    def _patience(self) -> Patience:
        return Patience(self.waits.patience, first=self.waits.first, longest=self.waits.longest)

    def _leaving(self) -> Patience:
        return Patience(self.waits.leave, first=self.waits.first, longest=self.waits.longest)


def purse_for(purse: Purse, run: str) -> Purse:
    """The purse of another run in the same store."""
    return Purse(purse.store, run, purse.cap, purse.currency)


def abandoned(workspace: Workspace) -> list[Standing]:
    """What may stand and was put up by a process of this machine that is gone."""
    found = Register(workspace.store).standing()
    return [one for one in found if one.host == HOST and not workspace.is_alive(_lock(one.key))]


def take_down(
    provider: SupportsDeployment, register: Register, standing: Standing, patience: Patience, purse: Purse
) -> None:
    """Take a deployment down and write down that it is. Raises ProviderError when the provider does not do it."""

    def down() -> Deployment | None:
        made = standing.deployment or provider.find_deployment(key=standing.key)
        if made:
            provider.undeploy(made)
        return made

    made, now = patience.retry(down), time.time()
    register.put(msgspec.structs.replace(standing, state="down", deployment=made, ended=now))
    purse.fell(WHAT, f"{standing.key}-{standing.since:.0f}", now)


def _lock(key: str) -> str:
    return f"deployment-{key}"
