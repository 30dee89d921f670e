"""What ftspec has put or made at Together: told by its name, listed, deleted."""

from __future__ import annotations

from collections.abc import Iterator

from ftspec import api, hosted
from ftspec_together.client import calling, forgive


class Cleanup:
    """The part of the provider that `ftspec gc` asks."""

    clients: hosted.Clients
    project: str

    def remote_objects(self) -> Iterator[api.RemoteObject]:
        """Files, tuned models (with their jobs) and endpoints whose names ftspec made."""
        client = self.clients.sync()
        with calling():
            listed = client.files.list().data or []
            jobs = client.fine_tuning.list().data or []
            endpoints = list(client.endpoints.list()) if self.project else []
        for file in listed:
            if file.filename.startswith(hosted.PREFIX):
                yield api.RemoteObject(
                    kind="file",
                    id=file.id,
                    name=file.filename,
                    bytes=file.bytes,
                    created_at=float(file.created_at),
                    sha256=file.filename.removeprefix(hosted.PREFIX).partition("-")[0],
                )
        for job in jobs:
            if (job.suffix or "").startswith(hosted.PREFIX) and job.status == "completed":
                name = job.x_model_output_name or job.suffix
                yield api.RemoteObject(
                    kind="model", id=job.id, name=name, created_at=hosted.timestamp(job.created_at), job=job.id
                )
        for endpoint in endpoints:
            if endpoint.name.rpartition("/")[2].startswith(hosted.PREFIX):
                inner = endpoint.deployments[0].id if endpoint.deployments else ""
                identity, at = f"{endpoint.id}/{inner}", hosted.timestamp(endpoint.created_at)
                yield api.RemoteObject(kind="deployment", id=identity, name=endpoint.name, created_at=at)

    def delete(self, remote: api.RemoteObject) -> None:
        """Delete it; a model goes with its job."""
        client = self.clients.sync()
        if remote.kind == "deployment":
            endpoint, _, inner = remote.id.partition("/")
            if inner:
                forgive(client.endpoints.deployments.delete, inner, endpoint_id=endpoint)
            forgive(client.endpoints.delete, endpoint)
        elif remote.kind == "model":
            forgive(client.fine_tuning.delete, remote.id)
        else:
            forgive(client.files.delete, remote.id)
