"""Every call: what it is named in faults and counts, and what it does."""

from __future__ import annotations

import json
from pathlib import Path

from .answers import answers
from .deployments import add_deployment, deployed, get_deployment, objects
from .files import Upload, add_file, find_files
from .jobs import add_job, delete_model, halt_job, poll, resume_job
from .state import Json, Refusal, State


def name_of(method: str, path: str) -> str:
    """The call's name in faults and counts; "" for one that only looks at the books."""
    parts = path.strip("/").split("/")
    if parts[-1] in {"delete", "delete_model"}:
        return "undeploy" if parts[0] == "deployments" else "delete"
    if parts[0] == "files":
        return "upload" if method == "POST" else "find_file"
    if parts[0] == "deployments":
        return "deploy" if method == "POST" else "deployment" if len(parts) == 2 else "find_deployment"
    if parts[0] == "jobs":
        return {1: "create" if method == "POST" else "find", 2: "poll", 3: parts[-1]}[len(parts)]
    return {"answers": "answer", "objects": "list"}.get(parts[0], "")


def respond(state: State, method: str, path: list[str], asked: dict[str, str], body: bytes | Upload) -> Json:
    if isinstance(body, Upload):
        return add_file(state, body, asked["purpose"])
    match (method, *path):
        case ("GET", "files"):
            return {"files": find_files(state, asked["sha256"], asked["purpose"])}
        case ("POST", "jobs"):
            return add_job(state, json.loads(body))
        case ("GET", "jobs"):
            return {"jobs": [job for job in state.all("jobs") if asked.get("key") in (None, job["key"])]}
        case ("GET", "jobs", identity):
            return poll(state, identity, int(asked.get("after", 0)))
        case ("POST", "jobs", identity, "cancel" | "stop" | "pause" as call):
            return halt_job(state, identity, call)
        case ("POST", "jobs", identity, "resume"):
            return resume_job(state, identity)
        case ("POST", "deployments"):
            return add_deployment(state, json.loads(body))
        case ("GET", "deployments"):
            return {"deployments": [deployed(held) for held in state.all("deployments") if held["key"] == asked["key"]]}
        case ("GET", "deployments", identity):
            return get_deployment(state, identity)
        case ("POST", "files" | "deployments" as folder, identity, "delete"):
            state.remove(f"{folder}/{Path(identity).name}")
            return {}
        case ("POST", "jobs", identity, "delete_model"):
            return delete_model(state, identity)
        case ("GET", "objects"):
            return {"objects": objects(state)}
        case ("POST", "answers"):
            return {"answers": answers(state, json.loads(body))}
        case ("GET", "calls"):
            return state.load("calls") or {}
    raise Refusal(404, f"no such call: {method} {'/'.join(path)}")
