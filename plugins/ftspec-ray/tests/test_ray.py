"""`engine: ray` on a cluster of two nodes: what it makes is what the default engine makes, also when a node dies."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from operator import itemgetter, methodcaller
from pathlib import Path
from typing import Any

import pytest
import ray
from ftspec_ray import engine as engines
from ftspec_ray import shuffling, work
from ray.cluster_utils import Cluster

from ftspec import registry, rows
from ftspec.builtin import files
from ftspec.cli import guard
from ftspec.common.errors import DataError, Finding, FtspecError, PluginError
from ftspec.common.progress import Quiet
from ftspec.data.cleaning import Stage
from ftspec.data.reducing import OwnWork
from ftspec.data.segments import Segment
from ftspec.run import runner
from ftspec.run.site import Options
from ftspec.spec import Item
from ftspec.validation import validate

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
TEMPLATE = " ".join(WORDS[:40])


def write_rows(folder: Path, count: int, seed: int = 0, *, accented: bool = False) -> None:
    """Rows of which some are equal, some nearly, some empty, and many have half of what they say in common."""
    draw = random.Random(seed)
    texts = [" ".join(draw.choices(WORDS, k=40)) for _ in range(count // 2)]
    texts[::10] = [f"{TEMPLATE} {' '.join(draw.choices(WORDS, k=8))}" for _ in texts[::10]]
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(count):
            text = draw.choice(texts)
            if number % 3 == 0:
                text = f"{text} and so on" + (" à la carte" if accented else "")
            row = {"prompt": "" if number % 50 == 0 else text, "completion": str(number), "extra": {"n": number % 7}}
            file.write(json.dumps(row) + "\n")


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    # Of what tasks make, little as it is here, nothing is kept by the driver: it would outlive the nodes.
    own = {"_system_config": {"max_direct_call_object_size": 100}}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **own})
    yield made
    made.shutdown()


@pytest.fixture
def cluster(started: Cluster) -> Iterator[Cluster]:
    """Two nodes: a test may kill one."""
    if not started.worker_nodes:
        started.add_node(num_cpus=1)
    yield started
    engines._disconnect()


def prepared(folder: Path, engine: str, progress: Any = None) -> dict[str, str]:
    """The data step's files by name, as the store knows their content."""
    spec = folder / "spec.yaml"
    spec.write_text(SPEC.replace("ENGINE", engine))
    installed = registry.load()
    loaded = validate.load_spec(spec, installed)
    store = folder / f"state-{engine[:6].strip('{')}"
    runner.run(loaded, installed, Options(store=str(store)), progress or Quiet())
    (made,) = [found for path in (store / "steps").iterdir() if "files" in (found := json.loads(path.read_bytes()))]
    files: dict[str, str] = made["files"]
    return files


def test_two_nodes_make_the_bytes_of_one(cluster: Cluster, tmp_path: Path) -> None:
    write_rows(tmp_path, 3000)
    here = prepared(tmp_path, "threads")
    there = prepared(tmp_path, f"{{ray: {{address: '{cluster.address}'}}}}")
    assert len(here) > 3 and there == here


def kill(cluster: Cluster) -> None:
    """A node goes, hard."""
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)


