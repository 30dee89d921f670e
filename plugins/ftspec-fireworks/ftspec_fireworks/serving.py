"""Tuned models put up on deployments, and chat with both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ftspec import api, hosted
from ftspec_fireworks.client import HINTS, calling, forgive, got

IDLE = "900s"
"""A deployment that nobody asks goes down to no replica, and costs nothing, after so long."""


class Serving:
    """The part of the provider that answers."""

    clients: hosted.Clients
    chat_path: str
    limits: api.RateLimits
    deployment_shape: str

    def deploys(self, model: api.ModelRef | api.TunedModel) -> bool:
        """A tuned model answers from a deployment, billed by the GPU's second while it has a replica."""
        return isinstance(model, api.TunedModel)

    def deploy(self, model: api.TunedModel, *, key: str) -> api.Deployment:
        """A deployment whose id is made of the key, with at most one replica; one that is there is used."""
        if held := self.find_deployment(key=key):
            return held
        with calling():
            made = self.clients.sync().deployments.create(
                base_model=model.id,
                deployment_id=hosted.name_of(key),
                deployment_shape=self.deployment_shape,
                min_replica_count=0,
                max_replica_count=1,
                autoscaling_policy={"scale_to_zero_window": IDLE},
                description=f"ftspec: {model.base.id}",
            )
        if not getattr(made, "name", None):
            raise hosted.unreadable(made)
        return _described(made)

    def find_deployment(self, *, key: str) -> api.Deployment | None:
        """The deployment of the key's id."""
        return self._deployment(hosted.name_of(key))

    def deployment(self, deployment: api.Deployment) -> api.Deployment | None:
        """How it is now."""
        return self._deployment(deployment.id)

    def undeploy(self, deployment: api.Deployment) -> None:
        """Take it down, though it has answered just now."""
        forgive(self.clients.sync().deployments.delete, deployment.id, ignore_checks=True)

    @contextmanager
    def serve(self, model: api.ModelRef | api.TunedModel) -> Iterator[api.RemoteModel]:
        """Chat completions: the base model serverless, a tuned one on its deployment."""
        import fireworks

        name = model.id
        if isinstance(model, api.TunedModel):
            if "deployment" not in model.details:
                raise api.Rejected(f"{model.id} is not deployed", "a tuned model answers only from a deployment")
            name = f"{model.id}#{model.details['deployment']}"
        yield hosted.ChatModel(fireworks, self.clients.asynchronous, self.chat_path, name, HINTS, self.limits)

    def _deployment(self, id: str) -> api.Deployment | None:
        found = got(self.clients.sync().deployments.get, id)
        return None if found is None or found.state in {"DELETING", "DELETED"} else _described(found)


def _described(said: Any) -> api.Deployment:
    base = (said.description or "").removeprefix("ftspec: ")
    failed = said.state == "FAILED"
    return api.Deployment(
        id=said.name.rpartition("/")[2],
        model=api.TunedModel(id=said.base_model, base=api.ModelRef(id=base), details={"deployment": said.name}),
        ready=said.state in {"READY", "UPDATING"},
        created_at=hosted.timestamp(said.create_time) if said.create_time else 0.0,
        error=((said.status and said.status.message) or "it failed") if failed else "",
    )
