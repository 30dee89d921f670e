"""Models that are put up, and all that lies about."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from .jobs import get_job, model_of, progress
from .state import Json, Refusal, State


def add_deployment(state: State, order: Json) -> Json:
    """A job's model is put up: ready, or failed, so many seconds later. The same key twice makes one."""
    job = get_job(state, order["job"])
    name = f"dep-{hashlib.sha256(order['key'].encode()).hexdigest()[:16]}"
    held = state.load(f"deployments/{name}")
    if not held:
        held = {"id": name, "key": order["key"], "job": job["id"], "created_at": time.time(), **order["behaviour"]}
        state.save(f"deployments/{name}", held)
    return deployed(held)


def get_deployment(state: State, identity: str) -> Json:
    held = state.load(f"deployments/{Path(identity).name}")
    if not held:
        raise Refusal(404, f"no such deployment: {identity}")
    return deployed(held)


def deployed(held: Json) -> Json:
    """A deployment as it is now, by the clock."""
    ready = time.time() >= held["created_at"] + held["deploy_seconds"]
    failed = ready and held["deploy_fails"]
    return {**held, "ready": ready and not failed, "error": "told to fail" if failed else ""}


def objects(state: State) -> list[Json]:
    """Everything that lies here, oldest kind first: files, models, deployments."""
    found = [{"kind": "file", **of(file, "id", "bytes", "created_at", "sha256")} for file in state.all("files")]
    for job in state.all("jobs"):
        if progress(job)["status"] == "succeeded" and not job.get("model_deleted"):
            found.append({"kind": "model", "job": job["id"], "created_at": job["created_at"], "id": model_of(job)})
    return found + [
        {"kind": "deployment", "name": held["key"], **of(held, "id", "created_at", "job")}
        for held in state.all("deployments")
    ]


def of(thing: Json, *names: str) -> Json:
    return {name: thing[name] for name in names}
