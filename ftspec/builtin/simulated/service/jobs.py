"""Jobs: how far one is follows from the clock, and so does all that has happened in it."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from .chance import unit
from .state import Json, Refusal, State

PAGE = 100
"""Events that one answer holds at the most."""
LOGGED = 200
"""Training events that a job has at the most, however many steps."""
HALTS = {"cancel": "cancelled_at", "stop": "stopped_at", "pause": "paused_at"}
"""Calls after which a job stands still, and where it says since when; one that is stopped has the model of then."""


def add_job(state: State, order: Json) -> Json:
    """A new job; the same one again where the key decides."""
    by_key = order["submission"] == "idempotent"
    name = hashlib.sha256(order["key"].encode()).hexdigest()[:16] if by_key else secrets.token_hex(8)
    held = state.load(f"jobs/job-{name}")
    if held:
        return held
    training = state.load(f"files/{order['training']}")
    validation = state.load(f"files/{order['validation']}") if order.get("validation") else None
    if not training or (order.get("validation") and not validation):
        raise Refusal(404, "no such file: upload it first")
    if not training["rows"]:
        raise Refusal(400, "the training file has no rows")
    wanted = order["hyperparameters"]
    job = {
        "id": f"job-{name}",
        "created_at": time.time(),
        "key": "" if order["submission"] == "blind" else order["key"],
        "model": order["model"],
        "hyperparameters": wanted,
        "behaviour": order["behaviour"],
        "method": order.get("method", "sft"),
        "steps": math.ceil(training["rows"] / wanted["batch_size"]) * wanted["epochs"],
        "training": training,
        "validation": validation,
    }
    state.save(f"jobs/{job['id']}", job)
    return job


def get_job(state: State, identity: str) -> Json:
    job = state.load(f"jobs/{Path(identity).name}")
    if not job:
        raise Refusal(404, f"no such job: {identity}")
    return job


def halt_job(state: State, identity: str, call: str) -> Json:
    """Write down that a job stands still from now on, where it has not ended; `call` is one of HALTS."""
    job, since = get_job(state, identity), HALTS[call]
    if not progress(job)["ended"] and since not in job:
        job[since] = time.time()
        state.save(f"jobs/{job['id']}", job)
    return job


def resume_job(state: State, identity: str) -> Json:
    job = get_job(state, identity)
    if "paused_at" in job:
        job["paused"] = job.get("paused", 0.0) + time.time() - job.pop("paused_at")
        state.save(f"jobs/{job['id']}", job)
    return job


def delete_model(state: State, identity: str) -> Json:
    job = get_job(state, identity)
    state.save(f"jobs/{job['id']}", {**job, "model_deleted": True})
    return {}


def progress(job: Json) -> Json:
    """How far a job is: {"status", "step", "ended"}; a function of the clock and nothing else."""
    behaviour, steps = job["behaviour"], job["steps"]
    until = min(job.get(mark, math.inf) for mark in HALTS.values())
    elapsed = min(until, time.time()) - job["created_at"] - behaviour["queue_seconds"] - job.get("paused", 0.0)
    last = steps if behaviour["outcome"] == "succeeded" else min(behaviour["fail_at_step"] or steps, steps)
    pace = behaviour["seconds_per_step"]
    step = max(0, min(last, int(elapsed / pace) if pace else last))
    if "cancelled_at" in job:
        return {"status": "cancelled", "step": step, "ended": True}
    if "stopped_at" in job:
        return {"status": "succeeded", "step": step, "ended": True}
    if "paused_at" in job:
        return {"status": "paused", "step": step, "ended": False}
    if elapsed < 0:
        return {"status": "queued", "step": 0, "ended": False}
    if step < last:
        return {"status": "running", "step": step, "ended": False}
    return {"status": behaviour["outcome"], "step": last, "ended": True}


def poll(state: State, identity: str, after: int) -> Json:
    """A job's status and its next events; "cursor" is what `after` may be next."""
    job = get_job(state, identity)
    reached = progress(job)
    happened = list(events(job, reached))[after : after + PAGE]
    return {
        "id": job["id"],
        "status": reached["status"],
        "events": happened,
        "cursor": after + len(happened),
        "model": model_of(job) if reached["status"] == "succeeded" else None,
        "error": "told to fail" if reached["status"] == "failed" else "",
        "checkpoints": list(checkpoints(job, reached["step"])),
    }


def checkpoints(job: Json, reached: int) -> Iterator[Json]:
    """One model at the end of each epoch so far."""
    start, epochs = job["created_at"] + job["behaviour"]["queue_seconds"], job["hyperparameters"]["epochs"]
    for step in range(1, reached + 1):
        if step * epochs % job["steps"] == 0:
            name = f"simulated:{job['model']}:{job['id']}:step-{step}"
            yield {"step": step, "model": name, "metrics": measured(job, step, start)["metrics"]}


def events(job: Json, reached: Json) -> list[Json]:
    """Everything that has happened in a job so far, in order; the same whenever it is asked."""
    start = job["created_at"] + job["behaviour"]["queue_seconds"]
    every = math.ceil(job["steps"] / LOGGED)
    shown = [step for step in range(1, reached["step"] + 1) if step % every == 0 or step == job["steps"]]
    return [
        {"id": "created", "at": job["created_at"], "message": "job created (simulated)"},
        *(measured(job, step, start) for step in shown),
    ]


def measured(job: Json, step: int, start: float) -> Json:
    """One training event. The loss falls exponentially from log(vocabulary), the loss of knowing nothing, towards a
    share of it that is the lower the more the words repeat; noise by hash."""
    steps, wanted = job["steps"], job["hyperparameters"]
    ceiling = math.log1p(job["training"]["vocabulary"])
    floor = 0.5 * ceiling * job["training"]["vocabulary"] / max(1, job["training"]["words"])
    rate = wanted["learning_rate_multiplier"]
    loss = floor + (ceiling - floor) * math.exp(-4.0 * min(rate, 2.0) * step / steps)
    noise = 0.05 * ceiling * (unit(wanted["seed"], job["training"]["sha256"], step) - 0.5)
    metrics = {"train_loss": max(0.0, loss + noise), "epoch": step * wanted["epochs"] / steps}
    learned = 1 - math.exp(-4.0 * min(rate, 2.0) * step / steps)
    if job.get("method") == "dpo":
        metrics |= {"reward_accuracy": 0.5 + 0.45 * learned, "reward_margin": 2.0 * learned}
    if job.get("method") == "reinforcement":
        metrics["train_reward"] = 0.2 + 0.7 * learned
    if job["validation"] and step * wanted["epochs"] % steps == 0:
        # From the turn on the rows are learned by heart, and what is not among them gets worse.
        turn = job["behaviour"].get("overfits_after")
        past = 0.0 if turn is None else max(0.0, step / steps - turn)
        metrics["validation_loss"] = 1.1 * loss + 0.6 * ceiling * past
    at = start + step * job["behaviour"]["seconds_per_step"]
    return {"id": f"step-{step}", "at": at, "step": step, "total_steps": steps, "metrics": metrics}


def model_of(job: Json) -> str:
    return f"simulated:{job['model']}:{job['id']}"
