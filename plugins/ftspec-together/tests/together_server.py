"""Together on the loopback address: every request and answer is checked against the SDK's own types."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from servers.typed import Call, Reply, TypedServer, typed
from together import types
from together.lib.types.fine_tuning import FinetuneRequest, FinetuneResponse
from together.types.endpoint_create_params import EndpointCreateParams
from together.types.endpoint_deployment import EndpointDeployment
from together.types.endpoints.deployment_create_params import DeploymentCreateParams
from together.types.fine_tuning_list_events_response import FineTuningListEventsResponse
from together.types.fine_tuning_list_metrics_params import FineTuningListMetricsParams
from together.types.fine_tuning_list_metrics_response import FineTuningListMetricsResponse
from together.types.fine_tuning_list_response import Data as ListedJob
from together.types.finetune_model_limits import FinetuneModelLimits

KEY = "together-secret-key-0123456789"
PROJECT = "proj_1"
LIVES = ("pending", "running", "uploading", "completed")
STEPS = 4
FLAGS = ("supports_full_training", "supports_reasoning", "supports_tools", "merge_output_lora")


def now() -> str:
    return datetime.now(UTC).isoformat()


class Together(TypedServer):
    """`lives`: what a job's status is at each look. `jobs`, `files`, `endpoints`: all that was ever made."""

    def __init__(self) -> None:
        super().__init__(KEY)
        self.reset()

    def reset(self) -> None:
        self.files: dict[str, dict] = {}
        self.contents: dict[str, bytes] = {}
        self.jobs: dict[str, dict] = {}
        self.looks: dict[str, int] = {}
        self.endpoints: dict[str, dict] = {}
        self.lives, self.reason, self.verdict = LIVES, "", "COMPLETED"
        self.problems.clear()
        self.calls.clear()

    def allowed(self, headers) -> bool:
        return super().allowed(headers) or headers.get("authorization") is None  # the PUT to storage carries none

    def routes(self):
        jobs, ends = "/v1/fine-tunes", f"/v2/projects/{PROJECT}/endpoints"
        one, deployment = f"{ends}/(?P<id>[^/]+)", f"{ends}/(?P<endpoint>[^/]+)/deployments"
        return [
            ("POST", "/v1/files", self.new_file),
            ("PUT", "/storage/(?P<id>[^/]+)", self.store),
            ("POST", "/v1/files/(?P<id>[^/]+)/preprocess", self.stored),
            ("GET", "/v1/files", lambda call: {"data": [self.file(id) for id in self.contents]}),
            ("GET", "/v1/files/(?P<id>[^/]+)", self.look_at_file),
            ("DELETE", "/v1/files/(?P<id>[^/]+)", self.delete_file),
            ("GET", f"{jobs}/models/limits", self.limits),
            ("POST", f"{jobs}/estimate-price", self.price),
            ("POST", jobs, self.new_job),
            ("GET", jobs, lambda call: {"data": [typed(ListedJob, self.listed(job)) for job in self.jobs.values()]}),
            ("GET", f"{jobs}/(?P<id>[^/]+)", self.look),
            ("DELETE", f"{jobs}/(?P<id>[^/]+)", self.delete_job),
            ("POST", f"{jobs}/(?P<id>[^/]+)/cancel", self.cancel),
            ("GET", f"{jobs}/(?P<id>[^/]+)/events", self.events),
            ("GET", f"{jobs}/(?P<id>[^/]+)/metrics", self.metrics),
            ("POST", ends, self.new_endpoint),
            ("GET", ends, self.list_endpoints),
            ("DELETE", one, self.delete_endpoint),
            ("POST", deployment, self.new_deployment),
            ("GET", f"{deployment}/(?P<id>[^/]+)", self.look_at_deployment),
            ("DELETE", f"{deployment}/(?P<id>[^/]+)", self.delete_deployment),
            ("POST", "/v1/chat/completions", self.chat),
        ]

    # ---- files

    def new_file(self, call: Call):
        form = dict(part.split("=", 1) for part in call.data.decode().split("&")) if b"=" in call.data else {}
        if b"Content-Disposition" in call.data:
            form = _multipart(call.data)
        id = f"file-{len(self.files) + 1}"
        self.files[id] = {"filename": form["file_name"], "created_at": int(time.time())}
        raise Reply(302, None, {"Location": f"{self.url}/storage/{id}", "X-Together-File-Id": id})

    def store(self, call: Call):
        self.contents[call.path["id"]] = call.data
        return {}

    def stored(self, call: Call):
        return self.file(call.path["id"], "QUEUED")

    def look_at_file(self, call: Call):
        self.there(self.contents, call)
        return self.file(call.path["id"], self.verdict)

    def file(self, id: str, status: str = "COMPLETED"):
        held = self.files[id]
        bad = {"validation_report": {"valid": False, "error": self.reason}} if status == "INVALID_FORMAT" else {}
        said = {
            "id": id,
            "object": "file",
            "purpose": "fine-tune",
            "FileType": "jsonl",
            "bytes": len(self.contents[id]),
        }
        said["bytes"] = len(self.contents[id])
        return typed(types.FileResponse, {**said, **held, "processing_status": status, **bad})

    def delete_file(self, call: Call):
        self.there(self.contents, call)
        del self.contents[call.path["id"]]
        return typed(types.FileDeleteResponse, {"id": call.path["id"], "deleted": True})

    # ---- jobs

    def limits(self, call: Call):
        sizes = {"max_batch_size": 64, "min_batch_size": 8, "max_batch_size_dpo": 32}
        flags = dict.fromkeys(
            ("supports_full_training", "supports_reasoning", "supports_tools", "merge_output_lora"), True
        )
        lengths = {"max_seq_length_dpo": 8192, "max_seq_length_sft": 8192, "min_max_seq_length": 512}
        most = {"max_num_checkpoints": 10, "max_num_epochs": 20, "max_num_evals": 100}
        rates = {"max_learning_rate": 1.0, "min_learning_rate": 0.0, "default_gradient_accumulation_steps": 1}
        lora = {**sizes, "default_rank": 64, "max_rank": 64, "target_modules": ["q_proj"]}
        said = {"model_name": call.query["model_name"], "lora_training": lora, "full_training": sizes}
        return typed(FinetuneModelLimits, {**said, **flags, **lengths, **most, **rates, "supports_vision": False})

    def price(self, call: Call):
        said = {
            "allowed_to_proceed": True,
            "estimated_total_price": 1.0,
            "user_limit": 100.0,
            "estimation_available": True,
        }
        return {
            **said,
            "estimation_available": True,
            "estimated_train_token_count": 100.0,
            "estimated_eval_token_count": 0.0,
        }

    def new_job(self, call: Call):
        order = FinetuneRequest.model_validate(call.body)
        unknown = call.body.keys() - {field.alias or name for name, field in FinetuneRequest.model_fields.items()}
        if unknown or order.training_file not in self.contents:
            self.problems.append(f"job with {sorted(unknown)} and {order.training_file}")
            raise Reply(400, {"error": {"message": "no such file"}})
        id = f"ft-{len(self.jobs) + 1}"
        self.jobs[id] = {
            "id": id,
            "created_at": now(),
            "updated_at": now(),
            "user_id": "u",
            "status": "pending",
            "order": call.body,
        }
        job = self.described(id)
        return typed(FinetuneResponse, {**job, "adapter_output_name": None})

    def described(self, id: str):
        job = self.jobs[id]
        copied = ("model", "suffix", "training_file", "validation_file", "n_epochs", "learning_rate")
        said = {key: job["order"].get(key) for key in copied if job["order"].get(key) is not None}
        done = job["status"] == "completed"
        name = f"team/{said['model'].rpartition('/')[2]}:{said['suffix']}:{id}" if done else None
        kept = {key: job[key] for key in ("id", "created_at", "updated_at", "user_id", "status")}
        return {**kept, **said, "model_output_name": name}

    def listed(self, job):
        return self.described(job["id"])

    def look(self, call: Call):
        job = self.there(self.jobs, call)
        if job["status"] not in {"completed", "cancelled", "error"} and job["status"] != "cancel_requested":
            look = self.looks[job["id"]] = self.looks.get(job["id"], -1) + 1
            job["status"] = self.lives[min(look, len(self.lives) - 1)]
        elif job["status"] == "cancel_requested":
            job["status"] = "cancelled"
        said = self.described(job["id"])
        said.pop("suffix", None)
        made = {"model_object_id": f"ml_{job['id']}", "model_object_revision_id": "rv_1", "token_count": 1234}
        said |= made if job["status"] == "completed" else {}
        return typed(types.FinetuneResponse, said) if job["status"] in LIVES else said

    def cancel(self, call: Call):
        job = self.there(self.jobs, call)
        if job["status"] in {"completed", "error", "cancelled"}:
            raise Reply(400, {"error": {"message": "the job has ended"}})
        job["status"] = "cancel_requested"
        return typed(types.FineTuningCancelResponse, self.described(job["id"]))

    def delete_job(self, call: Call):
        self.there(self.jobs, call)
        del self.jobs[call.path["id"]]
        return {"message": "deleted"}

    def events(self, call: Call):
        job = self.there(self.jobs, call)
        kinds = [("job_pending", "Job is waiting"), ("training_start", "Training started")]
        if job["status"] == "error":
            kinds.append(("job_error", self.reason))
        said = {"object": "fine-tune-event", "level": "info", "created_at": job["created_at"]}
        return typed(
            FineTuningListEventsResponse, {"data": [{**said, "type": kind, "message": text} for kind, text in kinds]}
        )

    def metrics(self, call: Call):
        query = {key: int(value) if value.isdigit() else value for key, value in call.query.items()}
        self.expect(FineTuningListMetricsParams, query)
        job = self.there(self.jobs, call)
        reached = STEPS if job["status"] in {"completed", "uploading"} else 0
        rows = [
            {"train/global_step": n, "train/loss": 2.0 / n, "train/learning_rate": 1e-5} for n in range(1, reached + 1)
        ]
        rows += [{"train/global_step": STEPS, "eval/loss": 0.75}] if reached else []
        kept = [row for row in rows if row["train/global_step"] >= query.get("global_step_from", 0)]
        return typed(FineTuningListMetricsResponse, {"metrics": kept})

    # ---- endpoints

    def new_endpoint(self, call: Call):
        self.expect(EndpointCreateParams, call.body)
        if any(held["name"].endswith(f"/{call.body['name']}") for held in self.endpoints.values()):
            raise Reply(409, {"error": {"message": "the name is taken"}})
        id = f"ep_{len(self.endpoints) + 1}"
        self.endpoints[id] = {"id": id, "name": f"team/{call.body['name']}", "createdAt": now(), "deployments": []}
        return self.endpoint(id)

    def endpoint(self, id: str):
        fixed = {"endpointType": "ENDPOINT_TYPE_DEDICATED", "etag": "1", "projectId": PROJECT, "trafficSplit": []}
        held = self.endpoints[id]
        keys = ("id", "name", "model", "createdAt", "trafficMode", "modelId", "autoscaling")
        brief = [
            {**{key: one[key] for key in keys}, "state": one["status"]["state"], "estimatedEffectiveTrafficShare": 0.0}
            for one in held["deployments"]
        ]
        said = {**held, **fixed, "updatedAt": now(), "visibility": "VISIBILITY_PRIVATE", "deployments": brief}
        return typed(types.Endpoint, said)

    def list_endpoints(self, call: Call):
        return {"data": [self.endpoint(id) for id in self.endpoints]}

    def delete_endpoint(self, call: Call):
        if self.there(self.endpoints, call)["deployments"]:
            raise Reply(400, {"error": {"message": "delete its deployments first"}})
        del self.endpoints[call.path["id"]]
        return {}

    def new_deployment(self, call: Call):
        self.expect(DeploymentCreateParams, call.body)
        held = self.endpoints[call.path["endpoint"]]
        model = call.body["model"]
        made = {
            "id": f"dep_{len(held['deployments']) + 1}",
            "name": f"{held['name']}/{call.body['name']}",
            "model": model,
            "modelId": model.split("/")[3],
            "modelRevisionId": model.rpartition("/")[2],
            "config": "projects/p/configs/c",
            "configId": "c",
            "createdAt": now(),
            "updatedAt": now(),
            "endpointId": held["id"],
            "etag": "1",
            "hardware": "1x H100",
            "projectId": PROJECT,
            "trafficMode": "TRAFFIC_MODE_LIVE",
            "autoscaling": {"minReplicas": 1, "maxReplicas": 1},
            "inactiveTimeout": call.body["inactiveTimeout"],
            "status": {"message": "coming up", "state": "DEPLOYMENT_STATE_PROVISIONING"},
        }
        held["deployments"].append(made)
        return typed(EndpointDeployment, made)

    def look_at_deployment(self, call: Call):
        held = self.endpoints.get(call.path["endpoint"], {"deployments": []})["deployments"]
        found = next((one for one in held if one["id"] == call.path["id"]), None)
        if not found:
            raise Reply(404, {"error": {"message": "no such deployment"}})
        said = dict(found)
        found["status"] = {"message": "", "state": "DEPLOYMENT_STATE_READY"}
        return typed(EndpointDeployment, said)

    def delete_deployment(self, call: Call):
        held = self.endpoints.get(call.path["endpoint"])
        if not held or not held["deployments"]:
            raise Reply(404, {"error": {"message": "no such deployment"}})
        held["deployments"] = [one for one in held["deployments"] if one["id"] != call.path["id"]]
        return {}

    # ---- chat

    def chat(self, call: Call):
        self.expect(types.chat.completion_create_params.CompletionCreateParamsNonStreaming, call.body)
        ready = [one["name"] for held in self.endpoints.values() for one in held["deployments"]]
        tuned = call.body["model"] in ready
        said = ("yes" if tuned else "no") + f" to {call.body['messages'][-1]['content']}"
        message = {"role": "assistant", "content": said}
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        whole = {"id": "c", "created": 1, "model": call.body["model"], "object": "chat.completion", "prompt": []}
        return typed(types.chat.ChatCompletion, {**whole, "choices": [choice], "usage": usage})

    def there(self, held, call: Call):
        if call.path["id"] not in held:
            raise Reply(404, {"error": {"message": f"no such thing: {call.path['id']}"}})
        return held[call.path["id"]]


def _multipart(data: bytes) -> dict[str, str]:
    boundary = data.split(b"\r\n", 1)[0]
    found = {}
    for part in data.split(boundary):
        head, _, value = part.partition(b"\r\n\r\n")
        if b'name="' in head:
            found[head.split(b'name="')[1].split(b'"')[0].decode()] = value.strip().decode()
    return found
