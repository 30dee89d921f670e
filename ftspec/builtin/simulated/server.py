"""The simulated tuner's own process: a small HTTP service on loopback that outlives whoever started it.

Run as `python server.py HOME IDLE`. It uses the standard library only, knows nothing of ftspec, and keeps all it knows
under HOME, so that one that was killed goes on where it was. Jobs need nobody to run them: how far one is follows from
the clock, as it would at a service far away. One server per HOME, by a lock; it leaves after IDLE seconds of silence.

    POST /files?purpose=P       the body's bytes → a file
    GET  /files?sha256=H        files with that content
    POST /jobs                  a new job (with submission "idempotent": one per key)
    GET  /jobs[?key=K]          every job ever made, oldest first
    GET  /jobs/ID[?after=N]     status, and at most PAGE events after the Nth
    POST /jobs/ID/cancel        and stop (keeps the model), pause, resume
    POST /deployments           a job's model is put up (one per key)
    GET  /deployments[?key=K]   those that stand
    GET  /deployments/ID        one of them
    POST /deployments/ID/delete
    GET  /objects               files, models and deployments
    POST /files/ID/delete, /jobs/ID/delete_model
    POST /answers               questions to the base model or to a job's model
    GET  /calls                 how often each call was made, faults included

A request may order faults in its X-Faults header, as `call:kind:times` separated by commas; each happens that often.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import secrets
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

PAGE = 100
"""Events that one answer holds at the most."""
READ = 1 << 20
"""Bytes of a file whose rows are looked into: the loss curve is told by their words. Of the rest, rows are counted."""
PIECE = 1 << 20
"""Bytes of a body that are read at a time."""
LOGGED = 200
"""Training events that a job has at the most, however many steps."""

Json = dict[str, Any]


class Refusal(Exception):
    """The service says no: an HTTP status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class State:
    """What the service knows, one JSON file per thing, replaced whole."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lock = threading.RLock()
        for folder in ("files", "jobs", "deployments"):
            (home / folder).mkdir(parents=True, exist_ok=True)

    def save(self, name: str, value: Json) -> None:
        path = self.home / f"{name}.json"
        staged = path.with_suffix(".new")
        staged.write_text(json.dumps(value))
        staged.replace(path)

    def load(self, name: str) -> Json | None:
        path = self.home / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def remove(self, name: str) -> None:
        (self.home / f"{name}.json").unlink(missing_ok=True)

    def all(self, folder: str) -> list[Json]:
        things = [json.loads(path.read_text()) for path in (self.home / folder).glob("*.json")]
        return sorted(things, key=lambda thing: (thing["created_at"], thing["id"]))

    def count(self, call: str) -> None:
        calls = self.load("calls") or {}
        calls[call] = calls.get(call, 0) + 1
        self.save("calls", calls)

    def fault(self, call: str, orders: str) -> str:
        """The fault that this call is to meet, "" for none; each order is spent after so many times."""
        spent = self.load("faults") or {}
        for order in filter(None, orders.split(",")):
            wanted, kind, times = order.split(":")
            if wanted in (call, "any") and spent.get(order, 0) < int(times):
                spent[order] = spent.get(order, 0) + 1
                self.save("faults", spent)
                return kind
        return ""


# ---- files


def add_file(state: State, upload: Upload, purpose: str) -> Json:
    file = {"id": f"file-{secrets.token_hex(8)}", "purpose": purpose, "created_at": time.time(), **upload.told()}
    state.save(f"files/{file['id']}", file)
    return file


def find_files(state: State, sha256: str, purpose: str) -> list[Json]:
    return [file for file in state.all("files") if (file["sha256"], file["purpose"]) == (sha256, purpose)]


class Upload:
    """A file as it comes in, in pieces of any length: all that is kept of it is its hash and its statistics.

    Rows that are no conversations are refused among the first READ bytes, which is where words are counted, too.
    """

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.bytes = self.rows = self.words = 0
        self.vocabulary: set[str] = set()
        self.parts: list[bytes] = []
        self.looked = self.looked_bytes = 0
        self.refusal: Refusal | None = None

    def take(self, piece: bytes) -> None:
        self.hash.update(piece)
        self.bytes += len(piece)
        self.rows += piece.count(b"\n")
        if piece and self.looked_bytes >= READ:
            self.parts = [piece[-1:].strip(b"\n")]  # all that is still asked: whether a last line has no line feed
            return
        whole, found, rest = piece.rpartition(b"\n")
        self.parts.append(whole if found else rest)
        if found:
            for line in b"".join(self.parts).split(b"\n"):
                self._look(line)
            self.parts = [rest]

    def told(self) -> Json:
        """What is known of the whole. Raises Refusal."""
        if rest := b"".join(self.parts):
            self.rows += 1
            self._look(rest)
        if self.refusal:
            raise self.refusal
        counts = {"rows": self.rows, "words": self.words, "vocabulary": len(self.vocabulary)}
        return {"sha256": self.hash.hexdigest(), "bytes": self.bytes, **counts}

    def _look(self, line: bytes) -> None:
        """Count the words of a row, and which are different."""
        if self.looked_bytes >= READ or self.refusal:
            return
        self.looked += 1
        self.looked_bytes += len(line) + 1
        try:
            said = [str(message.get("content") or "").split() for message in messages_of(json.loads(line))]
        except (ValueError, TypeError, KeyError, AttributeError):
            self.refusal = Refusal(400, f"line {self.looked} is not an object with messages")
            return
        for words in said:
            self.words += len(words)
            self.vocabulary.update(words)


def messages_of(row: Json) -> list[Json]:
    """Everything that is said in a conversation, a preference pair or a reinforcement item."""
    if "input" in row:
        return [*row["input"]["messages"], *row["preferred_output"], *row["non_preferred_output"]]
    said: list[Json] = row["messages"]
    return said


# ---- jobs


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


def cancel_job(state: State, identity: str) -> Json:
    job = get_job(state, identity)
    if not progress(job)["ended"]:
        job["cancelled_at"] = time.time()
        state.save(f"jobs/{job['id']}", job)
    return job


def stop_job(state: State, identity: str) -> Json:
    """End a job where it is, with the model that it has by then."""
    job = get_job(state, identity)
    if not progress(job)["ended"]:
        job["stopped_at"] = time.time()
        state.save(f"jobs/{job['id']}", job)
    return job


def pause_job(state: State, identity: str) -> Json:
    job = get_job(state, identity)
    if not progress(job)["ended"] and "paused_at" not in job:
        job["paused_at"] = time.time()
        state.save(f"jobs/{job['id']}", job)
    return job


def resume_job(state: State, identity: str) -> Json:
    job = get_job(state, identity)
    if "paused_at" in job:
        job["paused"] = job.get("paused", 0.0) + time.time() - job.pop("paused_at")
        state.save(f"jobs/{job['id']}", job)
    return job


def progress(job: Json) -> Json:
    """How far a job is: {"status", "step", "ended"}; a function of the clock and nothing else."""
    behaviour, steps = job["behaviour"], job["steps"]
    until = min(job.get(mark, math.inf) for mark in ("cancelled_at", "stopped_at", "paused_at"))
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


# ---- deployments, and what lies about


def add_deployment(state: State, order: Json) -> Json:
    """A job's model is put up: ready, or failed, so many seconds later. The same key twice makes one."""
    job = get_job(state, order["job"])
    name = f"dep-{hashlib.sha256(order['key'].encode()).hexdigest()[:16]}"
    held = state.load(f"deployments/{name}")
    if not held:
        held = {"id": name, "key": order["key"], "job": job["id"], "created_at": time.time(), **order["behaviour"]}
        state.save(f"deployments/{name}", held)
    return deployed(held)


