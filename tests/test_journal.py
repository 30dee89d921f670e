from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ftspec.common.errors import FtspecError, StoreError
from ftspec.common.messages import Answer
from ftspec.common.records import Input, Plan
from ftspec.state import history
from ftspec.state.journal import Journal, Segments
from ftspec.state.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "state")


def test_segments_of_one_instant_are_all_kept_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    segments = Segments(Store.open(tmp_path), "answers")
    for number in range(12):
        segments.append_lines(b"%d\n" % number)
    assert list(Segments(Store.open(tmp_path), "answers").read(int)) == list(range(12))


def test_events_are_numbered_and_come_back(store: Store) -> None:
    journal = Journal(store, "run")
    first = journal.append("started", spec="a.yaml")
    second = journal.append("done", steps=["data"])
    assert (first.number, second.number) == (1, 2)
    assert Journal(store, "run").events() == [first, second]
    assert Journal(store, "other").events() == []


def test_a_new_process_goes_on_counting(store: Store) -> None:
    Journal(store, "run").append("started")
    assert Journal(store, "run").append("again").number == 2


def test_several_writers_lose_nothing(store: Store) -> None:
    journals = [Journal(Store.open(store.url), "run") for _ in range(4)]

    def write(pair: tuple[int, Journal]) -> None:
        for count in range(10):
            pair[1].append("step", by=pair[0], count=count)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, enumerate(journals)))
    events = Journal(store, "run").events()
    assert [event.number for event in events] == list(range(1, 41))
    for writer in range(4):
        assert [event.data["count"] for event in events if event.data["by"] == writer] == list(range(10))


