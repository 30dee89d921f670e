"""Tuned models put up to answer, and Converse for both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ftspec import api, hosted
from ftspec_bedrock.aws import Aws, calling
from ftspec_bedrock.converse import ConverseModel

LONG = re.compile(r":\d+k$")
"""The part of a model's id that says how long its rows may be: jobs take it, inference does not."""


class Serving:
    """The part of the provider that answers: custom-model deployments, billed by tokens, and Converse."""

    aws: Aws
    limits: api.RateLimits
    base_inference: str

    def deploys(self, model: api.ModelRef | api.TunedModel) -> bool:
        """A tuned model answers through a custom-model deployment; it is billed by tokens, as its base is."""
        return isinstance(model, api.TunedModel)

    def deploy(self, model: api.TunedModel, *, key: str) -> api.Deployment:
        """Put it up for on-demand inference, under the key's name and token."""
        name = hosted.name_of(key)
        if held := self._deployment(name):
            return held
        with calling():
            made = self.aws.client("bedrock").create_custom_model_deployment(
                modelDeploymentName=name,
                modelArn=model.id,
                description=model.base.id,
                clientRequestToken=key,
                tags=[{"key": "ftspec", "value": key}],
            )
        if "customModelDeploymentArn" not in made:
            raise hosted.unreadable(made)
        return api.Deployment(
            id=name, model=_served(model.id, model.base.id, made["customModelDeploymentArn"]), ready=False
        )

    def find_deployment(self, *, key: str) -> api.Deployment | None:
        """The deployment of the key's name; its description holds the base model's name."""
        return self._deployment(hosted.name_of(key))

    def deployment(self, deployment: api.Deployment) -> api.Deployment | None:
        """How it is now."""
        return self._deployment(deployment.id)

    def undeploy(self, deployment: api.Deployment) -> None:
        """Take it down."""
        self.aws.delete("delete_custom_model_deployment", customModelDeploymentIdentifier=deployment.id)

    @contextmanager
    def serve(self, model: api.ModelRef | api.TunedModel) -> Iterator[api.RemoteModel]:
        """Ask through Converse: the base model by its id, a tuned one by its deployment."""
        if isinstance(model, api.TunedModel):
            if "deployment" not in model.details:
                raise api.Rejected(
                    f"{model.id} is not deployed", "a tuned model of Bedrock answers only when it is deployed"
                )
            yield ConverseModel(self.aws, model.details["deployment"], self.limits)
        else:
            yield ConverseModel(self.aws, self.base_inference or LONG.sub("", model.id), self.limits)

    def _deployment(self, name: str) -> api.Deployment | None:
        try:
            with calling():
                said = self.aws.client("bedrock").get_custom_model_deployment(customModelDeploymentIdentifier=name)
        except api.NotFound:
            return None
        if "status" not in said:
            raise hosted.unreadable(said)
        failed = said["status"] == "Failed"
        return api.Deployment(
            id=name,
            model=_served(said["modelArn"], said.get("description", ""), said["customModelDeploymentArn"]),
            ready=said["status"] == "Active",
            created_at=said["createdAt"].timestamp(),
            error=(said.get("failureMessage") or "it failed") if failed else "",
        )


def _served(model: str, base: str, arn: str) -> api.TunedModel:
    return api.TunedModel(id=model, base=api.ModelRef(id=base), details={"deployment": arn})
