"""A hub that goes away while it is asked: what the user sees, when it ends, and what the next run fetches."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from servers import hub
from servers.hub import Dataset
from servers.proxy import Fault, Operation, Proxy

SPEC = """\
version: 1
name: far
sources:
  - huggingface: {dataset: acme/far, revision: PINNED, streaming: STREAMING}
    on_error: ERRORS
  - examples: {rows: [{question: here, answer: "yes"}]}
format: {chat: {user: "{{ question }}", assistant: "{{ answer }}"}}
provider: {simulated: {seconds_per_step: 0}}
model: some-model
"""
OPERATIONS = (
    Operation("file", "GET", ".*/resolve/.*/train.jsonl"),
    Operation("second", "GET", ".*/resolve/.*/train2.jsonl"),
    Operation("tree", "GET", "/api/datasets/.*/tree/.*"),
)
FAULTS = {
    "reset": Fault("reset"),
    "hang": Fault("timeout"),
    "503": Fault("answer", status=503, body="{}"),
    "429": Fault("answer", status=429, body="{}", headers={"Retry-After": "2000"}),
    "cut": Fault("cut", handled=True),
    "stalled": Fault("stalled", handled=True),
}
PATIENCE = 12
LARGE = 25_000_000
"""Bytes of a file that comes in parts: the client writes 10 MB at once."""
SECONDS = 5
"""Without a byte, after which the client gives a request up: its least."""


class Far(NamedTuple):
    url: str
    old: str
    new: str
    large: str
    two: str


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    if reason := hub.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("far")
    dataset = Dataset(folder, "acme/far")
    old, new = (dataset.commit(lines(count)) for count in (2000, 3000))
    large = dataset.commit(lines(2000, "x" * (LARGE // 2000)))
    two = dataset.commit(lines(2000), lines(10))
    with hub.serving(folder) as (url, _):
        yield Far(url, old, new, large, two)


def lines(count: int, more: str = "") -> str:
    rows = ({"question": f"{number} of {count} {more}", "answer": "yes"} for number in range(count))
    return "".join(json.dumps(row) + "\n" for row in rows)


class Said(NamedTuple):
    code: int
    err: str
    seconds: float


def run(folder: Path, url: str, commit: str, *, streaming: bool = True, errors: str = "fail") -> Said:
    """In a process of its own, as a user starts it; `folder/home` is what the hub's libraries keep."""
    folder.mkdir(exist_ok=True)
    text = SPEC.replace("PINNED", commit).replace("STREAMING", str(streaming).lower()).replace("ERRORS", errors)
    (folder / "spec.yaml").write_text(text)
    told = {
        "HF_ENDPOINT": url,
        "HF_HOME": f"{folder}/home",
        "XDG_CACHE_HOME": f"{folder}/cache",
        "NO_PROXY": "127.0.0.1",
    }
    told |= {"HF_HUB_DOWNLOAD_TIMEOUT": str(SECONDS), "HF_HUB_ETAG_TIMEOUT": "60"}
    told |= {"FTSPEC_HUB_PATIENCE": str(PATIENCE)}
    command = [sys.executable, "-m", "ftspec", "run", "--until", "data", "spec.yaml"]
    began = time.monotonic()
    ran = subprocess.run(command, cwd=folder, env={**os.environ, **told}, capture_output=True, text=True)
    assert "Traceback" not in ran.stderr, ran.stderr
    return Said(ran.returncode, ran.stderr, time.monotonic() - began)


def rows(folder: Path) -> int:
    """How many rows the data step has left."""
    (made,) = [
        found for path in (folder / ".ftspec/steps").iterdir() if "files" in (found := json.loads(path.read_bytes()))
    ]
    return len((folder / ".ftspec/blobs" / made["files"]["training.jsonl"]).read_text().splitlines())


