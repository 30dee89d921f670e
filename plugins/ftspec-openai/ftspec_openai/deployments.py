"""Models that answer only when they are put up: at Azure through its management API, at Nebius as custom models."""

from __future__ import annotations

import datetime
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct

from ftspec import api, hosted
from ftspec_openai.calls import Address, broken, calling
from ftspec_openai.tuner import Tuner

VERSION = "2024-10-01"
"""Of Azure's management API."""
LISTING = "list the custom models"


class Deployment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a tuned model is put up at Azure, which costs money by the hour until it is taken down."""

    subscription: Annotated[str, Meta(description="Id of the subscription that pays.", min_length=1)]
    resource_group: Annotated[str, Meta(description="Resource group of the account.", min_length=1)]
    account: Annotated[str, Meta(description="Name of the Azure OpenAI or Foundry resource.", min_length=1)]
    management_key: Annotated[
        str, Meta(description="Token of the management API: `az account get-access-token`, as a reference to a secret.")
    ] = "${secret:AZURE_MANAGEMENT_TOKEN}"
    sku: Annotated[str, Meta(description="Kind of deployment: Standard, GlobalStandard or DeveloperTier.")] = "Standard"
    capacity: Annotated[int, Meta(ge=1, description="Thousands of tokens per minute.")] = 1
    format: Annotated[str, Meta(description="Who made the base model: OpenAI, Microsoft, Meta, ...")] = "OpenAI"
    management_url: Annotated[
        str,
        Meta(
            description="Address of the management API.",
            pattern="^https?://",
            extra_json_schema={"patternErrorMessage": "Write an address that begins with https:// or http://."},
        ),
    ] = "https://management.azure.com"


class Host(Protocol):
    """Puts models up, under names that we choose."""

    def put(self, name: str, model: api.TunedModel, key: str) -> api.Deployment: ...

    def look(self, name: str) -> api.Deployment | None: ...

    def remove(self, identity: str) -> None: ...

    def all(self) -> Iterator[api.Deployment]:
        """What was put up under our names."""
        ...


class Deploying(Tuner, ABC):
    """A tuner whose models have to be deployed (api.SupportsDeployment)."""

    @property
    @abstractmethod
    def host(self) -> Host:
        """Who puts them up. Raises Rejected where the options do not say how."""

    def standing(self) -> Iterator[api.Deployment]:
        """What was put up under our names."""
        return self.host.all()

    def deploys(self, model: api.ModelRef | api.TunedModel) -> bool:
        return isinstance(model, api.TunedModel)

    def deploy(self, model: api.TunedModel, *, key: str) -> api.Deployment:
        return self.find_deployment(key=key) or self.host.put(hosted.name_of(key), model, key)

    def find_deployment(self, *, key: str) -> api.Deployment | None:
        return self.host.look(hosted.name_of(key))

    def deployment(self, deployment: api.Deployment) -> api.Deployment | None:
        return self.host.look(deployment.id)

    def undeploy(self, deployment: api.Deployment) -> None:
        self.host.remove(deployment.id)

    def delete(self, remote: api.RemoteObject) -> None:
        if remote.kind == "deployment":
            self.host.remove(remote.id)
        else:
            super().delete(remote)


class AzureHost:
    """Deployments of one Azure resource. Their tags hold what the API would not tell: the key and the base model."""

    def __init__(self, settings: Deployment, timeout: float) -> None:
        self.settings = settings
        where = (
            f"{settings.management_url.rstrip('/')}/subscriptions/{settings.subscription}/resourceGroups/"
            f"{settings.resource_group}/providers/Microsoft.CognitiveServices/accounts/{settings.account}"
        )
        self.client = Address(base_url=where, api_key=settings.management_key, timeout=timeout).client()
        self.options: Any = {"params": {"api-version": VERSION}}

    def put(self, name: str, model: api.TunedModel, key: str) -> api.Deployment:
        body = {
            "sku": {"name": self.settings.sku, "capacity": self.settings.capacity},
            "properties": {"model": {"format": self.settings.format, "name": model.id, "version": "1"}},
            "tags": {"ftspec_key": key, "ftspec_base": model.base.id, "ftspec_job": str(model.details.get("job", ""))},
        }
        with calling("deploy the model"):
            said = self.client.put(f"/deployments/{name}", body=body, cast_to=object, options=self.options)
        return self._deployment(said, "deploy the model")

    def look(self, name: str) -> api.Deployment | None:
        what = "look at the deployment"
        try:
            with calling(what):
                said = self.client.get(f"/deployments/{name}", cast_to=object, options=self.options)
        except api.NotFound:
            return None
        return self._deployment(said, what)

    def remove(self, identity: str) -> None:
        with suppress(api.NotFound), calling("take the deployment down"):
            self.client.delete(f"/deployments/{identity}", cast_to=object, options=self.options)

    def all(self) -> Iterator[api.Deployment]:
        what, where = "list the deployments", "/deployments"
        options = self.options
        while where:
            with calling(what):
                said: Any = self.client.get(where, cast_to=object, options=options)
            if not isinstance(said, dict):
                raise broken(what)
            for entry in said.get("value") or ():
                if str(entry.get("name", "")).startswith(hosted.PREFIX):
                    yield self._deployment(entry, what)
            where, options = self._next(said.get("nextLink") or ""), {}

    def _next(self, link: str) -> str:
        """The next page's address, on the server that we asked: the token goes to no other."""
        if link:
            hosted.sent_on("GET", self.settings.management_url, link)
        return link

    def _deployment(self, said: Any, what: str) -> api.Deployment:
        try:
            name, properties, tags = said["name"], said["properties"], said.get("tags") or {}
            state = str(properties.get("provisioningState", ""))
            base = api.ModelRef(id=tags.get("ftspec_base", ""))
            details = {"deployment": name, "job": tags.get("ftspec_job", "")}
            return api.Deployment(
                id=name,
                model=api.TunedModel(id=properties["model"]["name"], base=base, details=details),
                ready=state == "Succeeded",
                created_at=_seconds((said.get("systemData") or {}).get("createdAt")),
                error=f"Azure says {state}" if state in {"Failed", "Canceled", "Disabled"} else "",
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise broken(what) from error


class NebiusHost:
    """Custom models at Nebius. It chooses their names itself, so that ours and the key stand in the description."""

    def __init__(self, address: Address, serves: str) -> None:
        self.client = Address(
            base_url=address.base_url.rstrip("/").removesuffix("/v1") + "/v0",
            api_key=address.api_key,
            timeout=address.timeout,
        ).client()
        self.serves = serves

    def put(self, name: str, model: api.TunedModel, key: str) -> api.Deployment:
        what = "deploy the model"
        body = {
            "name": name,
            "base_model": self.serves or model.base.id,
            "source": model.id,
            "description": f"{name} {model.base.id}",
        }
        with calling(what):
            said = self.client.post("/models", body=body, cast_to=object)
        return self._deployment(said, what)

    def look(self, name: str) -> api.Deployment | None:
        return next((standing for standing in self.all() if standing.id == name), None)

    def remove(self, identity: str) -> None:
        standing = self.look(identity)
        if standing is None:
            return
        with suppress(api.NotFound), calling("take the model down"):
            self.client.delete(f"/models/{standing.model.details['deployment']}", cast_to=object)

    def all(self) -> Iterator[api.Deployment]:
        for entry in self._listed():
            ours = isinstance(entry, dict) and str(entry.get("description") or "").startswith(hosted.PREFIX)
            if ours and entry.get("status") != "deleted":
                yield self._deployment(entry, LISTING)

    def _listed(self) -> Iterator[Any]:
        """Every custom model. The documentation promises one array; one that comes as a page names the next."""
        seen: set[str] = set()
        params: dict[str, str] = {}
        while True:
            with calling(LISTING):
                said: Any = self.client.get("/models", cast_to=object, options={"params": params})
            page = said if isinstance(said, dict) else {"data": said}
            if not isinstance(page.get("data"), list):
                raise broken(LISTING)
            yield from page["data"]
            last = str(page.get("last_id") or "")
            if not page.get("has_more") or not last or last in seen:
                return
            seen.add(last)
            params = {"after": last}

    def _deployment(self, said: Any, what: str) -> api.Deployment:
        try:
            name, _, base = said["description"].partition(" ")
            source = said.get("source") or f"{said['job_id']}:{said['checkpoint_id']}"
            details = {"deployment": said["name"], "job": source.partition(":")[0]}
            failed = said["status"] == "error"
            return api.Deployment(
                id=name,
                model=api.TunedModel(id=source, base=api.ModelRef(id=base), details=details),
                ready=said["status"] == "active",
                created_at=_seconds(said.get("created_at")),
                error=str(said.get("status_reason") or "it failed") if failed else "",
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise broken(what) from error


def _seconds(moment: str | float | None) -> float:
    """Seconds since the epoch of a time in ISO 8601, or in seconds already; 0 where there is none."""
    if isinstance(moment, int | float):
        return float(moment)
    try:
        return datetime.datetime.fromisoformat(moment or "").timestamp()
    except ValueError:
        return 0.0
