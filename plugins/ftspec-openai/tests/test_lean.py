"""Both clients, the SDK's and the lean one, against the same server: the same request, answers and errors."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Literal

import httpx2
import openai
import pytest
from ftspec_openai.calls import Address
from ftspec_openai.sending import Sender, Wire
from ftspec_openai.tuners import Compatible, OpenAI

from ftspec import api
from ftspec.common.references import mask

KEY = "sk-not-a-real-key"
NEVER = -1
"""The status of an answer that does not come; where it is 0 the connection ends without one."""
SAID = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}
REFUSED = {"error": {"message": "no", "type": "t", "code": "c"}}
UNLIKE = {"accept-encoding": "", "connection": ""}
"""Headers that are the connection's own, with any two HTTP libraries."""
FILTERED = {"error": {"message": "stopped by the filter", "code": "content_filter"}}


class Handler(BaseHTTPRequestHandler):
    """Answers as it is told, and remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    status: ClassVar[int] = 200
    said: ClassVar[bytes] = b""
    headers_: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[tuple[str, dict[str, str], Any]]] = []
    moved: ClassVar[dict[str, str]] = {}
    by: ClassVar[str] = "location"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        if self.status == 0:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if self.status == NEVER:
            self.rfile.read(1)  # until the client has gone
            return
        if self.path in self.moved:
            self.send_response(307)
            self.send_header(self.by, self.moved[self.path])
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self.send_response(self.status)
        for name, value in {**self.headers_, "content-length": str(len(self.said))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.said)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    handler = type("One", (Handler,), {"asked": []})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.url = f"http://127.0.0.1:{listening.server_port}/v1"  # type: ignore[attr-defined]
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield handler
    listening.shutdown()
    listening.server_close()


def named(client: str) -> Literal["sdk", "aiohttp"]:
    return "aiohttp" if client == "aiohttp" else "sdk"


def ask(url: str, client: str, provider: Any = None, patience: float = 60) -> api.Answer:
    """One question: by the SDK through what we give it, by aiohttp alone, or ("own") by the SDK's own client."""
    if client == "own":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Address, "_sender", lambda *_: openai.DefaultAioHttpClient())
            return ask(url, "sdk", provider, patience)
    provider = provider or OpenAI(
        base_url=url, organization="org-1", project="proj-1", client=named(client), timeout=patience
    )
    question = api.Question(
        prompt=api.Prompt(id="p", messages=[api.Message(role="user", content="hi")]), repeat=2, seed=7
    )

    async def once() -> api.Answer:
        with provider.serve(api.ModelRef(id="m")) as model:
            try:
                return await model.ask(question, api.Generation(max_tokens=5, temperature=0.5))
            finally:
                await model.close()

    return asyncio.run(once())


def told(server: type[Handler], status: int, said: Any, **headers: str) -> str:
    server.status = status
    server.said = said if isinstance(said, bytes) else json.dumps(said).encode()
    server.headers_ = {name.replace("_", "-"): value for name, value in headers.items()}
    return str(server.url)  # type: ignore[attr-defined]


