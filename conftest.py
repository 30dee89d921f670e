"""For the tests of ftspec and of every plugin here."""

from __future__ import annotations

pytest_plugins = ["servers.fixtures"]