def test_a_write_whose_answer_was_lost_is_one_event(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_new = store.put_new
    monkeypatch.setattr(store, "put_new", lambda key, data: put_new(key, data) and False)
    assert Journal(store, "run").append("started").number == 1
    assert len(Journal(store, "run").events()) == 1


def test_a_damaged_event_is_named(store: Store) -> None:
    Journal(store, "run").append("started")
    store.put("runs/run/events/00000001", b'{"number": 1, "at"')
    with pytest.raises(StoreError, match="runs/run/events/00000001 is damaged") as caught:
        Journal(store, "run").events()
    assert caught.value.hint


def test_segments_batch_records(store: Store) -> None:
    segments = Segments(store, "answers/base")
    segments.append([Answer(prompt=str(n), repeat=0, text="line\nbreak") for n in range(3)])
    segments.append([])
    Segments(store, "answers/base").append([Answer(prompt="3", repeat=1)])
    assert [answer.prompt for answer in segments.read(Answer)] == ["0", "1", "2", "3"]
    assert len(store.list("segments/answers/base")) == 2
    assert list(Segments(store, "answers/tuned").read(Answer)) == []


def test_a_damaged_segment_is_named(store: Store) -> None:
    store.put("segments/x/1", b'{"prompt": 7}\n')
    with pytest.raises(StoreError, match="segments/x/1 is damaged"):
        list(Segments(store, "x").read(Answer))


def test_a_killed_writer_leaves_whole_segments(store: Store) -> None:
    code = (
        "import sys\nfrom ftspec.state.journal import Segments\nfrom ftspec.common.messages import Answer\n"
        "from ftspec.state.store import Store\n"
        "segments = Segments(Store.open(sys.argv[1]), 'x')\nprint('go', flush=True)\n"
        "while True: segments.append([Answer(prompt=str(n), repeat=0, text='x' * 500) for n in range(200)])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, store.url], stdout=subprocess.PIPE)
    assert child.stdout and child.stdout.readline() == b"go\n"
    while not store.list("segments/x"):
        time.sleep(0.01)
    time.sleep(0.1)
    child.kill()
    child.communicate()
    answers = list(Segments(store, "x").read(Answer))
    assert answers
    assert len(answers) == 200 * len(store.list("segments/x"))


# ---- what runs there are, read back


def begin(store: Store, run: str, text: str = "", *, spec: str = "spec.yaml", inputs: tuple[Input, ...] = ()) -> None:
    name = re.sub("(-eval)?-[^-]*$", "", run)
    plan = Plan(name=name, spec=spec, run=run, digest="", steps=(), inputs=inputs)
    Journal(store, run).append("started", plan=msgspec.to_builtins(plan), text=text)
    assert store.root
    at = 4_000_000_000 + sum(1 for _ in (store.root / "runs").iterdir())  # by the clock, two may be of one instant
    os.utime(store.root / "runs" / run / "events" / "00000001", (at, at))


@pytest.mark.parametrize(
    ("events", "state", "phase", "ended", "report"),
    [
        ([], "running", "data", False, ""),
        ([("planned", {})], "running", "evaluation", False, ""),
        ([("tuning", {}), ("job_submitted", {})], "running", "tuning", False, ""),
        ([("tuning", {}), ("detached", {})], "detached", "tuning", True, ""),
        ([("tuning", {}), ("failed", {"report": "r"})], "failed", "tuning", True, "r"),
        ([("failed", {"report": "r"}), ("started", {})], "running", "data", False, "r"),
        ([("judged", {}), ("finished", {"report": "r"}), ("finished", {})], "done", "", True, "r"),
        ([("tuned", {}), ("finished", {"state": "gate_failed"})], "gate_failed", "", True, ""),
    ],
)
def test_what_events_say_of_a_run(
    events: list[tuple[str, dict[str, Any]]], state: str, phase: str, ended: bool, report: str, store: Store
) -> None:
    begin(store, "kept-1")
    for kind, data in events:
        Journal(store, "kept-1").append(kind, **data)
    journal = Journal(store, "kept-1").events()
    found = history.info("kept-1", journal)
    assert (found.id, found.name, found.spec, found.started) == ("kept-1", "kept", "spec.yaml", journal[0].at)
    assert (found.state, found.phase, found.report) == (state, phase, report)
    assert found.finished == (journal[-1].at if ended else None)


def test_the_plan_that_counts_is_the_last_one(store: Store) -> None:
    begin(store, "kept-9")
    plan = history.plan_of("kept-9", Journal(store, "kept-9").events())
    more = msgspec.structs.replace(plan, digest="known")
    Journal(store, "kept-9").append("data_made", plan=msgspec.to_builtins(more))
    assert history.plan_of("kept-9", Journal(store, "kept-9").events()) == more
    begin(store, "kept-1")
    begin(store, "kept-more-1")
    assert [history.previous_plan(store, name).run for name in ("kept", "kept-more")] == ["kept-1", "kept-more-1"]
    (store.root / "runs/kept-1/events/00000001").write_text("{")
    assert history.previous_plan(store, "kept") == more
    assert history.previous_plan(store, "none") is None


@pytest.mark.parametrize(
    ("target", "trains", "found"),
    [
        (None, False, "kept-eval-1"),
        (None, True, "kept-ab12"),
        ("kept-ab", False, "'kept-ab' could be any of kept-ab1, kept-ab12"),
        ("kept-ab1", False, "kept-ab1"),
        ("kept", True, "'kept' could be any of kept-ab1, kept-ab12, kept-eval-1"),
        ("oth", False, "other-1"),
        ("gone-1", False, "run gone-1 was removed"),
        ("gone", False, "no run starts with 'gone'"),
        ("none.yaml", False, "there is no file none.yaml"),
        ("none.yml", False, "there is no file none.yml"),
    ],
)
def test_the_run_that_is_meant(
    target: str | None, trains: bool, found: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.root
    monkeypatch.chdir(store.root.parent)
    with pytest.raises(FtspecError, match="there is no run yet"):
        history.locate(None, store.url)
    for run in ("other-1", "kept-ab1", "kept-ab12", "kept-eval-1"):
        begin(store, run)
    store.put("removed/gone-1", b"{}")
    if " " in found:
        with pytest.raises(FtspecError) as told:
            history.locate(target, store.url, trains=trains)
        assert told.value.message == found
    else:
        assert history.locate(target, store.url, trains=trains).run == found


SPEC = "version: 1\nname: kept # as ever\n"


def test_a_spec_means_the_run_of_it_as_it_is(store: Store) -> None:
    """Its lines and the sizes of its files, of those that are here; the last one of it where there is none."""
    assert store.root
    file, url = store.root.parent / "spec.yaml", store.url
    file.write_bytes(b"\xef\xbb\xbf" + SPEC.replace("\n", "\r\n").encode())
    with pytest.raises(FtspecError, match="has not been run yet"):
        history.locate(str(file), url)
    (file.parent / "rows.jsonl").write_text("12345")
    away = Input(path="s3://bucket/rows", sha256="", bytes=7)
    here = Input(path="rows.jsonl", sha256="", bytes=5)
    begin(store, "kept-1", SPEC, inputs=(here, away))
    begin(store, "kept-2", f"{SPEC}# changed\n", inputs=(here,))
    begin(store, "kept-3", SPEC, inputs=(msgspec.structs.replace(here, bytes=6),))
    begin(store, "kept-eval-1", SPEC)
    begin(store, "kept-4", f"{SPEC}# another's\n", spec="elsewhere/other.yaml")
    begin(store, "kept-alive-1", SPEC.replace("kept", "kept-alive"))
    assert history.locate(str(file), url)[1:] == ("kept-eval-1", "")
    assert history.locate(str(file), url, trains=True)[1:] == ("kept-1", "")

    (file.parent / "rows.jsonl").write_text("1234567")
    found = history.locate(str(file), url, trains=True)
    assert found.run == "kept-3"
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(Journal(store, "kept-3").events()[0].at))
    assert found.note.startswith(f"no run was begun with {file} and its files as they are now: kept-3 was begun with")
    assert found.note.endswith(f"another state of them ({began}, on {socket.gethostname()})")

    file.write_text(SPEC.replace("kept", "renamed"))
    with pytest.raises(FtspecError, match="has not been run yet"):  # others have a spec.yaml, too
        history.locate(str(file), url)


def test_beside_a_spec_are_its_own_runs_whatever_it_was_called(tmp_path: Path) -> None:
    store, file = Store.open(tmp_path / ".ftspec"), tmp_path / "spec.yaml"
    begin(store, "kept-1", SPEC)
    begin(store, "kept-eval-1", SPEC)
    begin(store, "other-1", "name: other\n", spec="other.yaml")
    file.write_text(SPEC.replace("kept", "renamed"))
    assert history.locate(str(file), None).run == "kept-eval-1"
    assert history.locate(str(file), None, trains=True).run == "kept-1"
    assert "was begun with another state" in history.locate(str(file), None).note
    file.write_text(SPEC)
    only = Store.open(tmp_path / "only")
    begin(only, "kept-eval-1", SPEC, spec="elsewhere/other.yaml")
    for target in (str(file), None):
        assert history.locate(target, only.url, trains=True)[1:] == ("kept-eval-1", "")


def test_runs_of_all_folders_are_listed_the_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here, below = (Store.open(folder) for folder in (tmp_path / ".ftspec", tmp_path / "one" / ".ftspec"))
    begin(here, "a-1")
    begin(below, "b-1")
    begin(here, "a-2")
    begin(here, "broken-run-1")
    Journal(here, "a-2").append("finished")
    (tmp_path / ".ftspec/runs/broken-run-1/events/00000001").write_text("{")
    here.put("runs/shown-1/report/report.md", b"")
    found = [(run.id, run.name, run.state) for run in history.all_runs(None)]
    assert found == [
        ("a-2", "a", "done"),
        ("b-1", "b", "interrupted"),
        ("a-1", "a", "interrupted"),
        ("broken-run-1", "broken-run", "damaged"),
    ]
    assert [run.id for run in history.all_runs(str(tmp_path / "one" / ".ftspec"))] == ["b-1"]
