"""The simulated tuner's deployments, and what ftspec has left there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ftspec import api
from ftspec.builtin.simulated.client import Client


class Hosting:
    """Puts models up and takes them down, lists and deletes."""

    client: Client
    hosting: dict[str, Any]
    needs_deployment: bool

    def deploys(self, model: api.ModelRef | api.TunedModel) -> bool:
        return self.needs_deployment and isinstance(model, api.TunedModel)

    def deploy(self, model: api.TunedModel, *, key: str) -> api.Deployment:
        order = {"key": key, "job": model.details["job"], "behaviour": self.hosting}
        return _deployment(self.client.call("deploy", "POST", "/deployments", msgspec.json.encode(order)), model)

    def find_deployment(self, *, key: str) -> api.Deployment | None:
        held = self.client.call("find_deployment", "GET", "/deployments", key=key)["deployments"]
        return _deployment(held[0]) if held else None

    def deployment(self, deployment: api.Deployment) -> api.Deployment | None:
        try:
            said = self.client.call("deployment", "GET", f"/deployments/{deployment.id}")
        except api.Rejected:
            return None
        return _deployment(said, deployment.model)

    def undeploy(self, deployment: api.Deployment) -> None:
        self.client.call("undeploy", "POST", f"/deployments/{deployment.id}/delete")

    def remote_objects(self) -> Iterable[api.RemoteObject]:
        held = self.client.call("list", "GET", "/objects")["objects"]
        return msgspec.convert(held, list[api.RemoteObject])

    def delete(self, remote: api.RemoteObject) -> None:
        places = {"file": f"/files/{remote.id}/delete", "deployment": f"/deployments/{remote.id}/delete"}
        self.client.call("delete", "POST", places.get(remote.kind) or f"/jobs/{remote.job}/delete_model")


def _deployment(said: Mapping[str, Any], model: api.TunedModel | None = None) -> api.Deployment:
    """`model` is what was deployed, where it is known: a look by key knows the job alone."""
    details = {"job": said["job"], "deployment": said["id"]}
    base = model.base if model else api.ModelRef(id="")
    return api.Deployment(
        id=said["id"],
        model=api.TunedModel(id=model.id if model else said["job"], base=base, details=details),
        ready=said["ready"],
        created_at=said["created_at"],
        error=said["error"],
    )
