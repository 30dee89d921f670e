import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fireworks_server import KEY, Fireworks
from servers.fixtures import proxied

__all__ = ["proxied"]


@pytest.fixture(scope="session")
def _server():
    with Fireworks() as server:
        yield server


@pytest.fixture
def server(_server, monkeypatch):
    """An empty account, and the key to it."""
    _server.reset()
    monkeypatch.setenv("FIREWORKS_API_KEY", KEY)
    return _server
