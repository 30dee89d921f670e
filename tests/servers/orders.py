"""What the tests of hosted tuners hand to a provider: messages with and without images, a request, a file for it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from ftspec import api
from servers.proxy import Fault, Proxy

JOB_KEY = "ab" * 32
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode()


def said(role: Any, content: Any, **more: Any) -> api.Message:
    return api.Message(role=role, content=content, **more)


def asked(*urls: str, role: Any = "user", kind: str = "image_url") -> api.Message:
    """A question about images, or about other parts that are told by their address."""
    parts = [{"type": "text", "text": "what is it?"}, *({"type": kind, kind: {"url": url}} for url in urls)]
    return said(role, parts)


def request(component: Any, model: str, method: str = "sft", **hyperparameters: Any) -> api.Request:
    """A request to the tuner, with its defaults filled in as core does it."""
    chosen = component.methods[method]
    return api.Request(
        model=api.ModelRef(id=model),
        method=method,
        method_options=msgspec.to_builtins(chosen.options()),
        hyperparameters=msgspec.to_builtins(msgspec.convert(hyperparameters, chosen.hyperparameters)),
    )


def uploaded(provider: Any, folder: Path, request: api.Request) -> api.Request:
    """The request, with a training file of one row that lies at the provider."""
    path = folder / "rows.jsonl"
    path.write_text('{"messages": []}\n')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    file = api.DataFile(purpose="training", path=str(path), sha256=digest, bytes=path.stat().st_size, rows=1)
    return msgspec.structs.replace(request, training=provider.upload(file))


def paged(proxy: Proxy, operation: str) -> None:
    """A gateway answers this operation with a page to sign in at, as if all were well."""
    body = "<!DOCTYPE html><html><head><title>Sign in</title></head></html>"
    proxy.faults = {"page": Fault("answer", status=200, body=body, headers={"Content-Type": "text/html"})}
    proxy.fault(operation, "page", once=False)