def deployed(held: Json) -> Json:
    """A deployment as it is now, by the clock."""
    ready = time.time() >= held["created_at"] + held["deploy_seconds"]
    failed = ready and held["deploy_fails"]
    return {**held, "ready": ready and not failed, "error": "told to fail" if failed else ""}


def get_deployment(state: State, identity: str) -> Json:
    held = state.load(f"deployments/{Path(identity).name}")
    if not held:
        raise Refusal(404, f"no such deployment: {identity}")
    return deployed(held)


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


def model_of(job: Json) -> str:
    return f"simulated:{job['model']}:{job['id']}"


def delete_model(state: State, identity: str) -> Json:
    job = get_job(state, identity)
    state.save(f"jobs/{job['id']}", {**job, "model_deleted": True})
    return {}


# ---- answers


def answers(state: State, order: Json) -> list[Json]:
    """Answers by the base model (its name and behaviour come along) or by a job's model."""
    if order["job"]:
        job = get_job(state, order["job"])
        if job.get("model_deleted"):
            raise Refusal(404, f"no such model: {model_of(job)}")
        if order.get("deployment") and not get_deployment(state, order["deployment"])["ready"]:
            raise Refusal(409, "the deployment is not ready")
        behaviour, share, name = job["behaviour"], job["behaviour"]["accuracy"], job["training"]["sha256"]
    else:
        behaviour, share, name = order["behaviour"], order["behaviour"]["base_accuracy"], order["model"]
    return [answer(question, share, behaviour["noise"], name, order["generation"]) for question in order["questions"]]


