"""Sources and state in object stores that others wrote, over TLS with a certificate of the tests' own authority."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from servers import buckets
from servers.buckets import Bucket, Certificates

from ftspec import api
from ftspec.builtin import sources
from ftspec.cli import guard
from ftspec.common.errors import StoreError
from ftspec.files import fetching
from ftspec.state.store import Store

LINES = b'{"a": 1}\n{"a": 2}\n'
KEYS = ("in/b.jsonl", "in/a.jsonl", "in/deep/c.jsonl.gz", "in/other.txt", "top.jsonl")
SECRETS = (buckets.KEY, "s3cr3t", "private_key")
STORES = {"s3": buckets.moto_s3, "gs": buckets.fake_gcs, "az": buckets.azurite}
"""By scheme. The bucket of S3 keeps versions, so that names of content differ between a listing and an object."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return buckets.certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=STORES)
def _running(request: pytest.FixtureRequest, files: Certificates) -> Iterator[tuple[str, Bucket]]:
    if request.param == "az" and (reason := buckets.missing_azurite()):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with STORES[request.param](files) as bucket:
        for key in KEYS:
            bucket.put(key, gzip.compress(LINES) if key.endswith("gz") else LINES)
        yield request.param, bucket


@pytest.fixture
def scheme(
    _running: tuple[str, Bucket], files: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    scheme, bucket = _running
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)
    for name, value in {**bucket.environment, "SSL_CERT_FILE": files.authority}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield scheme


def read(path: str) -> list[tuple[str, int, Any]]:
    found: list[tuple[str, int, Any]] = []
    for got in sources.jsonl.build({"path": path}).read():
        assert isinstance(got, api.Chunk), got
        found += [(got.origin, *row) for row in zip(got.lines, got.batch.column("a").to_pylist(), strict=True)]
    return found


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("in/a.jsonl", ["in/a.jsonl"]),
        ("in/*.jsonl", ["in/a.jsonl", "in/b.jsonl"]),
        ("**/*.jsonl*", ["in/a.jsonl", "in/b.jsonl", "in/deep/c.jsonl.gz", "top.jsonl"]),
        ("in/[!a].jsonl", ["in/b.jsonl"]),
        ("in", ["in/a.jsonl", "in/b.jsonl", "in/deep/c.jsonl.gz"]),
        ("in/", ["in/a.jsonl", "in/b.jsonl", "in/deep/c.jsonl.gz"]),
        ("", ["in/a.jsonl", "in/b.jsonl", "in/deep/c.jsonl.gz", "top.jsonl"]),
    ],
)
def test_objects_folders_and_globs(scheme: str, path: str, keys: list[str]) -> None:
    expected = [(f"{scheme}://data/{key}", line, line) for key in keys for line in (1, 2)]
    assert read(f"{scheme}://data/{path}") == expected


@pytest.mark.parametrize("other", ["azure", "abfs", "abfss"])
def test_azures_other_names_are_the_same_container(scheme: str, other: str) -> None:
    if scheme != "az":
        pytest.skip("these are Azure's")
    assert [row for *_, row in read(f"{other}://data/in/*.jsonl")] == [1, 2, 1, 2]


def test_an_object_has_one_mark_however_it_is_found_and_another_when_it_changes(
    scheme: str, _running: tuple[str, Bucket]
) -> None:
    put, url = _running[1].put, f"{scheme}://data/mark/x.txt"
    put("mark/x.txt", LINES)
    (named,), (listed,) = api.input_files(url), api.input_files(f"{scheme}://data/mark/*.txt")
    assert named == listed
    put("mark/x.txt", b'{"a": 3}\n')
    (after,) = api.input_files(url)
    assert after.mark != named.mark
    with pytest.raises(api.DataError) as caught:
        named.local()
    assert "changed while it was read" in caught.value.findings[0].message
    assert [row for *_, row in read(url)] == [3]


SPEC = """\
version: 1
name: elsewhere
sources:
  - jsonl: {path: "SCHEME://data/in/*.jsonl"}
  - jsonl: {path: "SCHEME://MORE"}
format: {chat: {user: "{{ a }}", assistant: "yes"}}
provider: simulated
model: some-model
"""


def spec_of(folder: Path, scheme: str, more: str) -> Path:
    (folder / "spec.yaml").write_text(SPEC.replace("SCHEME", scheme).replace("MORE", more))
    return folder / "spec.yaml"


