import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from servers.fixtures import proxied
from together_server import KEY, Together

__all__ = ["proxied"]


@pytest.fixture(scope="session")
def _server():
    with Together() as server:
        yield server


@pytest.fixture
def server(_server, monkeypatch):
    """An empty account, and the key to it."""
    _server.reset()
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    return _server