@pytest.mark.parametrize(
    ("operation", "fault", "streaming", "says"),
    [
        ("file", "reset", True, "the connection was reset"),
        ("file", "503", False, "status 503"),
        pytest.param("tree", "reset", True, "the connection was reset", marks=pytest.mark.slow),
        pytest.param("tree", "503", False, "status 503", marks=pytest.mark.slow),
        pytest.param("file", "hang", True, "no answer in time", marks=pytest.mark.slow),
        pytest.param("file", "hang", False, "no answer in time", marks=pytest.mark.slow),
        pytest.param("file", "stalled", True, "no answer in time", marks=pytest.mark.slow),
        pytest.param("file", "cut", True, "the connection was reset", marks=pytest.mark.slow),
    ],
)
def test_one_that_stays_away_is_told_of_and_given_up(
    far: Far, tmp_path: Path, operation: str, fault: str, streaming: bool, says: str
) -> None:
    """A part of the rows is none, whatever `on_error` says; the next run has them all."""
    with Proxy(far.url, OPERATIONS, FAULTS) as proxy:
        proxy.fault(operation, fault, once=False)
        said = run(tmp_path, proxy.url, far.old, streaming=streaming, errors="skip")
        assert proxy.count(operation) > 1
        assert said.code == 1 and f"the hub does not answer ({says} at 127.0.0.1): attempt 1, the next in" in said.err
        assert "spec.yaml:4:" in said.err and f"'acme/far' cannot be read after row 0: {says}" in said.err, said.err
        assert "run the same command again" in said.err and "http://" not in said.err, said.err
        assert ("with `streaming: false` files that have come are kept" in said.err) == streaming
        assert said.seconds < 90, said
        proxy.heal()
        assert run(tmp_path, proxy.url, far.old, streaming=streaming).code == 0
    assert rows(tmp_path) == 2001


def test_a_commit_that_was_prepared_here_needs_no_hub_and_another_is_not_taken_for_it(far: Far, tmp_path: Path) -> None:
    """The library by itself reads the commit that it has had last, whichever is asked for, and says so in a warning."""
    for commit in (far.old, far.new):
        assert run(tmp_path / "there", far.url, commit, streaming=False).code == 0
    nowhere = "http://127.0.0.1:9"
    for commit, count in ((far.old, 2001), (far.new, 3001)):
        shutil.rmtree(tmp_path / "there/.ftspec")
        said = run(tmp_path / "there", nowhere, commit, streaming=False)
        assert said.code == 0 and rows(tmp_path / "there") == count and "does not answer" not in said.err, said
    shutil.rmtree(tmp_path / "there/.ftspec")
    said = run(tmp_path / "there", nowhere, far.old)
    assert said.code == 0 and rows(tmp_path / "there") == 2001 and "as this machine has kept it" in said.err, said
    assert run(tmp_path / "other", far.url, far.old, streaming=False).code == 0
    for streaming in (False, True):
        said = run(tmp_path / "other", nowhere, far.new, streaming=streaming)
        assert said.code == 1 and "cannot be read after row 0: connection refused" in said.err, said.err


@pytest.mark.slow
def test_what_breaks_off_goes_on_from_there(far: Far, tmp_path: Path) -> None:
    with Proxy(far.url, OPERATIONS, FAULTS, ranges=True) as proxy:
        proxy.fault("file", "cut", once=True)
        said = run(tmp_path, proxy.url, far.large, streaming=False)
        assert said.code == 0 and "the hub answers again" in said.err, said.err
        first, second = (one.header("range") for one in proxy.exchanges if one.operation == "file")
    assert not first and second.startswith("bytes=1"), "the client writes 10 MB at once"
    assert rows(tmp_path) == 2001


def test_files_that_have_come_are_not_fetched_by_the_next_run(far: Far, tmp_path: Path) -> None:
    with Proxy(far.url, OPERATIONS, FAULTS) as proxy:
        proxy.fault("second", "reset", once=False)
        said = run(tmp_path, proxy.url, far.two, streaming=False)
        assert said.code == 1 and "the connection was reset" in said.err, said.err
        assert proxy.count("file") == 1
        proxy.heal()
        assert run(tmp_path, proxy.url, far.two, streaming=False).code == 0
        assert proxy.count("file") == 1
    assert rows(tmp_path) == 2011


@pytest.mark.slow
def test_what_breaks_off_once_is_no_end_of_a_stream(far: Far, tmp_path: Path) -> None:
    with Proxy(far.url, OPERATIONS, FAULTS) as proxy:
        proxy.fault("file", "cut", once=True)
        assert run(tmp_path, proxy.url, far.old).code == 0
    assert rows(tmp_path) == 2001


@pytest.mark.slow
def test_asked_too_often_is_not_waited_for_longer_than_it_may_be(far: Far, tmp_path: Path) -> None:
    with Proxy(far.url, OPERATIONS, FAULTS) as proxy:
        proxy.fault("file", "429", once=False)
        said = run(tmp_path, proxy.url, far.old)
        assert proxy.count("file") == 1
    assert said.code == 1 and "status 429" in said.err and "asks to be left alone" in said.err, said.err
