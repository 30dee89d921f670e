import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from aws_server import Server
from servers.fixtures import proxied

__all__ = ["proxied"]


@pytest.fixture(scope="session")
def server():
    with Server() as server:
        yield server


@pytest.fixture
def aws(server, monkeypatch):
    """A fresh AWS account with one bucket, and credentials for it."""
    server.aws.reset()
    server.bucket("team-bucket")
    credentials(monkeypatch)
    return server


def credentials(monkeypatch):
    monkeypatch.setenv("FTSPEC_TEST_AWS_KEY", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("FTSPEC_TEST_AWS_SECRET", "very-secret-secret-of-aws")
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
