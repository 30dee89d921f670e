"""Fireworks on the loopback address: every request and answer is checked against the SDK's own types."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from fireworks import types
from fireworks.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from fireworks.types.chat.completion_create_response import CompletionCreateResponse
from fireworks.types.dataset_create_params import DatasetCreateParams
from fireworks.types.deployment_create_params import DeploymentCreateParams
from fireworks.types.dpo_job_create_params import DpoJobCreateParams
from fireworks.types.dpo_job_get_metrics_file_endpoint_response import DpoJobGetMetricsFileEndpointResponse
from fireworks.types.supervised_fine_tuning_job_create_params import SupervisedFineTuningJobCreateParams
from servers.typed import Call, Reply, TypedServer, typed

KEY = "fireworks-secret-key-0123456789"
ACCOUNT = "team"
LIVES = ("JOB_STATE_CREATING", "JOB_STATE_RUNNING", "JOB_STATE_COMPLETED")
STEPS = 4
ENDED = {"JOB_STATE_COMPLETED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EARLY_STOPPED"}


def now() -> str:
    return datetime.now(UTC).isoformat()


class Fireworks(TypedServer):
    """`lives`: what a job's state is at each look. `jobs`, `datasets`, `deployments`: all there is, by name."""

    def __init__(self) -> None:
        super().__init__(KEY)
        self.reset()

    def reset(self) -> None:
        self.datasets: dict[str, dict] = {}
        self.jobs: dict[str, dict] = {}
        self.models: dict[str, dict] = {}
        self.deployments: dict[str, dict] = {}
        self.looks: dict[str, int] = {}
        self.lives, self.reason = LIVES, ""
        self.problems.clear()
        self.calls.clear()

    def allowed(self, headers) -> bool:
        return super().allowed(headers) or headers.get("authorization") is None  # signed addresses need no key

    def routes(self):
        base, one = f"/v1/accounts/{ACCOUNT}", "(?P<id>[^/:]+)"
        routes = [
            ("POST", f"{base}/datasets", self.new_dataset),
            ("POST", f"{base}/datasets/{one}:upload", self.store),
            ("GET", "/signed/.*", lambda call: self.metrics()),
            ("POST", f"{base}/deployments", self.new_deployment),
            ("POST", "/v1/chat/completions", self.chat),
            ("GET", f"{base}/dpoJobs/{one}:getMetricsFileEndpoint", self.signed),
        ]
        for kind in ("supervisedFineTuningJobs", "dpoJobs"):
            routes += [
                ("POST", f"{base}/{kind}", lambda call, kind=kind: self.new_job(kind, call)),
                ("GET", f"{base}/{kind}/{one}", lambda call, kind=kind: self.look(kind, call)),
                ("POST", f"{base}/{kind}/{one}:cancel", lambda call, kind=kind: self.cancel(kind, call)),
            ]
        for kind, model in (("datasets", types.Dataset), ("models", types.Model), ("deployments", types.Deployment)):
            routes += [
                ("GET", f"{base}/{kind}", lambda call, kind=kind, model=model: self.listed(kind, model)),
                ("GET", f"{base}/{kind}/{one}", lambda call, kind=kind, model=model: self.shown(kind, model, call)),
                ("DELETE", f"{base}/{kind}/{one}", lambda call, kind=kind: self.removed(kind, call)),
            ]
        return routes

    # ---- what is listed, shown and removed alike

    def listed(self, kind, model):
        return {kind: [typed(model, held) for held in getattr(self, kind).values()]}

    def shown(self, kind, model, call: Call):
        held = self.there(getattr(self, kind), call)
        said = typed(model, dict(held))
        if kind == "deployments":
            held["state"] = "READY"
        return said

    def removed(self, kind, call: Call):
        self.there(getattr(self, kind), call)
        del getattr(self, kind)[call.path["id"]]
        return {}

    def there(self, held, call: Call):
        if call.path["id"] not in held:
            raise Reply(404, {"error": {"code": "NOT_FOUND", "message": f"{call.path['id']} not found"}})
        return held[call.path["id"]]

    # ---- datasets

    def new_dataset(self, call: Call):
        self.expect(DatasetCreateParams, call.body)
        id = call.body["datasetId"]
        if id in self.datasets:
            raise Reply(409, {"error": {"code": "ALREADY_EXISTS", "message": "the dataset exists"}})
        name = f"accounts/{ACCOUNT}/datasets/{id}"
        self.datasets[id] = {"name": name, "state": "UPLOADING", "createTime": now(), **call.body["dataset"]}
        return typed(types.Dataset, self.datasets[id])

    def store(self, call: Call):
        held = self.there(self.datasets, call)
        if self.reason.startswith("row"):
            held["status"] = {"code": "INVALID_ARGUMENT", "message": self.reason}
        else:
            held["state"] = "READY"
        return typed(types.DatasetUploadResponse, {"id": call.path["id"], "bytes": len(call.data)})

    # ---- jobs

    def new_job(self, kind, call: Call):
        params = DpoJobCreateParams if kind == "dpoJobs" else SupervisedFineTuningJobCreateParams
        self.expect(params, {**call.body, **call.query})
        id = call.query["dpoJobId" if kind == "dpoJobs" else "supervisedFineTuningJobId"]
        if f"{kind}/{id}" in self.jobs:
            raise Reply(409, {"error": {"code": "ALREADY_EXISTS", "message": "the job exists"}})
        if call.body["dataset"].rpartition("/")[2] not in self.datasets:
            raise Reply(400, {"error": {"code": "INVALID_ARGUMENT", "message": "no such dataset"}})
        made = {**call.body, "name": f"accounts/{ACCOUNT}/{kind}/{id}", "createTime": now(), "state": LIVES[0]}
        self.jobs[f"{kind}/{id}"] = made
        return self.described(kind, made)

    def described(self, kind, job):
        model = types.DpoJob if kind == "dpoJobs" else types.SupervisedFineTuningJob
        said = dict(job)
        if kind != "dpoJobs":
            said["jobProgress"] = {"percent": 100 if job["state"] in ENDED else 10}
            if job["state"] in ENDED:
                said["metricsFileSignedUrl"] = f"{self.url}/signed/{job['name']}"
        return typed(model, said) if job["state"] != "JOB_STATE_NAPPING" else said

    def look(self, kind, call: Call):
        id = f"{kind}/{call.path['id']}"
        if id not in self.jobs:
            raise Reply(404, {"error": {"code": "NOT_FOUND", "message": "no such job"}})
        job = self.jobs[id]
        if job["state"] == "JOB_STATE_CANCELLING":
            job["state"] = "JOB_STATE_CANCELLED"
        elif job["state"] not in ENDED:
            look = self.looks[id] = self.looks.get(id, -1) + 1
            job["state"] = self.lives[min(look, len(self.lives) - 1)]
            if job["state"] == "JOB_STATE_COMPLETED":
                self.make_model(job)
            if job["state"] == "JOB_STATE_FAILED":
                job["status"] = {"code": "INVALID_ARGUMENT", "message": self.reason}
        return self.described(kind, job)

    def make_model(self, job):
        id = job["name"].rpartition("/")[2]
        self.models[id] = {"name": f"accounts/{ACCOUNT}/models/{id}", "createTime": now(), "kind": "HF_PEFT_ADDON"}

    def cancel(self, kind, call: Call):
        job = self.jobs[f"{kind}/{call.path['id']}"]
        if job["state"] in ENDED:
            raise Reply(400, {"error": {"code": "FAILED_PRECONDITION", "message": "the job has ended"}})
        job["state"] = "JOB_STATE_CANCELLING"
        return {}

    def signed(self, call: Call):
        return typed(DpoJobGetMetricsFileEndpointResponse, {"signedUrl": f"{self.url}/signed/{call.path['id']}"})

    def metrics(self):
        rows = [{"step": n, "train/loss": 2 / n, "train/learning_rate": 1e-4} for n in range(1, STEPS + 1)]
        rows.append({"step": STEPS, "eval/loss": 0.75})
        raise Reply(200, "".join(json.dumps(row) + "\n" for row in rows).encode())

    # ---- deployments and chat

    def new_deployment(self, call: Call):
        self.expect(DeploymentCreateParams, {**call.body, **call.query})
        id = call.query["deploymentId"]
        if id in self.deployments:
            raise Reply(409, {"error": {"code": "ALREADY_EXISTS", "message": "the deployment exists"}})
        name = f"accounts/{ACCOUNT}/deployments/{id}"
        self.deployments[id] = {**call.body, "name": name, "createTime": now(), "state": "CREATING"}
        return typed(types.Deployment, dict(self.deployments[id]))

    def chat(self, call: Call):
        self.expect(CompletionCreateParamsNonStreaming, call.body)
        model, _, deployment = call.body["model"].partition("#")
        if deployment and deployment.rpartition("/")[2] not in self.deployments:
            raise Reply(404, {"error": {"message": "no such deployment"}})
        said = ("yes" if deployment else "no") + f" to {call.body['messages'][-1]['content']}"
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
        whole = {"id": "c", "created": 1, "model": model, "object": "chat.completion"}
        return typed(CompletionCreateResponse, {**whole, "choices": [choice], "usage": usage})
