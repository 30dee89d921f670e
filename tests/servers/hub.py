"""A hub of Hugging Face's kind that others wrote (olah, a mirror), on the loopback address, over git repositories here.

Its dependencies and the tests' do not go together, so it lives in an environment of its own: `make install` makes
`.venv/olah`. It answers for repositories that it does not have as the hub does: 401, with the code RepoNotFound.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from servers.buckets import _free_port

COMMAND = Path(os.environ.get("FTSPEC_TEST_OLAH") or Path(sys.prefix) / "olah/bin/olah-cli")
STARTS = 60.0
CARD = """\
---
configs:
- config_name: default
  data_files:
  - {split: train, path: FILES}
---
"""


def missing() -> str:
    """Why it cannot be started here, "" where it can."""
    return "" if COMMAND.exists() else "olah is not installed: `make install` does that"


class Repository:
    """A repository as the hub has it, of `kind` datasets or models."""

    def __init__(self, root: Path, kind: str, name: str) -> None:
        self.folder = root / kind / name
        self.folder.mkdir(parents=True)
        self._git("init", "-q", "-b", "main")

    def commit_files(self, files: Mapping[str, str]) -> str:
        """A commit with these texts by name; returns its hash."""
        for name, text in files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.folder / name).write_text(text)
        self._git("add", "-A")
        self._git("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "-qm", "files")
        return self._git("rev-parse", "HEAD")

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()


class Dataset(Repository):
    """The repository of a dataset."""

    def __init__(self, root: Path, name: str) -> None:
        super().__init__(root, "datasets", name)

    def commit(self, rows: str, more: str = "") -> str:
        """A commit with these JSON lines, in a second file with `more`; returns its hash."""
        files = {"data/train.jsonl": rows} | ({"data/train2.jsonl": more} if more else {})
        return self.commit_files({"README.md": CARD.replace("FILES", f"[{', '.join(files)}]"), **files})


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Path]]:
    """(its address, its log) of a hub with the repositories below `folder`."""
    port = _free_port()
    log = folder / "log"
    (folder / "olah.toml").write_text(f"""\
[basic]
host = "127.0.0.1"
port = {port}
mirror-scheme = "http"
mirror-netloc = "127.0.0.1:{port}"
mirror-lfs-netloc = "127.0.0.1:{port}"
repos-path = "{folder}/cache"
log-path = "{folder}/logs"
mirrors-path = ["{folder}"]
[accessibility]
offline = true
""")
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as said:
        command = [str(COMMAND), "--config", str(folder / "olah.toml")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder)
        try:
            _wait(url, process, log)
            yield url, log
        finally:
            process.kill()
            process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS
    while True:
        try:
            urllib.request.urlopen(f"{url}/api/datasets/nobody/nothing").close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"olah does not start: {log.read_text()}") from None
            time.sleep(0.1)
