"""The source `huggingface` over HTTP, from a hub that others wrote (olah), by the official libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from servers import hub
from servers.hub import Dataset
from servers.proxy import Fault, Operation, Proxy, wait_until

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


def write(folder: Path, more: str, dataset: str = "acme/tickets") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "spec.yaml").write_text(SPEC.replace("MORE", more).replace("acme/tickets", dataset))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ftspec", *arguments, "spec.yaml", "-q"]


def environment(folder: Path, url: str) -> dict[str, str]:
    told = {"HF_ENDPOINT": url, "HF_HOME": f"{folder}/home", "XDG_CACHE_HOME": f"{folder}/cache", "HUB": TOKEN}
    told |= {"HF_HUB_ETAG_TIMEOUT": "120", "HF_HUB_DOWNLOAD_TIMEOUT": "120"}
    told |= {"FTSPEC_HUB_PATIENCE": "4"}
    told |= {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    return {**os.environ, **told}


def ftspec(folder: Path, url: str, *arguments: str, more: str = "", dataset: str = "acme/tickets") -> Said:
    """In a process of its own: the libraries read the environment when they are imported."""
    write(folder, more, dataset)
    ran = subprocess.run(command(*arguments), cwd=folder, env=environment(folder, url), capture_output=True, text=True)
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
        (", revision: no-such-branch", "revision 'no-such-branch': the hub has no dataset 'acme/tickets'"),
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
    there.dataset.commit(lines("one", "two", "away"))
    nowhere = "http://127.0.0.1:9"
    said = ftspec(tmp_path, nowhere, "plan")
    assert said.code == 1 and "spec.yaml:4:" in said.err and "check the network" in said.err, said.err
    pinned = f", revision: {there.first}"
    assert ftspec(tmp_path, nowhere, "plan", "--no-measure", more=pinned).code == 0, "a pinned commit needs no network"
    said = ftspec(tmp_path, nowhere, "run", more=pinned)
    assert said.code == 1 and "'acme/tickets' cannot be read" in said.err and "check the network" in said.err, said.err
    assert ftspec(tmp_path, there.url, "run", more=pinned).code == 0


REQUESTS = (
    Operation("info", "GET", "/api/datasets/[^/]+/[^/]+/revision/[^/]+"),
    Operation("file", "GET", ".*/resolve/.*/train.jsonl"),
)
GATED = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to dataset acme/tickets is restricted {key}"}
WRONG = "Invalid credentials in Authorization header"
REFUSALS = {
    "gated": Fault("answer", status=403, body="{}", headers=GATED),
    "gated to nobody": Fault("answer", status=401, body="{}", headers=GATED),
    "wrong token": Fault("answer", status=401, body="{}", headers={"X-Error-Message": f"{WRONG} {{key}}"}),
    "no revision": Fault("answer", status=404, body="{}", headers={"X-Error-Code": "RevisionNotFound"}),
    "no right": Fault("answer", status=403, body='{"error": "your token {key} has not the permission"}'),
}
"""What the hub itself answers by its library's documentation; olah knows none of them."""


@pytest.mark.parametrize(
    ("fault", "says", "do"),
    [
        ("gated", "'acme/tickets' is gated", "accept its terms"),
        ("gated to nobody", "'acme/tickets' is gated", "accept its terms"),
        ("wrong token", "does not know the token (401)", "make a new one"),
        ("no right", "the hub refuses (403)", "a token that may read it: `token: ${secret:HF_TOKEN}`"),
    ],
)
def test_what_the_hub_refuses_is_told_with_what_to_do(
    there: Hub, tmp_path: Path, fault: str, says: str, do: str
) -> None:
    """When the revision is looked up, and, where a commit is pinned, when the dataset is opened or its file is read."""
    there.dataset.commit(lines("one", fault))
    for operation, more, place in (
        ("info", "", "spec.yaml:4:"),
        ("info", f", revision: {there.first}", "hf://acme/tickets[train]:1:"),
        ("file", "", "hf://acme/tickets[train]:1:"),
    ):
        with Proxy(there.url, REQUESTS, REFUSALS) as proxy:
            proxy.fault(operation, fault, once=False)
            said = ftspec(tmp_path / f"{operation}{len(more)}", proxy.url, "plan", more=more)
            assert proxy.count(operation)
        assert said.code == 1 and place in said.err and says in said.err and do in said.err, (operation, said.err)


def test_a_revision_that_is_not_there_is_told_from_a_dataset_that_is_not(there: Hub, tmp_path: Path) -> None:
    with Proxy(there.url, REQUESTS, REFUSALS) as proxy:
        proxy.fault("info", "no revision", once=False)
        said = ftspec(tmp_path, proxy.url, "plan", more=", revision: v9")
    assert said.code == 1 and "spec.yaml:4:" in said.err, said.err
    assert "revision 'v9': 'acme/tickets' has none of that name" in said.err and "a branch, a tag" in said.err, said.err


