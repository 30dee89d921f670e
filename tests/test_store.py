from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from ftspec.common.errors import StoreError
from ftspec.state.store import STALE, Store
from ftspec.state.workspace import Workspace


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Store.open(tmp_path / "state" if request.param == "folder" else "memory:///")


def test_put_new_puts_once(store: Store) -> None:
    assert store.put_new("jobs/a/1.claim", b"first")
    assert not store.put_new("jobs/a/1.claim", b"second")
    assert store.get("jobs/a/1.claim") == b"first"


def test_put_replaces_and_delete_forgives(store: Store) -> None:
    store.put("steps/x", b"1")
    store.put("steps/x", b"2")
    assert store.get("steps/x") == b"2"
    store.delete("steps/x")
    store.delete("steps/x")
    assert store.get("steps/x") is None
    assert store.head("steps/x") is None


def test_list_is_sorted_and_by_whole_segments(store: Store) -> None:
    for key in ("runs/a/2", "runs/a/1", "runs/ab/1"):
        store.put(key, b"abc")
    assert [(s.key, s.bytes) for s in store.list("runs/a")] == [("runs/a/1", 3), ("runs/a/2", 3)]


def test_blobs_are_kept_by_content(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"x" * 3_000_000)
    sha256 = store.put_file(file)
    assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    before = store.head(f"blobs/{sha256}")
    assert store.put_file(file) == sha256
    assert store.head(f"blobs/{sha256}") == before
    assert store.local(sha256).read_bytes() == file.read_bytes()
    named = store.local(sha256, "rows.jsonl")
    assert named.name == "rows.jsonl"
    assert named.read_bytes() == file.read_bytes()


def test_a_file_of_ours_is_taken_without_a_copy(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"y" * 3_000_000)
    sha256 = store.take_file(file)
    assert (
        sha256
        == hashlib.sha256(file.read_bytes()).hexdigest()
        == store.take_file(file)
        == store.take_file(file, sha256)
    )
    assert store.root is None or store.local(sha256).samefile(file)
    file.unlink()
    assert store.local(sha256).read_bytes() == b"y" * 3_000_000
    assert store.put_file(store.local(sha256)) == sha256


def test_a_blob_of_a_bucket_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store, file = Store.open("memory:///"), tmp_path / "rows"
    file.write_bytes(b"z")
    sha256 = store.put_file(file)
    fetched = store.local(sha256)
    store.delete(f"blobs/{sha256}")
    assert store.local(sha256) == fetched
    assert fetched.read_bytes() == b"z"