@pytest.mark.parametrize("client", ["sdk", "aiohttp"])
def test_an_answer(server: type[Handler], client: str) -> None:
    answer = ask(told(server, 200, SAID, content_type="application/json"), client)
    assert (answer.prompt, answer.repeat, answer.text, answer.finish_reason) == ("p", 2, "hello", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (3, 1)
    assert answer.seconds is not None


def test_both_send_the_same(server: type[Handler]) -> None:
    url = told(server, 200, SAID, content_type="application/json")
    ask(url, "sdk")
    ask(url, "aiohttp")
    (path, headers, body), (lean_path, lean_headers, lean_body) = server.asked
    assert (lean_path, lean_body) == (path, body)
    ours = ("authorization", "content-type", "openai-organization", "openai-project")
    assert {name: lean_headers.get(name) for name in ours} == {name: headers.get(name) for name in ours}


def test_through_ours_the_sdk_sends_what_it_sends_through_its_own(server: type[Handler]) -> None:
    url = told(server, 200, SAID, content_type="application/json")
    ask(url, "own")
    ask(url, "sdk")
    (_, theirs, body), (_, ours, our_body) = server.asked
    assert our_body == body
    assert ours | UNLIKE == theirs | UNLIKE


@pytest.mark.parametrize("client", ["sdk", "aiohttp"])
def test_a_key_is_looked_up_for_each_question(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch, client: Literal["sdk", "aiohttp"]
) -> None:
    provider = OpenAI(base_url=told(server, 200, SAID), client=client, timeout=60)
    question = api.Question(
        prompt=api.Prompt(id="p", messages=[api.Message(role="user", content="hi")]), repeat=0, seed=7
    )

    async def asked(keys: list[str]) -> None:
        with provider.serve(api.ModelRef(id="m")) as model:
            for key in keys:
                monkeypatch.setenv("OPENAI_API_KEY", key)
                await model.ask(question, api.Generation(max_tokens=5))
            await model.close()

    asyncio.run(asked(["sk-first", "sk-second"]))
    assert [headers["authorization"] for _, headers, _ in server.asked] == ["Bearer sk-first", "Bearer sk-second"]


@pytest.mark.parametrize("client", ["own", "sdk", "aiohttp"])
def test_a_gateways_own_authorization_is_sent_in_the_keys_place(server: type[Handler], client: str) -> None:
    gateway = Compatible(base_url=told(server, 200, SAID), headers={"authorization": "Basic me"}, client=named(client))
    ask("", client, gateway)
    assert server.asked[0][1]["authorization"] == "Basic me"


CASES = [
    (401, REFUSED, {}),
    (403, REFUSED, {}),
    (404, REFUSED, {}),
    (400, REFUSED, {}),
    (429, REFUSED, {"retry_after": "7"}),
    (500, REFUSED, {}),
    (503, b"<html>busy</html>", {}),
    (200, b"{half", {}),
    (200, {"choices": []}, {}),
    (200, b'"text"', {}),
    (0, b"", {}),
    (NEVER, b"", {}),
]


@pytest.mark.parametrize(("status", "said", "headers"), CASES, ids=str)
def test_both_raise_the_same(server: type[Handler], status: int, said: Any, headers: dict[str, str]) -> None:
    url = told(server, status, said, content_type="application/json", **headers)
    raised = []
    for client in ("sdk", "aiohttp"):
        with pytest.raises(api.ProviderError) as caught:
            ask(url, client, patience=1 if status == NEVER else 60)
        raised.append((type(caught.value), getattr(caught.value, "retry_after", None), KEY in str(caught.value)))
    assert raised[0] == raised[1]
    assert not raised[1][2]


@pytest.mark.parametrize("client", ["sdk", "aiohttp"])
def test_what_the_filter_stops_is_an_answer(server: type[Handler], client: str) -> None:
    assert ask(told(server, 400, FILTERED, content_type="application/json"), client).finish_reason == "content_filter"


@pytest.mark.parametrize("client", ["sdk", "aiohttp"])
def test_nobody_listens(monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(api.Transient):
        ask("http://127.0.0.1:9/v1", client)


@pytest.mark.parametrize("client", ["sdk", "aiohttp"])
def test_a_compressed_answer(server: type[Handler], client: str) -> None:
    said = gzip.compress(json.dumps(SAID).encode())
    assert ask(told(server, 200, said, content_encoding="gzip"), client).text == "hello"
    assert "gzip" in server.asked[-1][1]["accept-encoding"]


def shared(headers: dict[str, str]) -> dict[str, str]:
    """What must not depend on the client."""
    return {name: headers.get(name, "") for name in ("authorization", "host", "openai-organization", "content-type")}


@pytest.mark.parametrize("client", ["own", "sdk", "aiohttp"])
def test_a_server_that_has_moved_is_asked_once_at_each_address(server: type[Handler], client: str) -> None:
    server.moved = {"/v1/chat/completions": "/v2/chat/completions", "/v2/chat/completions": "/v3/chat/completions"}
    assert ask(told(server, 200, SAID, content_type="application/json"), client).text == "hello"
    assert [path for path, _, _ in server.asked] == [f"/v{n}/chat/completions" for n in (1, 2, 3)]
    assert [headers["authorization"] for _, headers, _ in server.asked] == [f"Bearer {KEY}"] * 3
    assert server.asked[0][2] == server.asked[1][2] == server.asked[2][2]


@pytest.mark.parametrize("client", ["sdk", "aiohttp"])
def test_a_gateways_key_is_looked_up_for_each_question(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    """Its other headers are sent as they stand, and one that says who asks stands in the key's place."""
    monkeypatch.setenv("GATEWAY_KEY", "gateway-0123456789\n")
    url = told(server, 200, SAID, content_type="application/json")
    headers = {"X-Gateway": "ftspec", "X-Gateway-Key": "${secret:GATEWAY_KEY}"}
    for more in ({}, {"authorization": "Basic ${secret:GATEWAY_KEY}"}):
        provider = Compatible(
            base_url=url, api_key="${secret:OPENAI_API_KEY}", headers=headers | more, client=named(client)
        )
        ask(url, client, provider)
        said = server.asked[-1][1]
        assert (said["x-gateway"], said["x-gateway-key"]) == ("ftspec", "gateway-0123456789")
        assert said["authorization"] == ("Basic gateway-0123456789" if more else f"Bearer {KEY}")
    assert provider.address.client().default_headers["X-Gateway-Key"] == "gateway-0123456789"
    assert "gateway-0123456789" not in repr(provider.address)
    assert "gateway-0123456789" not in mask("sent gateway-0123456789")
    monkeypatch.delenv("GATEWAY_KEY")
    with pytest.raises(api.FtspecError, match="GATEWAY_KEY"):
        ask(url, client, provider)


def test_a_question_does_not_follow_to_another_origin(server: type[Handler]) -> None:
    url = told(server, 200, SAID, content_type="application/json")
    server.moved = {"/v1/chat/completions": url.replace("127.0.0.1", "localhost") + "/elsewhere"}
    for client in ("sdk", "aiohttp"):
        server.asked.clear()
        with pytest.raises(api.Rejected, match="sends the call on to http://localhost"):
            ask(url, client)
        assert [path for path, _, _ in server.asked] == ["/v1/chat/completions"]


def test_nor_by_the_other_header_that_aiohttp_follows(server: type[Handler]) -> None:
    url = told(server, 200, SAID, content_type="application/json")
    server.moved = {"/v1/chat/completions": url.replace("127.0.0.1", "localhost") + "/elsewhere"}
    server.by = "uri"
    with pytest.raises(api.Rejected, match="sends the call on to http://localhost"):
        ask(url, "aiohttp")
    assert [path for path, _, _ in server.asked] == ["/v1/chat/completions"]


def test_a_server_that_moves_for_ever_is_left_after_as_many_calls(server: type[Handler]) -> None:
    server.moved = {"/v1/chat/completions": "/v1/chat/completions"}
    url, counts = told(server, 200, SAID), []
    for client in ("own", "sdk"):
        server.asked.clear()
        with pytest.raises(api.ProviderError):
            ask(url, client)
        counts.append(len(server.asked))
    assert counts == [21, 21]


def test_certificates_are_looked_at_wherever_the_first_question_went(server: type[Handler]) -> None:
    url = told(server, 200, SAID, content_type="application/json")

    async def connected() -> Any:
        wire = Wire(1, 5, 5)
        try:
            await wire.handle_async_request(httpx2.Request("POST", url + "/x", content=b"{}"))
            return wire._session.connector._ssl  # type: ignore[union-attr]
        finally:
            await wire.aclose()

    context = asyncio.run(connected())
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    assert context.get_ca_certs() or context.cert_store_stats()["x509_ca"]


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "localhost")


@pytest.mark.usefixtures("no_proxy")
def test_a_proxy_of_the_environment_is_the_sdks_business(monkeypatch: pytest.MonkeyPatch) -> None:
    def sender() -> object:
        return Address(base_url="http://127.0.0.1:9/v1", api_key=KEY)._sender(4)

    assert isinstance(sender(), Sender)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert not isinstance(sender(), Sender)


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("client", ["sdk", "aiohttp"])
def test_both_ask_through_the_proxy_of_the_environment(
    server: type[Handler], monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    proxy = told(server, 200, SAID, content_type="application/json").removesuffix("/v1")
    monkeypatch.setenv("HTTP_PROXY", proxy)
    assert ask("http://models.invalid/v1", client).text == "hello"
    assert ask(f"{proxy}/v1".replace("127.0.0.1", "localhost"), client).text == "hello"
    assert [path for path, _, _ in server.asked] == [
        "http://models.invalid/v1/chat/completions",
        "/v1/chat/completions",
    ]


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("client", ["sdk", "aiohttp"])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_for_socks_is_told_at_once(monkeypatch: pytest.MonkeyPatch, client: str, name: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    with pytest.raises(api.Rejected, match="one for SOCKS"):  # not one that is tried again
        ask("https://models.invalid/v1", client)