@pytest.mark.parametrize("more", [", streaming: false", pytest.param("", marks=pytest.mark.slow)])
def test_killed_while_it_fetches_and_gone_on(there: Hub, tmp_path: Path, more: str) -> None:
    """Killed when it has asked for the file, before it is there and after, and once before: what is there then is
    whole, or is fetched anew."""
    there.dataset.commit(lines(*(f"{more}{n}" for n in range(2000))))
    with Proxy(there.url, REQUESTS, REFUSALS) as proxy:
        whole = ftspec(tmp_path / "whole", proxy.url, "run", more=more)
        assert whole.code == 0, whole
        (*_, fetched) = [exchange.number for exchange in proxy.exchanges if exchange.operation == "file"]
    for number, when in ((fetched // 2, "after"), (fetched, "before"), (fetched, "after")):
        write(folder := tmp_path / f"{number}{when}", more)
        with Proxy(there.url, REQUESTS, REFUSALS) as proxy:
            hold = proxy.hold(number, when)
            with subprocess.Popen(command("run"), cwd=folder, env=environment(folder, proxy.url)) as victim:
                assert hold.reached.wait(120)
                victim.kill()
            hold.drop()
        again = ftspec(folder, there.url, "run", more=more)
        assert again.code == 0 and made(folder) == made(tmp_path / "whole"), again


def made(folder: Path) -> Any:
    """The data step's files by name, by the sha256 of their content."""
    steps = [json.loads(step.read_bytes()) for step in (folder / ".ftspec/steps").iterdir()]
    (files,) = [step["files"] for step in steps if "files" in step]
    return files


def test_a_hub_that_is_slow_is_waited_for(there: Hub, tmp_path: Path) -> None:
    there.dataset.commit(lines("one", "slow"))
    with Proxy(there.url, REQUESTS, REFUSALS) as proxy, ThreadPoolExecutor() as pool:
        holds = [proxy.hold(number, "before") for number in (1, 2)]  # the library may ask for something else first
        said = pool.submit(ftspec, tmp_path, proxy.url, "plan")
        assert wait_until(lambda: proxy.count("info") == 1, 120) and not wait_until(said.done, 12)
        for hold in holds:
            hold.go.set()
        assert said.result().code == 0, said.result()


# ---- models of the local tuner


LOCAL = """\
version: 1
name: near
sources:
  - examples: {rows: [{q: one, a: two}, {q: two, a: one}]}
format: {chat: {user: "{{ q }}", assistant: "{{ a }}"}}
provider: local
model: acme/tiny
"""
TEMPLATE = "{% for message in messages %}{{ message.role }} {{ message.content }}\n{% endfor %}"


def tokenizer() -> str:
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"one": 0, "two": 1, "user": 2, "assistant": 3, "?": 4}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return str(made.to_str())


def test_a_plan_fetches_no_weights_and_is_the_same_when_they_are_here(there: Hub, tmp_path: Path) -> None:
    """Before, the model was another one as soon as it was on this machine, so the second run trained it again."""
    pytest.importorskip("ftspec_local")
    files = {"config.json": "{}", "tokenizer.json": tokenizer(), "chat_template.jinja": TEMPLATE}
    more = {"model.safetensors": "weights", "onnx/config.json": "{}", "consolidated.safetensors": "them again"}
    commit = hub.Repository(there.log.parent, "models", "acme/tiny").commit_files(files | more)
    write(tmp_path, "")
    (tmp_path / "spec.yaml").write_text(LOCAL)
    own = environment(tmp_path, there.url)
    here = tmp_path / f"home/hub/models--acme--tiny/snapshots/{commit}"

    def plan() -> Any:
        done = subprocess.run([*command("plan"), "--format", "json"], cwd=tmp_path, env=own, capture_output=True)
        assert (done.returncode, done.stderr) == (0, b""), done
        return json.loads(done.stdout)["plan"]["steps"]

    first = plan()
    assert {path.name for path in here.iterdir()} == set(files)
    fetch = "from ftspec_local import models; models.ensure('acme/tiny')"
    subprocess.run([sys.executable, "-c", fetch], cwd=tmp_path, env=own, check=True, capture_output=True)
    assert {path.name for path in here.iterdir()} == {*files, "model.safetensors"}
    again = plan()
    assert [(step["name"], step["digest"]) for step in again] == [(step["name"], step["digest"]) for step in first]
    assert again[1]["keys"]["model content"] == f"commit:{commit}"
