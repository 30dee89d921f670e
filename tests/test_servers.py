"""The servers that other tests stand on do what those rely on."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from servers import contract
from servers.aimock import Aimock
from servers.fixtures import KEY
from servers.proxy import FAULTS, Proxy

Proxied = Callable[..., Proxy]
JOB = {"model": "gpt-4.1-mini-2025-04-14", "training_file": "file-1", "metadata": {"key": "k"}}


def call(url: str, body: Any = None, *, timeout: float = 60.0) -> Any:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=timeout) as answer:
        return json.load(answer)


def create(proxy: Proxy, patience: float = 60.0) -> Any:
    return call(f"{proxy.url}/fine_tuning/jobs", JOB, timeout=patience)


def test_a_job_goes_its_way_and_its_model_answers(aimock: Aimock) -> None:
    aimock.answer("base", model=JOB["model"])
    aimock.answer("tuned")
    job = call(f"{aimock.url}/fine_tuning/jobs", JOB)
    states = [call(f"{aimock.url}/fine_tuning/jobs/{job['id']}") for _ in range(3)]
    assert [state["status"] for state in states] == ["queued", "running", "succeeded"]
    for model, said in ((JOB["model"], "base"), (states[-1]["fine_tuned_model"], "tuned")):
        chat = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        assert call(f"{aimock.url}/chat/completions", chat)["choices"][0]["message"]["content"] == said
    assert [made["id"] for made in aimock.jobs()] == [job["id"]]


def test_every_job_is_counted(aimock: Aimock) -> None:
    for _ in range(103):
        call(f"{aimock.url}/fine_tuning/jobs", JOB)
    assert len({job["id"] for job in aimock.jobs()}) == 103
    assert {job["status"] for job in aimock.jobs()} == {"validating_files"}


def test_another_key_is_refused(aimock: Aimock) -> None:
    request = urllib.request.Request(f"{aimock.url}/files", headers={"Authorization": "Bearer other"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request)


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "refused"])
def test_a_fault_strikes_once_and_only_its_operation(aimock: Aimock, proxied: Proxied, name: str) -> None:
    proxy = proxied(aimock.url)
    proxy.fault("create", name, once=True)
    assert call(f"{proxy.url}/fine_tuning/jobs")["data"] == []
    with pytest.raises((OSError, ValueError)) as caught:
        create(proxy, patience=1.0 if name == "timeout" else 60.0)
    assert len(aimock.jobs()) == FAULTS[name].handled
    if isinstance(caught.value, urllib.error.HTTPError):
        assert caught.value.code == FAULTS[name].status
        assert KEY in caught.value.read().decode()
    assert create(proxy)["object"] == "fine_tuning.job"
    assert [(exchange.operation, exchange.fault) for exchange in proxy.exchanges] == [
        ("find", ""),
        ("create", name),
        ("create", ""),
    ]


def test_a_fault_may_stay(aimock: Aimock, proxied: Proxied) -> None:
    proxy = proxied(aimock.url)
    proxy.fault("create", "503", once=False)
    for _ in range(3):
        with pytest.raises(urllib.error.HTTPError, match="503"):
            create(proxy)
    proxy.heal()
    assert create(proxy)


def test_connections_are_refused_from_the_nth_request_on(aimock: Aimock, proxied: Proxied) -> None:
    proxy = proxied(aimock.url)
    proxy.refuse(after=1, seconds=1.5)
    assert create(proxy)
    with pytest.raises(urllib.error.URLError) as caught:
        create(proxy)
    assert isinstance(caught.value.reason, ConnectionRefusedError)
    time.sleep(1.6)
    assert create(proxy)
    assert len(proxy.exchanges) == 2


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_request_is_held_up(aimock: Aimock, proxied: Proxied, when: Any) -> None:
    proxy = proxied(aimock.url)
    hold = proxy.hold(1, when)
    with pytest.raises(OSError):
        create(proxy, patience=1.0)
    assert hold.reached.wait(60)
    hold.drop()
    assert len(aimock.jobs()) == (when == "after")


def test_what_passes_is_as_openai_describes_it(aimock: Aimock, proxied: Proxied) -> None:
    proxy = proxied(aimock.url)
    job = create(proxy)
    call(f"{proxy.url}/fine_tuning/jobs/{job['id']}")
    call(f"{proxy.url}/fine_tuning/jobs/{job['id']}/events?limit=5")
    assert contract.problems(proxy.exchanges) == []


def test_what_is_not_as_openai_describes_it_is_told(aimock: Aimock, proxied: Proxied) -> None:
    proxy = proxied(aimock.url)
    create(proxy)
    good = proxy.exchanges[0]
    bad = {
        "training_file": replace(good, request_body=json.dumps({"model": "m"}).encode()),
        "n_epochs": replace(good, request_body=json.dumps(JOB | {"hyperparameters": {"n_epochs": 51}}).encode()),
        "status": replace(good, body=json.dumps(json.loads(good.body) | {"status": "done"}).encode()),
        "not found": replace(good, url=good.url.replace("jobs", "works")),
        "Security": replace(good, request_headers={"Content-Type": "application/json"}),
    }
    for word, exchange in bad.items():
        assert word.lower() in "\n".join(contract.problems([exchange])).lower(), word
