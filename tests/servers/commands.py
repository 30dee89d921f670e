"""Runs `ftspec` commands in processes of their own, for tests that kill and race them. Not a test itself.

Every command runs in a forked child of an interpreter that has everything imported, so that a hundred cost what one
costs. `Commands` is the test's side, `serve` the interpreter's.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ftspec import registry

TESTS = Path(__file__).parents[1]
IMPORTED = (
    "aiohttp", "click", "ftspec.cli.run", "ftspec.report.compiled", "ftspec.run.runner", "ftspec_openai.sending",
    "ftspec_openai.tuner", "httpcore2", "jinja2", "jsonschema", "msgspec", "obstore", "openai.resources.files",
    "openai.resources.fine_tuning", "pyarrow.compute", "pyarrow.json", "pyarrow.parquet", "rapidfuzz", "truststore",
    "vl_convert",
)  # fmt: skip
"""What a run imports; charts are drawn in a process of their own unless vl_convert is there."""


class Commands:
    """One interpreter; it runs one command at a time.

    Args:
        grace: seconds after which a claim without outcome is given up: short where its owner is killed for certain.
    """

    def __init__(self, folder: Path, grace: float, **environment: str) -> None:
        self.folder, self.grace, self.environment = folder, grace, environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "servers.commands"],
            cwd=TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments: str, folder: Path | None = None) -> int:
        """Start `ftspec` with these arguments; the id of its process."""
        where = folder or self.folder
        order = {"arguments": arguments, "folder": str(where), "environment": self.environment, "grace": self.grace}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self._line()["pid"])

    def finish(self) -> tuple[int, str]:
        """(exit code, output) of the command; the code is that of a shell where a signal ended it."""
        done = self._line()
        return int(done["code"]), str(done["output"])

    def run(self, *arguments: str, folder: Path | None = None) -> tuple[int, str]:
        self.start(*arguments, folder=folder)
        return self.finish()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def _line(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())


def serve() -> None:
    """Read orders, run each in a child, and tell its id and then what came of it."""
    for name in IMPORTED:
        importlib.import_module(name)
    registry.load()
    for line in sys.stdin:
        order = json.loads(line)
        output = Path(order["folder"]) / f"output-{os.urandom(4).hex()}"
        child = os.fork()
        if child == 0:
            _be(order, output)
        print(json.dumps({"pid": child}), flush=True)
        _, status = os.waitpid(child, 0)
        said = output.read_text(encoding="utf-8") if output.exists() else ""
        print(json.dumps({"code": os.waitstatus_to_exitcode(status), "output": said}), flush=True)


def _be(order: dict[str, Any], output: Path) -> None:
    """Be the command: its folder, environment and streams, and times that are short enough for a test."""
    from ftspec.cli import guard
    from ftspec.tuning import tuning
    from ftspec.tuning.submission import Times

    os.chdir(order["folder"])
    os.environ.update(order["environment"])
    written = os.open(output, os.O_WRONLY | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for stream, descriptor in ((0, nothing), (1, written), (2, written)):
        os.dup2(descriptor, stream)
    tuning.Times = lambda: Times(fresh=20.0, grace=order["grace"])  # type: ignore[assignment, misc]
    os._exit(guard.run(order["arguments"]))


if __name__ == "__main__":
    serve()
