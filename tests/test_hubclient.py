"""The hub's client with patience: what it asks again, when it gives up, and what is said meanwhile."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from ftspec import api, hosted
from ftspec.cli.drawing import progress
from ftspec.common.errors import FtspecError
from ftspec.files import hubclient, hubwait
from ftspec.files.hubwait import Away, Waiting

UNKNOWN = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hubwait.VARIABLE, "2")
    monkeypatch.setattr(hubclient, "SILENCE", 0.5)
    monkeypatch.setattr(hubclient, "BRIEF", 0.2)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/file"


@contextlib.contextmanager
def client(waiting: Waiting) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=None, trust_env=False) as made:
        made.send = hubclient._patiently(made.send, httpx, waiting)  # type: ignore[method-assign]
        yield made


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_request_without_a_time_limit_ends(silent: str, method: str, caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    with client(waiting := Waiting()) as asking:
        with pytest.raises(Away, match=r"no answer in time at 127.0.0.1, . times in") as raised:
            asking.request(method, silent)
        assert time.monotonic() - began < 30 and raised.value.hint == hubwait.HINT
        assert "attempt 1, the next in 1 s, given up in" in caplog.text
        with pytest.raises(Away):
            asking.get(silent)  # at once: it has just been given up
        with pytest.raises(Away):
            waiting.check()


def test_who_wants_an_answer_soon_or_changes_something_is_not_asked_for_again(silent: str) -> None:
    with client(Waiting()) as asking:
        with pytest.raises(httpx.ReadTimeout):
            asking.get(silent, timeout=0.1)
        with pytest.raises(httpx.ReadTimeout):
            asking.post(silent, timeout=0.3)


def test_a_certificate_that_cannot_be_checked_is_not_waited_for() -> None:
    with pytest.raises(Away) as raised:
        Waiting().failed(hubwait.reason(UNKNOWN), "here", time.monotonic())
    assert "nobody whom this machine trusts" in str(raised.value) and "SSL_CERT_FILE" in raised.value.hint


def test_a_hub_that_says_when_to_come_again_is_taken_at_its_word(caplog: pytest.LogCaptureFixture) -> None:
    waiting = Waiting()
    assert waiting.failed("status 429", "here", time.monotonic(), 300.0, limited=True) == 300
    waiting.well()
    assert "the hub answers again" in caplog.text
    with pytest.raises(Away, match="status 429 at here") as raised:
        waiting.failed("status 429", "here", time.monotonic(), 3000.0, limited=True)
    assert "asks to be left alone for 50 min" in raised.value.hint
    assert hubclient._asked(httpx.Response(429, headers={"ratelimit": '"api";r=0;t=55'})) == 55


def test_a_hub_may_be_waited_for_all_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hubwait.VARIABLE, "86400")
    waiting = Waiting()
    waiting.well()
    for _ in range(1100):  # of several threads
        wait = waiting.failed("refused", "here", time.monotonic())
    assert wait == hubwait.LONGEST


@pytest.mark.parametrize(("said", "left"), [("5m", "5 min 00 s"), ("90", "1 min 30 s"), (" ", "2 min 00 s")])
def test_how_long_the_hub_is_waited_for(
    said: str, left: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(hubwait.VARIABLE, said)
    (waiting := Waiting()).well()
    waiting.failed("refused", "here", time.monotonic())
    assert f"given up in {left}" in caplog.text


@pytest.mark.parametrize("said", ["nan", "inf", "-1", "2 min", "abc"])
def test_what_is_no_time_is_told_before_the_hub_is_asked(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hubwait.VARIABLE, said)
    with pytest.raises(FtspecError, match=f"FTSPEC_HUB_PATIENCE in the environment: '{said}' is not a duration"):
        hubclient.patient.__wrapped__()


@pytest.mark.parametrize(
    ("name", "said"),
    [("HTTPS_PROXY", "socks5://127.0.0.1:9"), ("HTTPS_PROXY", "http://[::1"), ("SSL_CERT_FILE", "/nowhere")],
)
def test_a_proxy_that_is_none_is_not_called_a_fault_of_ours(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, said)
    with pytest.raises(FtspecError, match="proxy or certificates that the environment names: ") as raised:
        hubclient._session(httpx.Client)
    assert "HTTPS_PROXY" in raised.value.hint
    with pytest.raises(api.Rejected, match="proxy or certificates that the environment names: ") as refused:
        hosted.http_client(httpx.AsyncClient)
    socks = said.startswith("socks")
    assert ("one for SOCKS" in refused.value.message) is socks, "and not which package httpx wants"
    assert ("name one for HTTP" in refused.value.hint) is socks


def test_a_silence_is_told_of_some_times(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(hubwait, "SILENCES", (0.0, 0.0, 50.0))
    waiting = Waiting()
    with waiting.silence("here"):
        for _ in range(4):
            waiting.look()
    waiting.look()
    assert len(caplog.records) == 2 and "sent nothing for 0.0 s (here)" in caplog.text


@pytest.mark.parametrize("quiet", [False, True])
def test_what_is_logged_of_it_is_shown_as_progress(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with progress(quiet):
        hubwait.tell("the hub answers again")
    assert ("the hub answers again\n" in capsys.readouterr().err) != quiet
    assert not logging.getLogger("ftspec").handlers
