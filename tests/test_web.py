"""Sources at web addresses: TLS, redirects, refusals, connections that break off, proxies; and what is told of them."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from servers import buckets
from servers.buckets import Certificates
from servers.web import Web, serving

from ftspec import api
from ftspec.cli import guard
from ftspec.common.causes import PROXIES, cause
from ftspec.files import fetching

ROWS = 40_000
LINES = b"".join(b'{"a": "%d %s"}\n' % (n, b"x" * 60) for n in range(ROWS))
SPEC = """\
version: 1
name: elsewhere
sources:
  - jsonl: {path: "URL"}
format: {chat: {user: "{{ a }}", assistant: "yes"}}
provider: {simulated: {seconds_per_step: 0}}
model: some-model
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return buckets.certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Certificates) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SSL_CERT_FILE", files.authority)
    monkeypatch.setattr(fetching, "RETRIES", {"max_retries": 0})
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with serving(folder(tmp_path)) as web:
        yield web


def folder(tmp_path: Path) -> Path:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/a.jsonl").write_bytes(LINES)
    return tmp_path / "web"


def local(url: str) -> bytes:
    (found,) = api.input_files(url)
    return Path(found.local()).read_bytes()


def kept(tmp_path: Path) -> list[Path]:
    return [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]


def told(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], command: str = "plan") -> str:
    """What `ftspec plan` says of a spec whose source is at this address, which cannot be used."""
    (tmp_path / "spec.yaml").write_text(SPEC.replace("URL", url))
    assert guard.run([command, str(tmp_path / "spec.yaml"), "-q"]) == 1
    said = capsys.readouterr()
    assert "s3cr3t" not in said.err + said.out
    assert "Traceback" not in said.err and "report it" not in said.err
    return said.err


def test_https_with_an_authority_of_ones_own(tmp_path: Path, files: Certificates) -> None:
    with serving(folder(tmp_path), files.context()) as web:
        assert local(f"{web.url}/a.jsonl") == LINES


@pytest.mark.parametrize("wrong", ["authority", "name", "none"])
def test_a_certificate_that_cannot_be_trusted_is_told_at_its_place(
    wrong: str, tmp_path: Path, files: Certificates, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if wrong == "authority":
        monkeypatch.setenv("SSL_CERT_FILE", buckets.certificates(tmp_path / "other").authority)
    if wrong == "name":
        files = buckets.certificates(tmp_path / "other", "other.example")
        monkeypatch.setenv("SSL_CERT_FILE", files.authority)
    with serving(folder(tmp_path), None if wrong == "none" else files.context()) as web:
        said = told(tmp_path, f"{web.url.replace('http:', 'https:')}/a.jsonl?sig=s3cr3t", capsys)
    assert "spec.yaml:4:19: cannot reach 'https://127.0.0.1" in said
    assert {
        "authority": "nobody whom this machine trusts issued its certificate; put the certificate of who issued it",
        "name": "its certificate is for another name",
        "none": "it does not speak TLS there",
    }[wrong] in said


def test_a_redirect_is_followed(web: Web) -> None:
    web.moved["/old.jsonl"] = f"{web.url}/a.jsonl?sig=s3cr3t"
    (found,) = api.input_files(f"{web.url}/old.jsonl")
    assert (found.name, Path(found.local()).read_bytes()) == (f"{web.url}/old.jsonl", LINES)


def test_a_secret_in_an_address_is_filled_in_and_not_kept(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.replace("URL", f"{web.url}/a.jsonl?sig=${{secret:SIGNATURE}}"))
    assert guard.run(["plan", str(spec), "-q"]) == 1
    assert "spec.yaml:4:19: secret not set: SIGNATURE" in capsys.readouterr().err
    monkeypatch.setenv("SIGNATURE", "s3cr3t-s3cr3t")
    assert guard.run(["run", str(spec), "-q"]) == 0, capsys.readouterr().err
    assert {path for _, path in web.asked} == {"/a.jsonl?sig=s3cr3t-s3cr3t"}
    said = capsys.readouterr()
    assert "s3cr3t" not in said.out + said.err
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"s3cr3t" in file.read_bytes()]


