"""The simulated provider: a separate process that keeps jobs and trains nothing. No ML stack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ftspec import api
from ftspec.builtin.simulated.tuner import Simulated


def failing_has_an_outcome(options: Mapping[str, Any]) -> Iterable[api.Clash]:
    if options["fail_at_step"] is not None and options["outcome"] == "succeeded":
        yield ("fail_at_step",), "a job that succeeds does not end early: set `outcome: failed`"


CODE = [f"ftspec.builtin.simulated.{name}" for name in ("answering", "client", "hosting", "options", "words")]

COMPONENTS: dict[str, api.Component] = {
    "simulated": api.provider(name="simulated", rules=[failing_has_an_outcome], code=CODE)(Simulated)
}
