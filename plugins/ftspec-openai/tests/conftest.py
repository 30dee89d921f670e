"""What the tests of the tuners share: a server that can do what aimock cannot, and its key."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from described import Described
from servers.fixtures import _aimock, aimock, proxied

__all__ = ["_aimock", "aimock", "proxied", "server"]

KEY = "sk-described-0123456789"
NAMES = (
    "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_MANAGEMENT_TOKEN", "NEBIUS_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"
)  # fmt: skip


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, KEY)


@pytest.fixture
def server() -> Iterator[Described]:
    running = Described()
    yield running
    running.stop()
