"""What ftspec has put or made in an AWS account: told by its name, listed, deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ftspec import api, hosted
from ftspec_bedrock.aws import Aws, calling


class Cleanup:
    """The part of the provider that `ftspec gc` asks."""

    aws: Aws
    bucket: str
    prefix: str

    def remote_objects(self) -> Iterator[api.RemoteObject]:
        """Data files, models and deployments whose names ftspec made."""
        for found in self._pages(
            "s3", "list_objects_v2", Bucket=self.bucket, Prefix=f"{self.prefix}{hosted.PREFIX}data/"
        ):
            for thing in found.get("Contents", []):
                yield api.RemoteObject(
                    kind="file",
                    id=f"s3://{self.bucket}/{thing['Key']}",
                    name=thing["Key"].rpartition("/")[2],
                    bytes=thing["Size"],
                    created_at=thing["LastModified"].timestamp(),
                    sha256=thing["Key"].rpartition("/")[2].partition("-")[0],
                )
        for found in self._pages("bedrock", "list_custom_models"):
            for thing in found.get("modelSummaries", []):
                if thing["modelName"].startswith(hosted.PREFIX):
                    name, at = thing["modelName"], thing["creationTime"].timestamp()
                    yield api.RemoteObject(kind="model", id=thing["modelArn"], name=name, created_at=at, job=name)
        for found in self._pages("bedrock", "list_custom_model_deployments"):
            for thing in found.get("modelDeploymentSummaries", []):
                if (name := thing["customModelDeploymentName"]).startswith(hosted.PREFIX):
                    yield api.RemoteObject(
                        kind="deployment", id=name, name=name, created_at=thing["createdAt"].timestamp()
                    )

    def delete(self, remote: api.RemoteObject) -> None:
        """Delete it; Bedrock keeps a model while a deployment of it stands."""
        if remote.kind == "file":
            with calling():
                self.aws.client("s3").delete_object(Bucket=self.bucket, Key=remote.id.split("/", 3)[3])
        elif remote.kind == "model":
            self.aws.delete("delete_custom_model", modelIdentifier=remote.name or remote.id)
        else:
            self.aws.delete("delete_custom_model_deployment", customModelDeploymentIdentifier=remote.id)

    def _pages(self, service: str, operation: str, **what: str) -> Iterator[Mapping[str, Any]]:
        with calling():
            yield from self.aws.client(service).get_paginator(operation).paginate(**what)
