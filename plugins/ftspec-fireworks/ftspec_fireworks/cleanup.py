"""What ftspec has put or made at Fireworks: told by its name, listed, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from ftspec import api, hosted
from ftspec_fireworks.client import calling, forgive


class Cleanup:
    """The part of the provider that `ftspec gc` asks."""

    clients: hosted.Clients

    def remote_objects(self) -> Iterator[api.RemoteObject]:
        """Datasets, tuned models and deployments whose ids ftspec made."""
        client = self.clients.sync()
        with calling():
            datasets, models = list(client.datasets.list()), list(client.models.list())
            deployments = list(client.deployments.list())
        for one in datasets:
            if _ours(one):
                yield _object("file", one, sha256=one.display_name or "")
        for one in models:
            if _ours(one):
                yield _object("model", one, job=_id(one))
        for one in deployments:
            if _ours(one) and one.state not in {"DELETING", "DELETED"}:
                yield _object("deployment", one)

    def delete(self, remote: api.RemoteObject) -> None:
        """Delete it."""
        client = self.clients.sync()
        if remote.kind == "deployment":
            forgive(client.deployments.delete, remote.id, ignore_checks=True)
        else:
            forgive((client.models if remote.kind == "model" else client.datasets).delete, remote.id)


def _id(one: Any) -> str:
    return str(one.name).rpartition("/")[2]


def _ours(one: Any) -> bool:
    return _id(one).startswith(hosted.PREFIX)


def _object(
    kind: Literal["file", "model", "deployment"], one: Any, sha256: str = "", job: str = ""
) -> api.RemoteObject:
    at = hosted.timestamp(one.create_time) if one.create_time else 0.0
    return api.RemoteObject(kind=kind, id=_id(one), name=one.name, created_at=at, sha256=sha256, job=job)
