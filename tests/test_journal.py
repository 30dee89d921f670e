from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ftspec.common.errors import StoreError
from ftspec.common.messages import Answer
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