class Killer(Quiet):
    """Kills a node, hard, when the first rows have come back."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.killed = cluster, threading.Event()

    def advance(self, done: float, *, total: float | None = None, detail: str = "") -> None:
        if done and not self.killed.is_set():
            self.killed.set()
            kill(self.cluster)


@pytest.mark.slow
def test_a_node_that_is_killed_loses_no_row(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "WINDOW", 2)
    write_rows(tmp_path, 40_000)
    here = prepared(tmp_path, "threads")
    killer = Killer(cluster)
    there = prepared(tmp_path, f"{{ray: {{address: '{cluster.address}'}}}}", killer)
    assert killer.killed.is_set() and not cluster.worker_nodes
    assert there == here


@pytest.mark.slow
@pytest.mark.parametrize("after", [2, 5])
def test_a_node_that_is_killed_between_shuffles(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """What it held is made again: keys by band (2 shuffles are done), sets and pairs of a crowd (5)."""
    write_rows(tmp_path, 3000)
    here = prepared(tmp_path, "threads")
    monkeypatch.setattr(files, "BLOCK", 40_000)
    done = lost = 0
    shuffled = shuffling.shuffled

    def counted(*given: Any) -> shuffling.Held:
        nonlocal done, lost
        made = shuffled(*given)
        done += 1
        if done == after:
            shuffling._sizes(made)  # all of it has been done
            (node,) = cluster.worker_nodes
            places = ray.experimental.get_object_locations(made.batches).values()
            lost = sum(place["node_ids"] == [node.node_id] for place in places)
            kill(cluster)
        return made

    monkeypatch.setattr(shuffling, "shuffled", counted)
    there = prepared(tmp_path, f"{{ray: {{address: '{cluster.address}'}}}}")
    assert done == 6 and not cluster.worker_nodes  # one for dedupe, five for near_dedupe
    assert lost > 0
    assert there == here


def test_what_is_held_and_errors_of_tasks(cluster: Cluster, tmp_path: Path) -> None:
    engine = engines.Ray(cluster.address, 0)
    batch = rows.from_dicts([{"key": number} for number in range(100)])
    held = engine.hold(methodcaller("slice", 10), [batch.select(["key"]), batch.select(["key"])])
    same = engine.shuffle(itemgetter(0), held, held)
    parts = [made.column("key").to_pylist() for made in engine.fetch(same)]
    assert len(parts) == shuffling.PARTS
    assert sorted(number for part in parts for number in part) == sorted([*range(10, 100)] * 2)
    with pytest.raises(AttributeError, match="nbytes"):  # a length is no batch
        list(engine.fetch(engine.hold(methodcaller("slice", 0), engine.shuffle(len, same))))
    stage = Stage(item=Item(kind="cleaner", name="dedupe"), index=1)
    of_step = OwnWork(tmp_path, registry.load(), stage, methodcaller("missing"))
    with pytest.raises(PluginError, match=r"cleaning step 'dedupe' of .* failed: AttributeError"):
        list(engine.fetch(engine.shuffle(of_step, held)))


def test_a_cluster_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(tmp_path, 10)
    (tmp_path / "spec.yaml").write_text(SPEC.replace("ENGINE", "{ray: {address: 'nobody-here:1'}}"))
    assert guard.run(["run", str(tmp_path / "spec.yaml"), "-q"]) == 1
    said = capsys.readouterr().err
    assert "engine 'ray' cannot join a cluster at 'nobody-here:1'" in said and "Traceback" not in said


LATE = Exception(
    "The current node timed out during startup. This could happen because some of the raylet failed.\nMore."
)


@pytest.mark.parametrize(("late", "starts"), [(1, 2), (9, engines.STARTS)])
def test_a_cluster_of_its_own_that_is_late_is_started_again(
    monkeypatch: pytest.MonkeyPatch, late: int, starts: int
) -> None:
    tried = []

    def init(**options: Any) -> None:
        tried.append(options["address"])
        if len(tried) <= late:
            raise LATE

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    if late < starts:
        assert engines._connect("", 0) == 2.0
    else:
        with pytest.raises(FtspecError, match="cannot start a cluster of this machine: The current node") as raised:
            engines._connect("", 0)
        assert "when the machine is less busy" in raised.value.hint and "More" not in raised.value.message
    assert tried == ["local"] * starts


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


def test_a_file_that_is_not_on_a_workers_machine_is_told_so() -> None:
    def broken(item: Any) -> Any:
        try:
            Path("/nowhere/steps.py").read_text()
        except OSError as error:
            raise FtspecError("cannot be read") from error

    with pytest.raises(FtspecError, match=r"there is no '/nowhere/steps.py' on \S+") as raised:
        work.unpacked(work._packed(broken, 1))
    assert "on every machine of the cluster" in raised.value.hint
