"""The source `huggingface` over HTTP, from a hub that others wrote (olah), by the official libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from servers import hub
from servers.hub import Dataset

SPEC = """\
version: 1
name: far
sources:
  - huggingface: {dataset: acme/tickets, token: "${secret:HUB}"MORE}
format: {chat: {user: "{{ question }}", assistant: "{{ answer }}"}}
provider: {simulated: {seconds_per_step: 0}}
model: some-model
"""
TOKEN = "hf_s3cr3tS3cr3tS3cr3t"


def lines(*questions: str) -> str:
    return "".join(json.dumps({"question": text, "answer": "yes"}) + "\n" for text in questions)


class Hub(NamedTuple):
    url: str
    dataset: Dataset
    first: str
    log: Path


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    if reason := hub.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("hub")
    dataset = Dataset(folder, "acme/tickets")
    first = dataset.commit(lines("one", "two"))
    with hub.serving(folder) as (url, log):
        yield Hub(url, dataset, first, log)


class Said(NamedTuple):
    code: int
    out: str
    err: str


def ftspec(folder: Path, url: str, *arguments: str, more: str = "", dataset: str = "acme/tickets") -> Said:
    """In a process of its own: the libraries read the environment when they are imported."""
    (folder / "spec.yaml").write_text(SPEC.replace("MORE", more).replace("acme/tickets", dataset))
    told = {"HF_ENDPOINT": url, "HF_HOME": f"{folder}/home", "XDG_CACHE_HOME": f"{folder}/cache", "HUB": TOKEN}
    told |= {"HF_HUB_ETAG_TIMEOUT": "120", "HF_HUB_DOWNLOAD_TIMEOUT": "120"}
    told |= {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(
        [sys.executable, "-m", "ftspec", *arguments, "spec.yaml", "-q"],
        cwd=folder, env={**os.environ, **told}, capture_output=True, text=True,
    )  # fmt: skip
    assert TOKEN not in ran.stdout + ran.stderr and "Traceback" not in ran.stderr
    return Said(ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize("more", ["", ", streaming: false"])
def test_a_branch_is_looked_up_and_a_commit_is_what_it_was(there: Hub, tmp_path: Path, more: str) -> None:
    newest = there.dataset.commit(
        lines("one", "two", f"three{more}")
    )  # else the second time there is nothing to commit
    now = ftspec(tmp_path, there.url, "plan", more=more)
    assert now.code == 0 and "3 training rows" in now.out, now
    pinned = ftspec(tmp_path, there.url, "plan", more=f"{more}, revision: {there.first}")
    assert pinned.code == 0 and "2 training rows" in pinned.out, pinned
    asked = there.log.read_text()
    assert f"/resolve/{newest}/data/train.jsonl" in asked and f"/resolve/{there.first}/data/train.jsonl" in asked
    assert "/resolve/main/" not in asked, "what is read is the commit that is in the plan"
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and TOKEN.encode() in file.read_bytes()]


def test_a_new_commit_on_the_branch_makes_the_data_step_run_again(there: Hub, tmp_path: Path) -> None:
    there.dataset.commit(lines("one"))
    assert ftspec(tmp_path, there.url, "run").code == 0
    assert "data           cached" in ftspec(tmp_path, there.url, "plan").out
    there.dataset.commit(lines("one", "more"))
    again = ftspec(tmp_path, there.url, "plan")
    assert "sources[0] content" in again.out and "2 training rows" in again.out, again.out


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (", revision: no-such-branch", "no dataset 'acme/tickets' of revision 'no-such-branch'"),
        (", split: nothing", "cannot be read"),
    ],
)
def test_what_the_hub_does_not_have(there: Hub, tmp_path: Path, more: str, part: str) -> None:
    said = ftspec(tmp_path, there.url, "plan", more=more)
    assert said.code == 1 and part in said.err, said.err


def test_a_dataset_that_is_not_there_or_not_ours(there: Hub, tmp_path: Path) -> None:
    """The hub does not tell one from the other."""
    said = ftspec(tmp_path, there.url, "plan", dataset="acme/private")
    assert said.code == 1 and "spec.yaml:4:" in said.err
    assert "no dataset 'acme/private'" in said.err and "or it is not yours to see" in said.err, said.err


def test_a_hub_that_is_away_is_told_and_the_next_run_goes_on(there: Hub, tmp_path: Path) -> None:
    there.dataset.commit(lines("one", "two"))
    nowhere = "http://127.0.0.1:9"
    said = ftspec(tmp_path, nowhere, "plan")
    assert said.code == 1 and "spec.yaml:4:" in said.err and "check the network" in said.err, said.err
    pinned = f", revision: {there.first}"
    assert ftspec(tmp_path, nowhere, "plan", "--no-measure", more=pinned).code == 0, "a pinned commit needs no network"
    said = ftspec(tmp_path, nowhere, "run", more=pinned)
    assert said.code == 1 and "hf://acme/tickets" in said.err and "check" in said.err, said.err
    assert ftspec(tmp_path, there.url, "run", more=pinned).code == 0
