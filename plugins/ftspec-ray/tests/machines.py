"""Several machines on one: each has network, processes, /tmp and /dev/shm of its own, and a Ray node in it.

Linux, root, iproute2 and util-linux are needed. What lies outside of /tmp (the installed packages) all of them see, as
machines do that are set up alike; what lies in /tmp only the one that has it, but for folders that are said to be
shared. The driver's machine sees the /tmp of the tests.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

NET = "10.77.0"
PORT = 6379
TOOLS = ("ip", "unshare", "nsenter", "mount")
STARTS = 240.0
CACHE = "cache"
"""In Ray's folder on each machine: what a user's cache is there."""
STORE = 300_000_000
"""Bytes of each node's object store."""
TOKEN = "5f3759df" * 8
PATIENT = {"raylet_start_wait_time_s": 200, "agent_register_timeout_ms": 300_000, "health_check_timeout_ms": 60_000}
"""Ray's own, for a machine that is busy with other things: a node whose agent starts late ends by default."""
ENVIRONMENT = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN} | {f"RAY_{n}": str(v) for n, v in PATIENT.items()}
"""With these a cluster takes nobody without its token; what `ray start` does by itself depends on files of the user."""


def missing() -> str:
    """Why this machine cannot be several, "" where it can."""
    if sys.platform != "linux" or os.geteuid():
        return "needs Linux and root"
    if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(absent)}"
    if Path(sys.executable).is_relative_to("/tmp"):
        return "needs an environment outside of /tmp, which each machine has for itself"
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True)
    return "may make no namespaces here" if tried.returncode else ""


class Machine:
    """One machine: `run` starts a command on it, `kill` ends it with all that runs on it."""

    def __init__(self, number: int) -> None:
        self.address = f"{NET}.{number}"
        self._holder = _holder("--net", "--mount", "--pid", "--mount-proc")
        self.pid = _child(self._holder.pid)

    def command(self, arguments: Sequence[str]) -> list[str]:
        return ["nsenter", "--target", str(self.pid), "--net", "--mount", "--pid", *arguments]

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        told = {**os.environ, **ENVIRONMENT, **options.pop("environment", {})}
        return subprocess.run(self.command(arguments), text=True, capture_output=True, env=told, **options)

    def own(self, *folders: Path) -> None:
        """Give it /tmp and /dev/shm of its own, in which only these folders of the driver's are to be seen."""
        kept = [Path(tempfile.gettempdir()) / f"machines-{self.pid}-{n}" for n in range(len(folders))]
        script = ["mount --make-rprivate /", "mkdir -p /run/shared"]
        script += [f"mkdir -p /run/shared/{path.name} && mount --bind {folder} /run/shared/{path.name}"
                   for folder, path in zip(folders, kept, strict=True)]  # fmt: skip
        script += ["mount -t tmpfs none /tmp", "mount -t tmpfs none /dev/shm"]
        script += [f"mkdir -p {folder} && mount --bind /run/shared/{path.name} {folder}"
                   for folder, path in zip(folders, kept, strict=True)]  # fmt: skip
        self.run("sh", "-ec", "\n".join(script), check=True)

    def kill(self) -> None:
        self._holder.kill()
        self._holder.wait()


@contextlib.contextmanager
def machines(count: int, temporary: str, shared: Sequence[Path] = (), cpus: int = 1) -> Iterator[list[Machine]]:
    """A cluster of so many machines, the first of which is the driver's. `temporary` is Ray's folder on each."""
    with ExitStack() as stack:
        switch = _holder("--net")
        stack.callback(switch.wait)
        stack.callback(switch.kill)
        hub = _child(switch.pid)
        _ip(hub, "link add br0 type bridge")
        _ip(hub, "link set br0 up")
        made = []
        for number in range(1, count + 1):
            made.append(machine := Machine(number))
            stack.callback(machine.kill)
            _ip(hub, f"link add v{number} type veth peer name eth0 netns {machine.pid}")
            _ip(hub, f"link set v{number} master br0 up")
            _ip(machine.pid, "link set lo up")
            _ip(machine.pid, f"addr add {machine.address}/24 dev eth0")
            _ip(machine.pid, "link set eth0 up")
            if number > 1:
                machine.own(*shared)
            node = _node(machine, made[0], temporary, cpus)
            stack.callback(node.wait)
            stack.callback(machine.kill)
            _wait(made[0], number * cpus)
        yield made


def _node(machine: Machine, head: Machine, temporary: str, cpus: int) -> subprocess.Popen[bytes]:
    joins = [f"--address={head.address}:{PORT}"]
    if machine is head:
        joins = ["--head", f"--port={PORT}", f"--temp-dir={temporary}", "--include-dashboard=false"]
    size = [f"--num-cpus={cpus}", f"--object-store-memory={STORE}", f"--node-ip-address={machine.address}"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", *joins, *size, "--disable-usage-stats", "--block"]
    nothing: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    own = {"XDG_CACHE_HOME": f"{temporary}/{CACHE}"}
    process = subprocess.Popen(machine.command(start), env={**os.environ, **ENVIRONMENT, **own}, **nothing)
    if machine is head:
        code = f"import socket; socket.create_connection(('{head.address}', {PORT}), 1)"
        _until(lambda: machine.run(sys.executable, "-c", code))
    return process


def _wait(head: Machine, cpus: int) -> None:
    code = "import ray, sys; ray.init(address=sys.argv[1], logging_level='ERROR', log_to_driver=False)\n"
    code += "sys.exit(ray.cluster_resources().get('CPU', 0) < float(sys.argv[2]))"
    _until(lambda: head.run(sys.executable, "-c", code, f"{head.address}:{PORT}", str(cpus)))


def _until(tried: Any) -> None:
    end = time.monotonic() + STARTS
    while (found := tried()).returncode:
        if time.monotonic() > end:
            raise RuntimeError(f"Ray does not start: {found.stderr}")
        time.sleep(0.5)


def _holder(*spaces: str) -> subprocess.Popen[bytes]:
    """A process whose child stands in new namespaces and does nothing; both end together."""
    command = ["unshare", *spaces, "--fork", "--kill-child", "sleep", "3600"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _child(pid: int) -> int:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    while not path.read_text().strip():
        time.sleep(0.01)
    return int(path.read_text().split()[0])


def _ip(pid: int, arguments: str) -> None:
    subprocess.run(["nsenter", "--target", str(pid), "--net", "ip", *arguments.split()], check=True)
