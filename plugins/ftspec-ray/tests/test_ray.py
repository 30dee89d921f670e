"""`engine: ray` on a cluster of two nodes: what it makes is what the default engine makes, also when a node dies."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ftspec_ray import engine as engines
from ftspec_ray import work
from ray.cluster_utils import Cluster

from ftspec import pipeline, registry, runner, validate
from ftspec.cleaning import Stage
from ftspec.cli import guard
from ftspec.errors import DataError, Finding, FtspecError
from ftspec.progress import Quiet
from ftspec.segments import Segment
from ftspec.spec import Item
from ftspec.stages import Options

SPEC = """\
version: 1
name: spread
sources: [{jsonl: {path: rows.jsonl}}]
cleaning:
  - normalise: {}
  - drop_empty: {columns: [prompt]}
  - dedupe: {columns: [prompt]}
  - near_dedupe: {columns: [prompt]}
  - flatten: {columns: [extra]}
  - sample: {fraction: 0.9}
format: {prompt_completion: {}}
provider: simulated
model: some-model
engine: ENGINE
"""
WORDS = [f"word{number}" for number in range(400)]


def write_rows(folder: Path, count: int, seed: int = 0) -> None:
    """Rows of which some are equal, some nearly, some empty."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=40)) for _ in range(count // 2)]
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(count):
            text = draw.choice(texts)
            if number % 3 == 0:
                text = f"{text} and so on"
            row = {"prompt": "" if number % 50 == 0 else text, "completion": str(number), "extra": {"n": number % 7}}
            file.write(json.dumps(row) + "\n")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    engines._disconnect()
    made.shutdown()


def prepared(folder: Path, engine: str, progress: Any = None) -> dict[str, str]:
    """The data step's files by name, as the store knows their content."""
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.replace("ENGINE", engine))
    installed = registry.load()
    loaded = validate.load_spec(spec, installed)
    store = folder / f"state-{engine[:6].strip('{')}"
    runner.run(loaded, installed, Options(store=str(store)), progress or Quiet())
    (made,) = [found for path in (store / "steps").iterdir() if "files" in (found := json.loads(path.read_bytes()))]
    return {name: digest for name, digest in made["files"].items() if name != pipeline.RESULT}


def test_two_nodes_make_the_bytes_of_one(cluster: Cluster, tmp_path: Path) -> None:
    write_rows(tmp_path, 3000)
    here = prepared(tmp_path, "threads")
    there = prepared(tmp_path, f"{{ray: {{address: '{cluster.address}'}}}}")
    assert len(here) > 3 and there == here


class Killer(Quiet):
    """Kills a node, hard, when the first rows have come back."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.killed = cluster, threading.Event()

    def advance(self, done: int, total: int | None = None, detail: str = "") -> None:
        if done and not self.killed.is_set():
            self.killed.set()
            self.cluster.remove_node(self.cluster.worker_nodes.copy().pop(), allow_graceful=False)


@pytest.mark.slow
def test_a_node_that_is_killed_loses_no_row(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "WINDOW", 2)
    write_rows(tmp_path, 40_000)
    here = prepared(tmp_path, "threads")
    killer = Killer(cluster)
    there = prepared(tmp_path, f"{{ray: {{address: '{cluster.address}'}}}}", killer)
    assert killer.killed.is_set() and not cluster.worker_nodes
    assert there == here


def test_a_cluster_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(tmp_path, 10)
    (tmp_path / "spec.yaml").write_text(SPEC.replace("ENGINE", "{ray: {address: 'nobody-here:1'}}"))
    assert guard.run(["run", str(tmp_path / "spec.yaml"), "-q"]) == 1
    said = capsys.readouterr().err
    assert "engine 'ray' cannot join a cluster at 'nobody-here:1'" in said and "Traceback" not in said


def test_no_secret_goes_to_a_cluster(tmp_path: Path) -> None:
    redact = Item(kind="cleaner", name="redact", options={"placeholders": "dataset", "key": "${secret:RKEY}"})
    segment = Segment(tmp_path, registry.load(), (Stage(item=redact, index=1),))
    with pytest.raises(FtspecError, match="RKEY"):
        next(engines.Ray("nobody-here:1", 0).map(segment, [1]))
    engines.Ray("", 0)._refuse_secrets(segment)


@pytest.mark.parametrize(
    "error", [FtspecError("no", "do"), DataError([Finding(message="odd", row=3)]), ValueError("odd")]
)
def test_an_error_of_a_worker_is_raised_by_the_driver(error: Exception) -> None:
    def broken(item: Any) -> Any:
        raise error

    packed = work._packed(broken, 1)
    with pytest.raises(type(error)) as raised:
        work.unpacked(packed)
    assert str(raised.value) == str(error)
    if isinstance(error, DataError) and isinstance(raised.value, DataError):
        assert list(raised.value.findings) == list(error.findings)
