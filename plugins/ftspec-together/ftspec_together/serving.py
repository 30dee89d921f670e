"""Tuned models put up on dedicated endpoints, and chat with both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ftspec import api, hosted
from ftspec_together.client import HINTS, calling, forgive

NAME = "ftspec"
IDLE_MINUTES = 30
"""A deployment that nobody asks stops after so long, whatever became of us; the least that Together takes."""
READY = {"DEPLOYMENT_STATE_READY", "DEPLOYMENT_STATE_SCALING", "DEPLOYMENT_STATE_DEGRADED"}
DEAD = {"DEPLOYMENT_STATE_FAILED", "DEPLOYMENT_STATE_STOPPED", "DEPLOYMENT_STATE_STOPPING"}


class Serving:
    """The part of the provider that answers."""

    clients: hosted.Clients
    project: str
    limits: api.RateLimits
    deployment_config: str

    def deploys(self, model: api.ModelRef | api.TunedModel) -> bool:
        """A tuned model answers from a dedicated endpoint, billed by the minute while it stands."""
        return isinstance(model, api.TunedModel)

    def deploy(self, model: api.TunedModel, *, key: str) -> api.Deployment:
        """An endpoint of the key's name with one deployment of one replica; what there is of it already is used."""
        endpoint = self._endpoint(key)
        client = self.clients.sync()
        if endpoint is None:
            with calling():
                endpoint = client.endpoints.create(name=hosted.name_of(key), visibility="VISIBILITY_PRIVATE")
            if not getattr(endpoint, "id", None):
                raise hosted.unreadable(endpoint)
        if endpoint.deployments:
            return self._described(endpoint, endpoint.deployments[0], model)
        wanted: dict[str, Any] = {"config": self.deployment_config} if self.deployment_config else {}
        with calling():
            made = client.endpoints.deployments.create(
                endpoint.id,
                name=NAME,
                model=self._resource(model, endpoint.project_id),
                autoscaling={"min_replicas": 1, "max_replicas": 1},
                inactive_timeout=IDLE_MINUTES,
                **wanted,
            )
        if not getattr(made, "id", None):
            raise hosted.unreadable(made)
        return self._described(endpoint, made, model)

    def find_deployment(self, *, key: str) -> api.Deployment | None:
        """The deployment on the endpoint of the key's name."""
        endpoint = self._endpoint(key)
        if endpoint is None or not endpoint.deployments:
            return None
        found = endpoint.deployments[0]
        return self._described(endpoint, found, api.TunedModel(id=found.model, base=api.ModelRef(id="")))

    def deployment(self, deployment: api.Deployment) -> api.Deployment | None:
        """How it is now."""
        endpoint, _, identity = deployment.id.partition("/")
        try:
            with calling():
                said = self.clients.sync().endpoints.deployments.retrieve(identity, endpoint_id=endpoint)
        except api.NotFound:
            return None
        if not getattr(said, "status", None):
            raise hosted.unreadable(said)
        state = said.status.state
        served = {**deployment.model.details, "serves": said.name}
        return api.Deployment(
            id=deployment.id,
            model=api.TunedModel(id=deployment.model.id, base=deployment.model.base, details=served),
            ready=state in READY,
            created_at=hosted.timestamp(said.created_at),
            error=(said.status.message or state) if state in DEAD else "",
        )

    def undeploy(self, deployment: api.Deployment) -> None:
        """Take down the deployment, then its endpoint."""
        endpoint, _, identity = deployment.id.partition("/")
        endpoints = self.clients.sync().endpoints
        forgive(endpoints.deployments.delete, identity, endpoint_id=endpoint)
        forgive(endpoints.delete, endpoint)

    @contextmanager
    def serve(self, model: api.ModelRef | api.TunedModel) -> Iterator[api.RemoteModel]:
        """Chat completions: the base model serverless, a tuned one through its deployment."""
        import together

        name = model.id
        if isinstance(model, api.TunedModel):
            if "serves" not in model.details:
                raise api.Rejected(f"{model.id} is not deployed", "a tuned model answers only from an endpoint")
            name = model.details["serves"]
        connect = self.clients.asynchronous
        yield hosted.ChatModel(together, connect, "/v1/chat/completions", name, HINTS, self.limits)

    def _endpoint(self, key: str) -> Any:
        """The endpoint of the key's name, None where there is none."""
        if not self.project:
            raise api.Rejected(
                "no project is named, in which the tuned model could be put up",
                "set the provider's option `project` to a project's id: https://api.together.ai/settings/projects",
            )
        name = hosted.name_of(key)
        with calling():
            for one in self.clients.sync().endpoints.list(filter=f'name = "{name}"'):
                if one.name.rpartition("/")[2] == name:
                    return one
        return None

    def _resource(self, model: api.TunedModel, project: str) -> str:
        if "object" not in model.details:
            raise api.Rejected(
                f"Together has no registry id of {model.id}",
                "this base model cannot be put up on an endpoint; see https://docs.together.ai/docs/fine-tuning/deployment",
            )
        revision = model.details.get("revision")
        return f"projects/{project}/models/{model.details['object']}" + (f"/revisions/{revision}" if revision else "")

    def _described(self, endpoint: Any, found: Any, model: api.TunedModel) -> api.Deployment:
        state = getattr(found if hasattr(found, "state") else found.status, "state", "")
        served = {**model.details, "serves": found.name}
        return api.Deployment(
            id=f"{endpoint.id}/{found.id}",
            model=api.TunedModel(id=model.id, base=model.base, details=served),
            ready=state in READY,
            created_at=hosted.timestamp(found.created_at),
            error=state if state in DEAD else "",
        )