def test_a_file_that_can_have_no_second_name_is_copied(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows").write_bytes(b"z")

    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    assert store.local(store.take_file(tmp_path / "rows")).read_bytes() == b"z"


def test_an_empty_file_is_content_too(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert store.local(store.put_file(tmp_path / "empty")).read_bytes() == b""


def test_a_lost_blob_says_what_to_do(store: Store) -> None:
    with pytest.raises(StoreError, match="lost") as caught:
        store.local("0" * 64)
    assert caught.value.hint


def test_a_blob_that_was_truncated_is_written_again(tmp_path: Path) -> None:
    store, file = Store.open(tmp_path / "state"), tmp_path / "rows"
    file.write_bytes(b"0123456789")
    path = store.local(store.put_file(file))
    for again in (store.put_file, store.take_file):
        path.write_bytes(b"01")
        assert store.local(again(file)).read_bytes() == b"0123456789"


def test_a_file_that_changes_while_it_is_stored_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, file = Store.open(tmp_path / "state"), tmp_path / "rows"
    file.write_bytes(b"before")
    monkeypatch.setattr("ftspec.files.ondisk.sha256_of", lambda path: "0" * 64)
    with pytest.raises(StoreError, match="changed while"):
        store.put_file(file)
    assert store.list("blobs") == []


def test_a_damaged_copy_from_a_bucket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = Store.open("memory:///")
    store.put(f"blobs/{'0' * 64}", b"not what was hashed")
    with pytest.raises(StoreError, match="damaged"):
        store.local("0" * 64)
    assert not [path for path in store.machine.rglob("*") if path.is_file()]


def test_opening_and_reading_touch_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / ".ftspec")
    assert store.get("steps/x") is None
    assert store.list("runs") == []
    assert not (tmp_path / ".ftspec").exists()


@pytest.mark.parametrize("full", [False, True])
def test_git_never_sees_the_state(tmp_path: Path, full: bool) -> None:
    """Nor where a full disk has left an empty `.gitignore`."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    if full:
        (tmp_path / ".ftspec").mkdir()
        (tmp_path / ".ftspec/.gitignore").touch()
    Store.open(tmp_path / ".ftspec").put("steps/x", b"secret-ish")
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, check=True, capture_output=True)
    assert status.stdout == b""


def test_nothing_is_left_in_the_staging_area(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.put("a", b"1")
    store.put_new("a", b"2")
    store.now()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_litter_of_dead_processes_is_swept(tmp_path: Path) -> None:
    Store.open(tmp_path).put("a", b"1")
    old, young = tmp_path / "tmp/old", tmp_path / "tmp/young"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - STALE - 60,) * 2)
    Store.open(tmp_path).put("a", b"2")
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["young"]


def test_the_stores_clock_dates_its_objects(store: Store) -> None:
    store.put("a", b"")
    stored = store.head("a")
    assert stored is not None
    assert 0 <= store.now() - stored.modified < 5


def test_a_store_without_put_if_absent_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(tmp_path)
    publish = store._publish
    monkeypatch.setattr(store, "_publish", lambda key, data, overwrite: publish(key, data, overwrite=True))
    for _ in range(2):
        with pytest.raises(StoreError, match="twice") as caught:
            store.put("a", b"1")
        assert "conditional" in caught.value.hint


@pytest.mark.parametrize("way", [Store.put, Store.take_file])
def test_what_was_put_outlasts_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: Callable[..., object]
) -> None:
    """The content is on the disk before it has its name, and then the name, that of its folder, and so on upwards."""
    store, synced, fsync = Store.open(tmp_path / "state"), [], os.fsync

    def recorded(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, store.head(key) is not None))

    (tmp_path / "rows").write_bytes(b"rows")
    key = f"blobs/{hashlib.sha256(b'rows').hexdigest()}"
    monkeypatch.setattr(os, "fsync", recorded)
    store.put("other", b"")
    assert (tmp_path.stat().st_ino, False) in synced  # the store's own name
    synced.clear()
    if way is Store.put:
        store.put(key, b"rows")
    else:
        store.take_file(tmp_path / "rows")
    path = tmp_path / "state" / key
    content, *names = [each.stat().st_ino for each in (path, path.parent, path.parent.parent)]
    assert synced == [(content, False), *((name, True) for name in names)]


def test_errors_name_the_place_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="a file stands there") as caught:
        Store.open(tmp_path / "file")
    assert str(tmp_path / "file") in caught.value.message
    assert "\n" not in caught.value.message
    with pytest.raises(StoreError, match="nonsense"):
        Store.open("nonsense://x").put("a", b"1")


class Repeats(http.server.BaseHTTPRequestHandler):
    """Says no, and repeats all that was asked, as gateways do."""

    status, said = 400, "<Error><Code>ExpiredToken</Code><Message>{}</Message></Error>"

    def do_GET(self) -> None:
        body = self.said.format(str(self.headers).replace("\n", " ")).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def answering(handler: type[http.server.BaseHTTPRequestHandler], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that the environment names as S3's."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    settings = {"AWS_ACCESS_KEY_ID": "AKIAcanary", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT_URL": url}
    for name, value in {**settings, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "said", "told", "hint"),
    [
        (400, Repeats.said, "the server says 400 Bad Request (ExpiredToken)", "try again later"),
        (403, Repeats.said, "access was denied (ExpiredToken)", "see to the credentials"),
        (401, "<html>{}", "access was denied", "see to the credentials"),
        (404, "{}", "there is no such bucket or container", "check the address"),
        (200, "{}", "what answers there is no store", "check the address"),
    ],
)
def test_what_a_server_says_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, status: int, said: str, told: str, hint: str
) -> None:
    handler = type("Handler", (Repeats,), {"status": status, "said": said})
    with answering(handler, monkeypatch), pytest.raises(StoreError) as caught:
        Store.open("s3://bucket/a").list("runs")
    assert caught.value.message == f"state at s3://bucket/a: cannot list runs: {told}"
    assert hint in caught.value.hint


@pytest.mark.parametrize("call", [Store.get, Store.head, Store.list, Store.delete, Store.put_new])
def test_what_the_disk_refuses_is_told_with_the_place(tmp_path: Path, call: Callable[..., object]) -> None:
    store = Store.open(tmp_path)
    store.put("a", b"an object, and no folder")
    with pytest.raises(StoreError, match=rf"^state at {tmp_path}: cannot \w+ a/b: .*Not a directory"):
        call(store, "a/b", *[b""] * (call is Store.put_new))


def test_a_file_url_is_the_folder(tmp_path: Path) -> None:
    store = Store.open(f"file://{tmp_path}/state")
    store.put("a", b"1")
    assert (store.url, store.root) == (f"file://{tmp_path}/state", tmp_path / "state")
    assert Store.open(tmp_path / "state").get("a") == b"1"


class Trickles(Repeats):
    """Gives an object over 35 seconds, and never a part of one."""

    body = bytes(range(256)) * 140

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        for at in range(0, len(self.body), 1024):
            self.wfile.write(self.body[at : at + 1024])
            time.sleep(1)


@pytest.mark.slow
def test_a_large_object_may_take_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By itself the client ends a request after half a minute, and gives up after three."""
    with answering(Trickles, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        file = Store.open("s3://bucket/a").local(hashlib.sha256(Trickles.body).hexdigest())
        assert file.read_bytes() == Trickles.body


def test_one_of_many_writers_wins(tmp_path: Path) -> None:
    stores = [Store.open(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda pair: pair[1].put_new("claim", str(pair[0]).encode()), enumerate(stores)))
    assert won.count(True) == 1
    assert stores[0].get("claim") == str(won.index(True)).encode()


def test_an_object_is_whole_or_absent_when_its_writer_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom ftspec.state.store import Store\nstore = Store.open(sys.argv[1])\n"
        "for n in range(10**9): store.put(f'objects/{n % 50}', b'x' * 400_000); print('go', flush=True)\n"
    )
    for delay in (0.02, 0.05, 0.08):
        child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout and child.stdout.readline() == b"go\n"
        time.sleep(delay)
        child.kill()
        child.communicate()
    stored = Store.open(tmp_path).list("objects")
    assert stored
    assert {s.bytes for s in stored} == {400_000}


def test_a_hundred_small_reads_are_cheap(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    for number in range(100):
        store.put_new(f"steps/{number}", b"x" * 300)
    started = time.process_time()
    for number in range(100):
        store.get(f"steps/{number}")
    assert time.process_time() - started < 0.1


def test_obstore_is_imported_late() -> None:
    code = "import sys, ftspec.state.store, ftspec.state.journal; sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_a_bucket_behaves_like_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against moto's S3 over real HTTP; `pip install 'moto[s3,server]'` first."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    settings = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    for name, value in {**settings, "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    urlopen(Request(f"{url}/bucket", method="PUT"))
    try:
        store = Store.open("s3://bucket/team/a")
        test_put_new_puts_once(store)
        test_put_replaces_and_delete_forgives(store)
        test_list_is_sorted_and_by_whole_segments(store)
        test_blobs_are_kept_by_content(store, tmp_path)
        test_a_lost_blob_says_what_to_do(store)
        test_the_stores_clock_dates_its_objects(store)
        assert [stored.key for stored in Store.open("s3://bucket/team").list("a/runs/a")] == [
            "a/runs/a/1",
            "a/runs/a/2",
        ]
        with pytest.raises(StoreError, match="nobucket"):
            Store.open("s3://nobucket/a").put("a", b"")
    finally:
        server.stop()


def test_the_report_that_another_machine_wrote_last_is_shown_whatever_the_clock_here_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    here, key = Workspace("memory:///"), "runs/a/report/report.md"
    own = here.report_folder("a") / "report.md"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    ahead = time.time() + 3600
    os.utime(own, (ahead, ahead))
    here.share_report("a")
    assert here.store.get(key) == b"mine"

    with monkeypatch.context() as patch:
        patch.setattr(here.store, "get", lambda key: pytest.fail("what was written here is asked for"))
        assert here.report("a") == own.parent

    here.store.put(key, b"ours")  # of the same length
    assert (here.report("a") / "report.md").read_text() == "ours"


@pytest.mark.parametrize(
    ("where", "meant"),
    [("s3:/bucket/a", "s3://bucket/a"), ("gs:bucket", "gs://bucket"), ("file:/tmp/state", "file:///tmp/state")],
)
def test_an_address_that_lacks_a_slash_is_no_folder(where: str, meant: str) -> None:
    with pytest.raises(StoreError, match="neither the address of a bucket nor a folder's name") as raised:
        Store.open(where)
    assert raised.value.hint == f"write {meant}; a folder that is called so is ./{where}"


def test_a_folder_may_be_called_like_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store.open("./s3:/bucket").root == tmp_path / "s3:/bucket"
    assert Store.open(f"file://{tmp_path}").root == tmp_path
