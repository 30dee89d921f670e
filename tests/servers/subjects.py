"""The providers that the matrix is run for, each with its server."""

from __future__ import annotations

import msgspec
import pytest

from ftspec.common.jobs import ModelRef, Request
from servers.aimock import Aimock
from servers.matrix import Subject
from servers.proxy import OPENAI

MODEL = "gpt-4.1-mini-2025-04-14"


def openai(aimock: Aimock, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """ftspec-openai with the official SDK, against aimock."""
    from ftspec_openai import calls
    from ftspec_openai.tuners import OpenAI

    def provider(url: str, timeout: float) -> OpenAI:
        for name in ("SUBMIT", "UPLOAD"):
            monkeypatch.setattr(calls, name, timeout)
        return OpenAI(base_url=url, timeout=timeout)

    aimock.answer("an answer")
    method = OpenAI.methods["sft"]
    request = Request(
        model=ModelRef(id=MODEL),
        hyperparameters=msgspec.to_builtins(method.hyperparameters(epochs=1)),
        method_options=msgspec.to_builtins(method.options()),
    )
    return Subject(
        name="openai",
        url=aimock.url,
        operations=OPENAI,
        provider=provider,
        request=request,
        jobs=lambda: [job["id"] for job in aimock.jobs()],
        files=lambda: [file["id"] for file in aimock.files()],
        cancelled=lambda id: any(job["id"] == id and job["status"] == "cancelled" for job in aimock.jobs()),
    )