def answer(question: Json, share: float, noise: float, model: str, generation: Json) -> Json:
    """The expected answer to `share` of the prompts, else one that is wrong. With a temperature, a share of `noise`
    answers is drawn anew for each repeat: accuracy stays, consistency falls."""
    right = unit(model, question["prompt"]) < share
    drawn = (model, question["prompt"], question["repeat"], question["seed"])
    if generation["temperature"] > 0 and unit("noise", *drawn) < noise:
        right = unit("again", *drawn) < share
    expected = question["expected"]
    text = ("(simulated)" if expected is None else expected) if right else "(simulated) some other answer"
    for stop in generation["stop"]:
        text = text.partition(stop)[0]
    words = text.split()
    cut = len(words) > generation["max_tokens"]
    if cut:
        text, words = " ".join(words[: generation["max_tokens"]]), words[: generation["max_tokens"]]
    return {"text": text, "completion_tokens": len(words), "finish_reason": "length" if cut else "stop"}


def unit(*parts: object) -> float:
    """A number in [0, 1) that follows from the parts."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56


# ---- HTTP


class Handler(BaseHTTPRequestHandler):
    """One request: who asks, which fault it meets, what is done, what is said."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def log_message(self, *args: object) -> None:
        pass

    def _serve(self, method: str) -> None:
        self.server.touched = time.monotonic()
        url = urlsplit(self.path)
        is_file = (method, url.path) == ("POST", "/files")
        body = self._upload() if is_file else self.rfile.read(self._length())
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._say(401, {"error": "not for you"})
            return
        call, state = name_of(method, url.path), self.server.state
        with state.lock:
            fault = state.fault(call, self.headers.get("X-Faults") or "")
            if call:
                state.count(f"{call}:{fault}" if fault else call)
            if fault in ("reset", "429"):
                status, said = 429, {"error": "rate limit reached"}
            else:
                status, said = self._act(method, url.path.strip("/").split("/"), url.query, body)
        self._meet(fault, status, said)

    def _length(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def _upload(self) -> Upload:
        """A file may be larger than memory."""
        upload, left = Upload(), self._length()
        while left and (piece := self.rfile.read(min(left, PIECE))):
            upload.take(piece)
            left -= len(piece)
            self.server.touched = time.monotonic()
        if left:
            upload.refusal = Refusal(400, "the body breaks off")
        return upload

    def _act(self, method: str, path: list[str], query: str, body: bytes | Upload) -> tuple[int, Json]:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        try:
            return 200, respond(self.server.state, method, path, asked, body)
        except Refusal as refusal:
            return refusal.status, {"error": str(refusal)}

    def _meet(self, fault: str, status: int, said: Json) -> None:
        """Answer, or what a network and a service in trouble make of an answer."""
        self.close_connection = True
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif fault == "timeout":
            self.connection.settimeout(300)
            self.connection.recv(1)
        elif fault == "broken":
            self._say(200, said, cut=2)
        elif fault == "500":
            self._say(500, {"error": "internal error"})
        elif fault == "odd_status":
            self._say(status, {**said, "status": "transmogrifying", "model": None})
        elif fault == "late_model":
            self._say(status, {**said, "model": None})
        elif fault != "lost":
            self._say(status, said)

    def _say(self, status: int, said: Json, cut: int = 1) -> None:
        data = json.dumps(said).encode()
        data = data[: len(data) // cut]
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status == 429:
            self.send_header("Retry-After-Ms", "50")
        self.end_headers()
        self.wfile.write(data)


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
        case ("POST", "jobs", identity, "cancel"):
            return cancel_job(state, identity)
        case ("POST", "jobs", identity, "stop"):
            return stop_job(state, identity)
        case ("POST", "jobs", identity, "pause"):
            return pause_job(state, identity)
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


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: State) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = state
        self.token = secrets.token_hex(16)
        self.touched = time.monotonic()
        self.timeout = 0.5


def held(lock: IO[str]) -> bool:
    """Whether the folder is ours. Others take a shared lock for an instant, to see whether a server lives."""
    while not locked(lock, fcntl.LOCK_EX):
        if not locked(lock, fcntl.LOCK_SH):
            return False
        fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(0.01)
    return True


def locked(lock: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(home: Path, idle: float) -> None:
    """Serve until nobody has asked for `idle` seconds, or the folder is gone."""
    os.umask(0o077)
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        if not held(lock):
            return  # another server has this folder: whoever started us finds that one
        server = Server(State(home))
        server.state.save("server", {"port": server.server_port, "token": server.token, "pid": os.getpid()})
        while time.monotonic() - server.touched < idle and home.is_dir():
            server.handle_request()
        (home / "server.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
