"""A server of the OpenAI wire shape for what aimock lacks: checkpoints, pause, uploads, metrics, result files, failure.

It is ours, so something else has to keep it honest: tests look at it through a proxy, and OpenAI's published
description judges every answer (tests/servers/contract.py). What OpenAI does not describe is answered at two more
roots, as the vendors document it: Azure's management API below `/subscriptions`, Nebius' custom models below `/v0`.
"""

from __future__ import annotations

import base64
import email.parser
import email.policy
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit

STEPS = 6
"""Optimizer steps of every job; a checkpoint every two."""
STATES = ("validating_files", "queued", "running", "succeeded")
MOMENT = 1_790_000_000


class Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": {"code": code, "message": message, "type": "invalid", "param": None}}


class Described:
    """A running server. `url` is what a client takes as its base URL; the attributes below change how it behaves.

    Attributes:
        ending: how jobs end; with `error` (code, message) where that is "failed".
        order: "newest" or "oldest" first, or "mixed": how events are listed.
        waits: how often a new file is looked at before it has been processed.
        tells: where metrics are: "events", "results" (a file), "base64" (the same, encoded), or "nowhere".
        unnamed: how often a job that has succeeded is looked at before it names its model.
        page: most entries of a page.
        paged: whether custom models come in pages too, and not as one array.
        says: what chat answers: a message, or an error as (status, code, message).
    """

    def __init__(self) -> None:
        self.ending, self.error = "succeeded", ("", "")
        self.order, self.tells, self.waits, self.unnamed, self.page = "newest", "events", 0, 0, 100
        self.paged = False
        self.says: Any = {"role": "assistant", "content": "red", "refusal": None}
        self.finish = "stop"
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.made: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.models: dict[str, dict[str, Any]] = {}
        self.deployments: dict[str, dict[str, Any]] = {}
        self.gone: list[str] = []
        self.looks: dict[str, int] = {}
        self.lock = threading.RLock()
        self.numbers = count(1)
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                with server.lock:
                    try:
                        status, said = 200, server.answer(self.command, self.path, self.headers, body)
                    except Refusal as refusal:
                        status, said = refusal.status, refusal.body
                    except Exception as error:  # a fault of this server: the client refuses to go on
                        status, said = 418, {"error": {"code": "bug", "message": f"{type(error).__name__}: {error}"}}
                raw = isinstance(said, bytes)
                data = said if isinstance(said, bytes) else b"" if said is None else json.dumps(said).encode()
                self.send_response(204 if said is None else status)
                if said is not None:
                    self.send_header("Content-Type", "application/octet-stream" if raw else "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.http.server_port}"
        self.url = f"{self.root}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    # ---- what is asked

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> Any:
        url = urlsplit(path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if "Bearer " not in headers.get("Authorization", ""):
            raise Refusal(401, "invalid_api_key", "Incorrect API key provided: sk-1*****9.")
        for verb, pattern, name in ROUTES:
            found = re.fullmatch(pattern, url.path)
            if verb == method and found:
                arguments = {**found.groupdict()}
                content = headers.get("Content-Type") or ""
                return getattr(self, name)(query, Body(body, content), **arguments)
        raise Refusal(404, "not_found", f"no such path: {method} {url.path}")

    # ---- files

    def list_files(self, query: Any, body: Body) -> Any:
        wanted = query.get("purpose")
        return self._page([one for one in self.files.values() if wanted in (None, one["purpose"])], query)

    def add_file(self, query: Any, body: Body) -> Any:
        form = body.form()
        name, content = form["file"]
        return self._add(name, content, form["purpose"][1].decode())

    def file(self, query: Any, body: Body, file: str) -> Any:
        held = self._held(self.files, file)
        if self._looked(file) >= self.waits:
            held["status"] = "processed"
        return held

    def delete_file(self, query: Any, body: Body, file: str) -> Any:
        self._held(self.files, file)
        del self.files[file]
        return {"id": file, "object": "file", "deleted": True}

    def content(self, query: Any, body: Body, file: str) -> Any:
        return self._held(self.contents, file)

    def add_upload(self, query: Any, body: Body) -> Any:
        asked = body.json()
        upload = {
            "id": f"upload_{next(self.numbers)}",
            "object": "upload",
            "bytes": asked["bytes"],
            "created_at": MOMENT,
            "filename": asked["filename"],
            "purpose": asked["purpose"],
            "status": "pending",
            "expires_at": MOMENT + 3600,
        }
        self.uploads[upload["id"]] = {"upload": upload, "parts": {}}
        return upload

    def add_part(self, query: Any, body: Body, upload: str) -> Any:
        part = f"part_{next(self.numbers)}"
        self._held(self.uploads, upload)["parts"][part] = body.form()["data"][1]
        return {"id": part, "object": "upload.part", "created_at": MOMENT, "upload_id": upload}

    def complete(self, query: Any, body: Body, upload: str) -> Any:
        held = self._held(self.uploads, upload)
        data = b"".join(held["parts"][part] for part in body.json()["part_ids"])
        assert len(data) == held["upload"]["bytes"]
        file = self._add(held["upload"]["filename"], data, held["upload"]["purpose"])
        held["upload"] |= {"status": "completed", "file": file}
        return held["upload"]

    def _add(self, name: str, content: bytes, purpose: str) -> dict[str, Any]:
        file = {
            "id": f"file-{next(self.numbers)}",
            "object": "file",
            "bytes": len(content),
            "created_at": MOMENT,
            "filename": name,
            "purpose": purpose,
            "status": "uploaded" if self.waits else "processed",
        }
        self.files[file["id"]], self.contents[file["id"]] = file, content
        return file

    # ---- jobs

    def add_job(self, query: Any, body: Body) -> Any:
        asked = body.json()
        self._held(self.files, asked["training_file"])
        self.made.append(asked)
        number = next(self.numbers)
        job = {
            "id": f"ftjob-{number}",
            "object": "fine_tuning.job",
            "created_at": MOMENT + number,
            "model": f"{asked['model']}-2026-01-01",
            "organization_id": "org-1",
            "result_files": [],
            "status": STATES[0],
            "training_file": asked["training_file"],
            "validation_file": asked.get("validation_file"),
            "fine_tuned_model": None,
            "finished_at": None,
            "trained_tokens": None,
            "error": None,
            "seed": asked.get("seed", 1),
            "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1.0},
            "method": asked["method"],
            "metadata": asked.get("metadata"),
        }
        if asked.get("suffix"):
            job["suffix"] = asked["suffix"]
        self.jobs[job["id"]] = job
        return job

    def list_jobs(self, query: Any, body: Body) -> Any:
        filters = {name[9:-1]: value for name, value in query.items() if name.startswith("metadata[")}
        found = [
            job
            for job in reversed(self.jobs.values())
            if all((job["metadata"] or {}).get(name) == value for name, value in filters.items())
        ]
        return self._page(found, query)

    def job(self, query: Any, body: Body, job: str) -> Any:
        held = self._held(self.jobs, job)
        if held["status"] in STATES[:-1]:
            held["status"] = STATES[STATES.index(held["status"]) + 1]
            if held["status"] == "succeeded":
                self._end(held)
        if held["status"] == "succeeded" and self._looked(job) > self.unnamed:
            held["fine_tuned_model"] = f"ft:{held['model']}:org::{job}"
        return held

    def _end(self, job: dict[str, Any]) -> None:
        job |= {"status": self.ending, "finished_at": MOMENT + 60, "trained_tokens": 1234}
        if self.ending == "failed":
            job["error"] = {"code": self.error[0], "message": self.error[1], "param": "training_file"}
        if self.tells in {"results", "base64"}:
            rows = [f"{step},{3 / step:.4f},0.{step},{4 / step:.4f},0.{step}" for step in range(1, STEPS + 1)]
            head = "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
            text = "\n".join([head, *rows, ""]).encode()
            content = base64.b64encode(text) if self.tells == "base64" else text
            job["result_files"] = [self._add("step_metrics.csv", content, "fine-tune-results")["id"]]

    def cancel(self, query: Any, body: Body, job: str) -> Any:
        held = self._held(self.jobs, job)
        if held["status"] in {"succeeded", "failed", "cancelled"}:
            raise Refusal(400, "invalid_request_error", f"Job {job} has already ended: {held['status']}")
        held |= {"status": "cancelled", "finished_at": MOMENT + 30}
        return held

    def pause(self, query: Any, body: Body, job: str) -> Any:
        held = self._held(self.jobs, job)
        if held["status"] != "running":
            raise Refusal(400, "invalid_request_error", f"Job {job} is not running")
        held["status"] = "paused"
        return held | {"status": "running"}  # the description knows no word for it in this answer

    def resume(self, query: Any, body: Body, job: str) -> Any:
        held = self._held(self.jobs, job)
        if held["status"] != "paused":
            raise Refusal(400, "invalid_request_error", f"Job {job} is not paused")
        held["status"] = "running"
        return held

    def events(self, query: Any, body: Body, job: str) -> Any:
        status = self._held(self.jobs, job)["status"]
        told = [self._event(job, 0, "Created fine-tuning job", None)]
        if status not in STATES[:2]:
            metrics = [
                {"step": step, "train_loss": 3 / step, "train_mean_token_accuracy": step / 10, "valid_loss": 4 / step}
                for step in range(1, STEPS + 1)
            ]
            told += [self._event(job, m["step"], f"Step {m['step']}/{STEPS}", m) for m in metrics]
        if self.order == "newest":
            told.reverse()
        elif self.order == "mixed":
            told.sort(key=lambda event: (event["created_at"] * 7919) % 13)
        return self._page(told, query)

    def _event(self, job: str, number: int, message: str, metrics: Any) -> dict[str, Any]:
        shown = metrics if self.tells == "events" else None
        return {
            "id": f"ftevent-{job}-{number}",
            "object": "fine_tuning.job.event",
            "created_at": MOMENT + number,
            "level": "info",
            "message": message,
            "type": "metrics" if shown else "message",
            "data": shown or {},
        }

    def checkpoints(self, query: Any, body: Body, job: str) -> Any:
        held = self._held(self.jobs, job)
        steps = range(2, STEPS + 1, 2) if held["status"] in {"running", "succeeded"} else ()
        return self._page([self._checkpoint(job, held, step) for step in reversed(steps)], query)

    def _checkpoint(self, job: str, held: dict[str, Any], step: int) -> dict[str, Any]:
        return {
            "id": f"ftckpt-{job}-{step}",
            "object": "fine_tuning.job.checkpoint",
            "created_at": MOMENT + step,
            "fine_tuned_model_checkpoint": f"ft:{held['model']}:org::{job}:ckpt-step-{step}",
            "fine_tuning_job_id": job,
            "metrics": {"step": step, "train_loss": 3 / step, "valid_loss": 4 / step},
            "step_number": step,
        }

    # ---- models

    def chat(self, query: Any, body: Body) -> Any:
        self.asked.append(body.json())
        if isinstance(self.says, tuple):
            raise Refusal(*self.says)
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": MOMENT,
            "model": self.asked[-1]["model"],
            "choices": [{"index": 0, "message": self.says, "finish_reason": self.finish, "logprobs": None}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        }

    def delete_model(self, query: Any, body: Body, model: str) -> Any:
        if model in self.gone:
            raise Refusal(404, "model_not_found", f"The model '{model}' does not exist")
        self.gone.append(model)
        return {"id": model, "object": "model", "deleted": True}

    # ---- Azure's management API

    def put_deployment(self, query: Any, body: Body, name: str) -> Any:
        assert query["api-version"]
        held = self.deployments.setdefault(name, {"name": name, "id": f"/subscriptions/s/deployments/{name}"})
        held |= body.json() | {"systemData": {"createdAt": "2026-11-28T01:02:03Z"}}
        held["properties"]["provisioningState"] = "Creating"
        return held

    def deployment(self, query: Any, body: Body, name: str) -> Any:
        held = self._held(self.deployments, name)
        if self._looked(name) > 1:
            held["properties"]["provisioningState"] = "Succeeded"
        return held

    def list_deployments(self, query: Any, body: Body) -> Any:
        return {"value": list(self.deployments.values())}

    def delete_deployment(self, query: Any, body: Body, name: str) -> Any:
        self._held(self.deployments, name)
        del self.deployments[name]

    # ---- Nebius' custom models

    def add_custom(self, query: Any, body: Body) -> Any:
        asked = body.json()
        self.checkpoint(asked["source"])
        name = f"{asked['base_model']}-LoRa:{asked['name']}-xyz"
        self.models[name] = asked | {"name": name, "created_at": MOMENT, "status": "validating"}
        return self.models[name]

    def list_custom(self, query: Any, body: Body) -> Any:
        for name, held in self.models.items():
            if self._looked(name) > 1:
                held["status"] = "active"
        listed = [self._custom(held) for held in self.models.values()]
        if not self.paged:
            return listed
        return self._page([entry | {"id": entry["name"]} for entry in listed], query)

    def _custom(self, held: dict[str, Any]) -> dict[str, Any]:
        """As the list shows it: the source in two fields, the time in words."""
        job, _, checkpoint = held["source"].partition(":")
        shown = {name: value for name, value in held.items() if name != "source"}
        return shown | {"job_id": job, "checkpoint_id": checkpoint, "created_at": "2026-11-28T01:02:03Z"}

    def checkpoint(self, source: str) -> dict[str, Any]:
        """The checkpoint that is deployed as `job:checkpoint`; by any other name it is refused."""
        job, _, name = source.partition(":")
        kept = (
            [self._checkpoint(job, self.jobs[job], step) for step in range(2, STEPS + 1, 2)] if job in self.jobs else []
        )
        for one in kept:
            if one["id"] == name:
                return one
        raise Refusal(400, "invalid_source", f"no such checkpoint: {source}")

    def delete_custom(self, query: Any, body: Body, name: str) -> Any:
        self._held(self.models, name)
        del self.models[name]
        return {"deleted": True}

    # ---- of all

    def _held(self, where: dict[str, Any], key: str) -> Any:
        if key not in where:
            raise Refusal(404, "not_found", f"no such thing: {key}")
        return where[key]

    def _looked(self, key: str) -> int:
        self.looks[key] = self.looks.get(key, 0) + 1
        return self.looks[key]

    def _page(self, entries: list[dict[str, Any]], query: Any) -> dict[str, Any]:
        ids = [entry["id"] for entry in entries]
        start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
        size = min(int(query.get("limit", 20)), self.page)
        page = entries[start : start + size]
        first, last = (page[0]["id"], page[-1]["id"]) if page else ("", "")
        more = start + size < len(entries)
        return {"object": "list", "data": page, "first_id": first, "last_id": last, "has_more": more}


class Body:
    """The body of a request."""

    def __init__(self, raw: bytes, content_type: str) -> None:
        self.raw, self.type = raw, content_type

    def json(self) -> Any:
        return json.loads(self.raw)

    def form(self) -> dict[str, tuple[str, bytes]]:
        """(file name, content) by the field's name."""
        head = f"Content-Type: {self.type}\r\n\r\n".encode()
        parsed = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.raw)
        parts = {}
        for part in parsed.iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            parts[name] = (part.get_filename() or "", part.get_payload(decode=True) or b"")
        return parts


JOB = r"/v1/fine_tuning/jobs/(?P<job>[^/]+)"
FILE = r"/v1/files/(?P<file>[^/]+)"
UPLOAD = r"/v1/uploads/(?P<upload>[^/]+)"
DEPLOYMENTS = (
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.CognitiveServices/accounts/[^/]+/deployments"
)
ROUTES = (
    ("GET", "/v1/files", "list_files"),
    ("POST", "/v1/files", "add_file"),
    ("GET", FILE, "file"),
    ("DELETE", FILE, "delete_file"),
    ("GET", f"{FILE}/content", "content"),
    ("POST", "/v1/uploads", "add_upload"),
    ("POST", f"{UPLOAD}/parts", "add_part"),
    ("POST", f"{UPLOAD}/complete", "complete"),
    ("POST", "/v1/fine_tuning/jobs", "add_job"),
    ("GET", "/v1/fine_tuning/jobs", "list_jobs"),
    ("GET", JOB, "job"),
    ("POST", f"{JOB}/cancel", "cancel"),
    ("POST", f"{JOB}/pause", "pause"),
    ("POST", f"{JOB}/resume", "resume"),
    ("GET", f"{JOB}/events", "events"),
    ("GET", f"{JOB}/checkpoints", "checkpoints"),
    ("POST", "/v1/chat/completions", "chat"),
    ("DELETE", r"/v1/models/(?P<model>.+)", "delete_model"),
    ("PUT", rf"{DEPLOYMENTS}/(?P<name>[^/]+)", "put_deployment"),
    ("GET", rf"{DEPLOYMENTS}/(?P<name>[^/]+)", "deployment"),
    ("DELETE", rf"{DEPLOYMENTS}/(?P<name>[^/]+)", "delete_deployment"),
    ("GET", DEPLOYMENTS, "list_deployments"),
    ("POST", "/v0/models", "add_custom"),
    ("GET", "/v0/models", "list_custom"),
    ("DELETE", r"/v0/models/(?P<name>.+)", "delete_custom"),
)
