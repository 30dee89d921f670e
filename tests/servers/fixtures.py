"""Fixtures for whoever tests against these servers: the tests of ftspec and those of the plugins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from servers import aimock as server
from servers.proxy import OPENAI, Proxy

KEY = "sk-proj-test-0123456789abcdefghij"
"""The API key that the `aimock` fixture's server accepts, and no other."""


def needs_aimock() -> None:
    """Skip where aimock cannot be had; in CI that is a failure."""
    if reason := server.missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(scope="session")
def _aimock() -> Iterator[server.Aimock]:
    needs_aimock()
    running = server.Aimock(KEY)
    yield running
    running.stop()


@pytest.fixture
def aimock(_aimock: server.Aimock) -> server.Aimock:
    """A server without files, jobs and answers; it wants KEY."""
    _aimock.reset()
    return _aimock


@pytest.fixture
def proxied() -> Iterator[Callable[..., Proxy]]:
    """`proxied(url, operations)`: a proxy before that server, stopped at the end of the test."""
    with ExitStack() as running:
        yield lambda url, operations=OPENAI: running.enter_context(Proxy(url, operations))
