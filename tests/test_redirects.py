"""A server that sends calls on to another one: no key, header or data go there, whatever the plugin's SDK would do."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ftspec import api, hosted

KEY = "sk-canary-Zq81LmPv0aTq93kX"
NAMES = (
    *("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_MANAGEMENT_TOKEN", "TOGETHER_API_KEY", "FIREWORKS_API_KEY"),
    "GOOGLE_TOKEN",
)


class Elsewhere(BaseHTTPRequestHandler):
    """Writes down what comes, and answers anything."""

    protocol_version = "HTTP/1.1"
    came: list[tuple[str, dict[str, str], bytes]]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.came.append((self.command, {name.lower(): value for name, value in self.headers.items()}, body))
        self.say(200, b"{}")

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = lambda self: self.answer()

    def log_message(self, *_: Any) -> None:
        pass


class SendsOn(Elsewhere):
    """Sends everything on, or says that there is more elsewhere."""

    status: int
    there: str
    said: bytes

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.said:
            self.say(200, self.said)
        else:
            self.say(self.status, b"", Location=f"{self.there}{self.path}")


class Sent(NamedTuple):
    """`url` is where calls are sent on from; `came` what has come to the other server."""

    url: str
    came: list[tuple[str, dict[str, str], bytes]]
    handler: Any


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    for name in NAMES:
        monkeypatch.setenv(name, KEY)
    other = type("Other", (Elsewhere,), {"came": []})
    first = type("First", (SendsOn,), {"status": 307, "said": b""})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in (other, first)]
    first.there = f"http://localhost:{servers[0].server_port}"  # type: ignore[attr-defined]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Sent(f"http://127.0.0.1:{servers[1].server_port}", other.came, first)  # type: ignore[attr-defined]
    for server in servers:
        server.shutdown()
        server.server_close()


def openai(url: str, **options: Any) -> Any:
    tuners = pytest.importorskip("ftspec_openai.tuners")
    more = {"api_key": "${secret:OPENAI_API_KEY}", "headers": {"X-Gateway-Key": "${secret:OPENAI_API_KEY}"}} | options
    return tuners.Compatible(base_url=f"{url}/v1", **more)


def together(url: str) -> Any:
    return pytest.importorskip("ftspec_together.provider").TogetherProvider(base_url=url)


def fireworks(url: str) -> Any:
    return pytest.importorskip("ftspec_fireworks.provider").FireworksProvider(account="me", base_url=url)


def vertex(url: str) -> Any:
    return pytest.importorskip("ftspec_vertex.provider").VertexProvider(
        project="p", gcs="gs://bucket", access_token="${secret:GOOGLE_TOKEN}", base_url=url, storage_url=url
    )


PROVIDERS: dict[str, Callable[[str], Any]] = {
    "openai": openai,
    "openai, aiohttp alone": lambda url: openai(url, client="aiohttp"),
    "together": together,
    "fireworks": fireworks,
    "vertex": vertex,
}
QUESTION = api.Question(prompt=api.Prompt(id="p", messages=[api.Message(role="user", content="hi")]), repeat=0, seed=1)
MODEL = api.ModelRef(id="m")
REQUEST = api.Request(model=MODEL, training=api.RemoteFile(id="f", sha256="0" * 64, bytes=1))


def a_file(folder: Path) -> api.DataFile:
    path = folder / "training.jsonl"
    path.write_text("{}\n" * 20)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return api.DataFile(purpose="training", path=str(path), sha256=digest, bytes=path.stat().st_size, rows=20)


async def ask(provider: Any) -> api.Answer:
    with provider.serve(MODEL) as model:
        try:
            return await model.ask(QUESTION, api.Generation())
        finally:
            await model.close()


@pytest.mark.parametrize(
    ("method", "headers"),
    [("POST", {"Accept": "*/*"}), ("get", {"accept": "application/json"}), ("GET", None)],
    ids=["data", "an answer of JSON", "headers that cannot be taken away"],
)
def test_what_is_no_files_content_goes_to_no_other_server(method: str, headers: dict[str, str] | None) -> None:
    with pytest.raises(api.Rejected, match="http://here sends the call on to http://there, where neither key nor data"):
        hosted.sent_on(method, "http://here/v1/files", "http://there:80/v1", headers)


def test_a_files_content_is_read_elsewhere_by_nobody_in_particular() -> None:
    headers = {"Accept": "*/*", "Authorization": "Bearer key", "X-Gateway-Key": "key", "Cookie": "key"}
    hosted.sent_on("GET", "http://here/files/1/content", "http://there/blob", headers)
    assert headers == {"Accept": "*/*"}


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("status", [302, 307])
def test_nothing_goes_where_a_server_sends_calls_on_to(sent: Sent, tmp_path: Path, name: str, status: int) -> None:
    sent.handler.status = status
    provider = PROVIDERS[name](sent.url)
    calls: dict[str, Callable[[], Any]] = {
        "upload": lambda: provider.upload(a_file(tmp_path)),
        "submit": lambda: provider.submit(REQUEST, key="k" * 64),
        "find": lambda: provider.find(REQUEST, key="k" * 64),
        "ask": lambda: asyncio.run(ask(provider)),
    }
    for call in calls.values():
        with pytest.raises(api.Rejected, match=r"sends the call on|\(30[27]") as told:
            call()
        assert "address" in told.value.hint
        assert KEY not in f"{told.value} {told.value.hint}"
    assert sent.came == []


def test_through_a_proxy_too(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the questions take another way through the SDK. The proxy is for https alone, so that nobody asks it."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(api.Rejected, match="sends the call on"):
        asyncio.run(ask(openai(sent.url)))
    assert sent.came == []


def test_a_files_content_may_lie_elsewhere_and_is_asked_for_without_a_key(sent: Sent) -> None:
    files = pytest.importorskip("ftspec_openai.files")
    provider = openai(sent.url)
    assert files.Files(provider.address.client(), provider.preset).content("f") == b"{}"
    [(method, headers, _)] = sent.came
    assert method == "GET"
    assert KEY not in str(headers)


def test_the_next_page_of_deployments_is_on_the_same_server(sent: Sent) -> None:
    deployments = pytest.importorskip("ftspec_openai.deployments")
    sent.handler.said = f'{{"value": [], "nextLink": "{sent.handler.there}/more"}}'.encode()
    settings = deployments.Deployment(subscription="s", resource_group="g", account="a", management_url=sent.url)
    with pytest.raises(api.Rejected, match="sends the call on"):
        list(deployments.AzureHost(settings, 10.0).all())
    assert sent.came == []


@pytest.mark.parametrize(
    ("here", "location", "follows"),
    [
        ("https://a/v1/x", "/v1/x/", True),
        ("https://a/v1/x", "https://A:443/y", True),
        ("http://a/x", "https://a/x", True),
        ("https://a/x", "http://a/x", False),
        ("https://a/x", "https://a:8443/x", False),
        ("https://a/x", "https://me:pass-w0rd@b/x", False),
        ("http://[::1]:80/x", "http://[::1]/y", True),
        ("https://a/x", "//b/x", False),
        ("https://a/x", "https://a:port/x", False),
    ],
)
def test_what_another_server_is(here: str, location: str, follows: bool) -> None:
    if follows:
        hosted.sent_on("POST", here, location)
        return
    with pytest.raises(api.Rejected) as told:
        hosted.sent_on("POST", here, location)
    assert "pass-w0rd" not in told.value.message