def test_user_and_password_are_sent_but_to_no_other_server(web: Web) -> None:
    login = base64.b64encode("mé:p@ss/w#rd:%41".encode()).decode()
    url = web.url.replace("//", f"//{quote('mé')}:{quote('p@ss/w#rd:%41', safe=':')}@")
    (found,) = api.input_files(f"{url}/a.jsonl")
    assert (found.name, Path(found.local()).read_bytes()) == (f"{web.url}/a.jsonl", LINES)
    assert web.logins == [f"Basic {login}"] * 2
    web.moved["/old.jsonl"] = f"{web.url.replace('127.0.0.1', 'localhost')}/a.jsonl"
    api.input_files(f"{url}/old.jsonl")
    assert web.logins[2:] == [f"Basic {login}", ""]


def test_redirects_without_an_end(web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    web.moved["/loop.jsonl"] = "/loop.jsonl"
    said = told(tmp_path, f"{web.url}/loop.jsonl?sig=s3cr3t", capsys)
    assert "spec.yaml:4:19: " in said and "it sends on and on to other addresses" in said


@pytest.mark.parametrize(
    ("status", "part"),
    [
        (401, "access was denied; a browser's login is not enough"),
        (403, "access was denied"),
        (404, "there is no"),
        (410, "the server says 410 Gone"),
        (429, "the server says 429 Too Many Requests"),
        (500, "the server says 500 Internal Server Error"),
        (503, "the server says 503 Service Unavailable"),
    ],
)
def test_a_refusal_is_told_at_its_place(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, part: str
) -> None:
    web.refuses["/a.jsonl"] = status
    url = web.url.replace("//", "//user:s3cr3t@")
    said = told(tmp_path, f"{url}/a.jsonl?sig=s3cr3t", capsys)
    assert "spec.yaml:4:19: " in said and part in said and f"{web.url}/a.jsonl'" in said


@pytest.mark.parametrize("status", [403, 404, 405, 501])
def test_an_address_that_answers_get_only_is_asked_so(web: Web, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As addresses are that were signed for GET, and small servers that know nothing else (501)."""
    monkeypatch.setattr(fetching, "RETRIES", {"max_retries": 0})
    web.refuses["HEAD"] = status
    (found,) = api.input_files(f"{web.url}/a.jsonl?sig=s3cr3t")
    assert (found.size, Path(found.local()).read_bytes()) == (len(LINES), LINES)


def test_a_connection_that_breaks_off_goes_on_where_it_was(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CHUNK", 1 << 16)
    web.parts, web.cut, web.cuts = True, len(LINES) // 8, 6
    assert local(f"{web.url}/a.jsonl") == LINES
    assert len(web.ranges) == 6 and web.ranges == sorted(set(web.ranges)), "each time some more of it came"


def test_a_connection_that_breaks_off_after_the_last_byte_has_brought_the_file(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "CHUNK", 1)
    web.parts, web.endless = True, True
    assert local(f"{web.url}/a.jsonl") == LINES
    assert web.ranges == []


def test_a_file_that_changes_while_it_breaks_off_is_not_patched_together(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "CHUNK", 1 << 16)
    (found,) = api.input_files(f"{web.url}/a.jsonl")
    web.parts, web.cut = True, len(LINES) // 2

    web.then = lambda: (web.folder / "a.jsonl").write_bytes(LINES.replace(b"x", b"y")) and None
    with pytest.raises(api.DataError) as caught:
        found.local()
    assert "changed while it was read" in caught.value.findings[0].message
    assert web.ranges and kept(tmp_path) == []


@pytest.mark.parametrize(("parts", "tags", "times"), [(False, True, True), (True, False, False)])
def test_where_it_cannot_go_on_that_is_told_and_nothing_is_kept(
    web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    parts: bool, tags: bool, times: bool,
) -> None:  # fmt: skip
    """The server knows no ranges, or does not say which content it is that it goes on with."""
    monkeypatch.setattr(fetching, "CHUNK", 1 << 16)
    web.parts, web.tags, web.times, web.cut = parts, tags, times, len(LINES) // 2
    said = told(tmp_path, f"{web.url}/a.jsonl?sig=s3cr3t", capsys)
    assert "spec.yaml:4:" in said and "the connection broke off" in said
    assert kept(tmp_path) == []


def test_a_transfer_may_take_its_time_and_a_silence_may_not(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default obstore ends every request after 30 seconds, whatever comes."""
    assert fetching.CLIENT == {"timeout": "7 days", "read_timeout": "60 seconds"}
    monkeypatch.setattr(fetching, "CLIENT", {**fetching.CLIENT, "read_timeout": "300 ms"})
    with serving_silence() as url, pytest.raises(api.FtspecError, match="no answer in time"):
        api.input_files(url)


@contextlib.contextmanager
def serving_silence() -> Iterator[str]:
    """A server that takes a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/a.jsonl"


@pytest.fixture
def proxy() -> Iterator[str]:
    """The address of proxy.py, which others wrote, with the password that it wants."""
    import proxy as server

    options = ["--hostname", "127.0.0.1", "--port", "0", "--num-workers", "1", "--num-acceptors", "1"]
    with server.Proxy([*options, "--basic-auth", "user:s3cr3t", "--log-level", "ERROR"]) as running:
        yield f"http://user:s3cr3t@127.0.0.1:{running.flags.port}"


def test_https_goes_through_the_proxy_which_may_say_no(
    tmp_path: Path, files: Certificates, proxy: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(folder(tmp_path), files.context()) as web:
        url = f"{web.url}/a.jsonl"
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        assert local(url) == LINES
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("user", "other"))
        said = told(tmp_path, url, capsys)
        assert "spec.yaml:4:19: " in said and "the proxy wants a user and a password" in said
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        said = told(tmp_path, "https://127.0.0.1:9/a.jsonl", capsys)
        assert "the proxy does not let it through; check HTTPS_PROXY" in said
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("user", "other"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert api.input_files(url)


def test_no_proxy_there(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:s3cr3t@127.0.0.1:9")
    said = told(tmp_path, "https://files.example/a.jsonl", capsys)
    assert "spec.yaml:4:19: " in said and "connection refused" in said


def test_what_nobody_knows_is_told_without_addresses() -> None:
    said = cause(ValueError("odd thing at https://user:s3cr3t@host/x?sig=s3cr3t\nDebug source: s3cr3t"))
    assert said.reason == "odd thing at …"
    url = "https://host/a b?sig=s3cr3t"
    assert cause(ValueError(f"odd thing at {url} today"), url).reason == "odd thing at … today"


def test_a_proxy_is_named_where_nothing_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    refused = ValueError("kind: ConnectionRefused")
    assert cause(refused).hint == "check the address and the network"
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert cause(refused).hint == "check the address and the network, and the proxy that HTTPS_PROXY names"
    assert "one for SOCKS" in cause(ValueError('error: "unsupported scheme socks5"')).reason


def test_rows_are_those_of_the_file(web: Web, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also with the file fetched in several pieces."""
    web.parts, web.cut, web.cuts = True, len(LINES) // 3, 2
    found = []
    for name, path in (("far", f"{web.url}/a.jsonl"), ("near", str(web.folder / "a.jsonl"))):
        spec = tmp_path / name / "spec.yaml"
        spec.parent.mkdir()
        spec.write_text(SPEC.replace("URL", path))
        assert guard.run(["data", "export", str(spec), "--to", "simulated", "-o", str(spec.parent / "out"), "-q"]) == 0
        found.append([file.read_bytes() for file in sorted((spec.parent / "out").rglob("*.jsonl"))])
    capsys.readouterr()
    assert found[0] == found[1] and found[0][0].count(b"\n") == ROWS