def test_a_spec_is_planned_and_run(scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = spec_of(tmp_path, scheme, "data/in/deep/")
    assert guard.run(["plan", str(spec), "-q"]) == 0, capsys.readouterr().err
    assert "6 training rows" in capsys.readouterr().out
    assert guard.run(["run", str(spec), "-q"]) == 0, capsys.readouterr().err


def test_what_is_not_there_is_told_at_its_place(
    scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ("data/none.jsonl", "data/none*.jsonl", "no-such-bucket-at-all/x.jsonl"):
        assert guard.run(["plan", str(spec_of(tmp_path, scheme, more)), "-q"]) == 1
        said = capsys.readouterr().err
        assert "spec.yaml:5:19: " in said and f"{scheme}://{more}" in said
        assert not [secret for secret in SECRETS if secret in said]


def test_an_authority_that_nobody_trusts_is_told_at_its_place(
    scheme: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = buckets.certificates(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", other.authority)
    monkeypatch.setattr(fetching, "RETRIES", {"max_retries": 0})
    assert guard.run(["plan", str(spec_of(tmp_path, scheme, "data/top.jsonl")), "-q"]) == 1
    said = capsys.readouterr().err
    assert "spec.yaml:4:19: " in said and "spec.yaml:5:19: " in said, "both at once"
    assert "nobody whom this machine trusts issued its certificate" in said and "SSL_CERT_FILE" in said
    assert not [secret for secret in SECRETS if secret in said]


WRONG = {
    "az": {"AZURE_STORAGE_ACCOUNT_KEY": "czNjcjN0LXMzY3IzdC1zM2NyM3Q="},
    "s3": {"AWS_ACCESS_KEY_ID": "AKIAczNjcjN0czNjcjN0", "AWS_SECRET_ACCESS_KEY": "czNjcjN0/czNjcjN0"},
}


@pytest.mark.parametrize("more", ["data/top.jsonl", "data/none*.jsonl"], ids=["an object", "a listing"])
def test_a_wrong_key_is_told_and_not_shown(
    scheme: str, more: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if scheme not in WRONG:
        pytest.skip("fake-gcs-server accepts every key")
    if scheme == "s3":
        from moto import settings

        monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    for name, value in WRONG[scheme].items():
        monkeypatch.setenv(name, value)
    assert guard.run(["plan", str(spec_of(tmp_path, scheme, more)), "-q"]) == 1
    said = capsys.readouterr().err
    assert "spec.yaml:5:19: " in said and "access was denied" in said and "AZURE_*" in said
    assert "czNjcjN0" not in said
    with pytest.raises(StoreError, match=r"access was denied \((InvalidAccessKeyId|AuthorizationFailure)\)$") as caught:
        Store.open(f"{scheme}://data/state").list("jobs")
    assert "AZURE_*" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_SESSION_TOKEN", "s3cr3t-s3cr3t\n", "there is a blank or a new line in AWS_SESSION_TOKEN"),
        ("AWS_SESSION_TOKEN", "s3cr3t\ns3cr3t", "there is a blank or a new line in AWS_SESSION_TOKEN"),
        ("AWS_ENDPOINT_URL", "me:s3cr3t-s3cr3t@host:9", "see to the credentials in the environment"),
    ],
)
def test_what_no_request_can_be_made_with_is_no_bug(
    name: str,
    value: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client panics at it."""
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    monkeypatch.setenv(name, value)
    assert guard.run(["plan", str(spec_of(tmp_path, "s3", "data/top.jsonl")), "-q"]) == 1
    told = capsys.readouterr().err
    assert "spec.yaml:5:19: cannot reach 's3://data/top.jsonl': no request can be made with what" in told
    assert said in told and "s3cr3t" not in told
    with pytest.raises(StoreError, match="no request can be made with what the environment says"):
        Store.open("s3://data/state").get("a")


def test_state_lives_there_too(scheme: str, tmp_path: Path) -> None:
    """What two machines that share a bucket rest on: an object is put only if there is none, and read back whole."""
    store = Store.open(f"{scheme}://data/state/{os.getpid()}")
    assert store.put_new("jobs/a/1.claim", b"mine")
    assert not store.put_new("jobs/a/1.claim", b"theirs")
    assert store.get("jobs/a/1.claim") == b"mine"
    store.put("jobs/a/1.claim", b"again")
    assert store.get("jobs/a/1.claim") == b"again"
    assert [stored.key for stored in store.list("jobs")] == ["jobs/a/1.claim"]
    store.delete("jobs/a/1.claim")
    assert store.get("jobs/a/1.claim") is None
    large = tmp_path / "large"
    large.write_bytes(os.urandom(12_000_000))  # in parts
    assert store.local(store.put_file(large)).read_bytes() == large.read_bytes()
    with pytest.raises(StoreError, match="no-such-bucket-at-all"):
        Store.open(f"{scheme}://no-such-bucket-at-all/x").put("a", b"")


def test_of_many_who_put_at_once_one_does(scheme: str) -> None:
    stores = [Store.open(f"{scheme}://data/race/{os.getpid()}") for _ in range(8)]
    for number in range(5):
        key = f"jobs/{number}.claim"
        with ThreadPoolExecutor(len(stores)) as pool:
            won = list(pool.map(lambda n, key=key: stores[n].put_new(key, b"%d" % n), range(len(stores))))
        assert won.count(True) == 1 and stores[0].get(key) == b"%d" % won.index(True)
