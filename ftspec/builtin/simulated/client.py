"""Talks to the simulated tuner over HTTP, and starts its process when there is none."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal
from urllib.parse import urlencode

import msgspec

from ftspec import api

if TYPE_CHECKING:
    import subprocess
    from http.client import HTTPConnection, HTTPResponse

Call = Literal[
    "any", "upload", "find_file", "create", "find", "poll", "cancel", "stop", "pause", "resume", "answer",
    "deploy", "find_deployment", "deployment", "undeploy", "list", "delete",
]  # fmt: skip
Kind = Literal["refused", "reset", "timeout", "429", "500", "broken", "lost", "odd_status", "late_model"]
START = 30.0
RESTART = 5.0
"""Seconds in which the process has to come up; after RESTART another is started (of two, the second leaves at once)."""
BLOCK = 1 << 20
"""Bytes of a file that are sent at a time."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that goes wrong with a call, so many times.

    refused, reset and 429 happen before the call is acted on; timeout, 500, broken (half the answer) and lost (none)
    after it. odd_status and late_model are about polls: a status nobody has heard of, a success without its model.
    """

    call: Call
    kind: Kind
    times: int = 1


class Client:
    """One simulated service, at `home`.

    Args:
        home: the service's folder; its process is found, or started, there.
        timeout: seconds to wait for an answer.
        idle: seconds of silence after which the process leaves.
        faults: what is to go wrong.
    """

    def __init__(self, home: Path, *, timeout: float, idle: float, faults: Sequence[Fault]) -> None:
        self.home = home
        self.log = f"see to space and permissions in {home}; server.log there may say more"
        self.timeout = timeout
        self.idle = idle
        self.orders = ",".join(
            f"{fault.call}:{fault.kind}:{fault.times}" for fault in faults if fault.kind != "refused"
        )
        self.refusals: Counter[str] = Counter({fault.call: fault.times for fault in faults if fault.kind == "refused"})

    def call(self, name: str, method: str, path: str, body: bytes | BinaryIO = b"", **query: str) -> dict[str, Any]:
        """Make one call. Raises Transient (nothing was done), Ambiguous (who knows) or Rejected."""
        connection, token = self._connect(name)
        headers = {"Authorization": f"Bearer {token}", "X-Faults": self.orders}
        if not isinstance(body, bytes):
            headers["Content-Length"] = str(os.fstat(body.fileno()).st_size)
        try:
            return _said(*_exchange(connection, method, f"{path}?{urlencode(query)}", body, headers))
        finally:
            connection.close()

    def server(self) -> Mapping[str, Any]:
        """{"port", "token", "pid"} of the process. Empty when none lives: by its lock, not by what it left behind."""
        try:
            with (self.home / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return {}
        except FileNotFoundError:
            return {}
        except BlockingIOError:
            pass
        try:
            found: Mapping[str, Any] = json.loads((self.home / "server.json").read_text())
        except (FileNotFoundError, ValueError):  # not there yet, or damaged
            return {}
        return found

    def _connect(self, name: str) -> tuple[HTTPConnection, str]:
        """An open connection to the service, and the word that it wants to hear."""
        if self.refusals[name] > 0:
            self.refusals[name] -= 1
            raise api.Transient(f"simulated: connection refused: {_refused()}")
        begun, started = time.monotonic(), -RESTART
        process: subprocess.Popen[bytes] | None = None
        while (now := time.monotonic() - begun) < START:
            found = self.server()
            if found and (connection := self._open(found)):
                return connection, found["token"]
            if now - started > RESTART:
                process, started = self._start(), now
            if process and (process.poll() or 0) > 0:
                raise api.Rejected(f"simulated: its process ends at once{self._last_word()}", self.log)
            time.sleep(0.02)
        raise api.Transient("simulated: its process does not come up", self.log)

    def _open(self, found: Mapping[str, Any]) -> HTTPConnection | None:
        from http.client import HTTPConnection

        connection = HTTPConnection("127.0.0.1", found["port"], timeout=self.timeout, blocksize=BLOCK)
        try:
            connection.connect()
        except OSError:
            return None
        return connection

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the process, in a session of its own so that it outlives us."""
        import subprocess

        self.home.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-I",
            "-S",
            str(Path(__file__).with_name("server.py")),
            str(self.home),
            str(self.idle),
        ]
        with (self.home / "server.log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=api.without_secrets(),
                start_new_session=True,
            )

    def _last_word(self) -> str:
        """What the process said last, if anything: where the disk is full, not even that can be kept."""
        said = (self.home / "server.log").read_text(errors="replace").rstrip().rpartition("\n")[2]
        return f": {said}" if said else ""


def _exchange(
    connection: HTTPConnection, method: str, target: str, body: bytes | BinaryIO, headers: Mapping[str, str]
) -> tuple[HTTPResponse, bytes]:
    from http.client import HTTPException

    try:
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        return response, response.read()
    except (OSError, HTTPException) as error:
        raise api.Ambiguous(f"simulated: no answer: {type(error).__name__}: {error}") from error


def _said(response: HTTPResponse, data: bytes) -> dict[str, Any]:
    """The answer, or the error that its status stands for."""
    try:
        said: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise api.Ambiguous(f"simulated: an answer that cannot be read ({response.status})") from error
    if response.status == 429:
        wait = float(response.headers.get("Retry-After-Ms") or 1000) / 1000
        raise api.Transient(f"simulated: {said['error']}", retry_after=wait)
    if response.status == 507:
        raise api.Rejected(f"simulated: the system refused: {said['error']}", "see to space and permissions there")
    if response.status >= 500:
        raise api.Ambiguous(f"simulated: {said['error']} ({response.status})")
    if response.status >= 400:
        raise api.Rejected(f"simulated: {said['error']} ({response.status})")
    return said


def _refused() -> str:
    """What connecting to a port where nobody listens says."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        try:
            socket.create_connection(reserved.getsockname(), timeout=1).close()
        except OSError as error:
            return str(error)
    return "somebody listens"
