"""docs/reliability.md, cell by cell: the official SDK against aimock through a proxy that breaks what it is told to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from servers import contract, page, subjects
from servers.aimock import Aimock
from servers.fixtures import KEY
from servers.matrix import CASES, Case, Subject, Trial, expected, healthy, traces
from servers.proxy import Proxy

from ftspec.asking import inflight

Proxied = Callable[..., Proxy]


@pytest.fixture
def openai(aimock: Aimock, monkeypatch: pytest.MonkeyPatch) -> Subject:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name, value in {"FIRST": 0.01, "LONGEST": 0.05}.items():
        monkeypatch.setattr(inflight, name, value)
    return subjects.openai(aimock, monkeypatch)


FIRST: dict[str, dict[str, int]] = {}


@pytest.fixture
def first(openai: Subject, proxied: Proxied, aimock: Aimock, tmp_path: Path) -> dict[str, int]:
    """The number of each operation's first request in a healthy run: found out once."""
    if openai.name not in FIRST:
        FIRST[openai.name] = healthy(openai, tmp_path / "healthy", proxied(openai.url, openai.operations))
        aimock.reset()
        aimock.answer("an answer")
    return FIRST[openai.name]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_costs_nothing_that_was_done(
    openai: Subject,
    proxied: Proxied,
    first: dict[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setattr(inflight, "PATIENCE", 2.0 if expected(case) == "again" else 30.0)
    proxy = proxied(openai.url, openai.operations)
    trial = Trial(openai, tmp_path / "trial", case, first)
    outcome = trial.run(proxy)
    record_property(str(case), outcome)
    assert outcome == expected(case), trial.said
    assert len(openai.jobs()) <= 1
    trial.again(proxy, outcome)
    assert len(openai.jobs()) == 1
    assert len(openai.files()) == 2
    assert contract.problems(exchange for exchange in proxy.exchanges if not exchange.fault) == []
    assert traces(tmp_path, KEY, trial.said) == []


def test_the_page_says_what_is_expected() -> None:
    assert page.shown() == page.table({str(case): expected(case) for case in CASES}), "run `make reliability`"
