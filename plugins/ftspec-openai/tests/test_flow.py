"""A spec from its data to its gates, over real HTTP: ftspec as a process, the official SDK, and aimock.

A proxy between them writes down all that passes, and OpenAI's published description judges it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers import contract
from servers.fixtures import KEY

ROOT = Path(__file__).parents[3]
EMPTY_LIST = "first_id: None is not of type 'string'"
"""aimock's own fault: an empty list has no first id, and the description wants one."""


def ftspec(store: Path, *arguments: str, key: str | None = KEY) -> subprocess.CompletedProcess[str]:
    without = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    return subprocess.run(
        [sys.executable, "-m", "ftspec", *arguments],
        cwd=ROOT,
        env=without | ({"OPENAI_API_KEY": key} if key else {}) | {"FTSPEC_STORE": str(store)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def violations(proxy: Any) -> list[str]:
    return [problem for problem in contract.problems(proxy.exchanges) if EMPTY_LIST not in problem]


def answers_by_label(aimock: Any) -> None:
    """The base model knows one label, the tuned one all of them, as told by the files in specs/data."""
    aimock.answer('{"category": "payment"}', model="gpt-4.1-mini-2025-04-14")
    for line in (ROOT / "specs/data/tickets-test.jsonl").read_text().splitlines():
        row = json.loads(line)
        aimock.answer(json.dumps({"category": row["category"]}), user=row["text"])


def greedy(url: str) -> list[str]:
    """Each prompt is asked once: the answers would not differ anyway."""
    return [
        "--set",
        f"provider.openai.base_url={url}",
        "--set",
        "eval.generation.temperature=0",
        "--set",
        "eval.repeat=1",
    ]


@pytest.fixture
def ran(aimock: Any, proxied: Any, tmp_path: Path) -> tuple[subprocess.CompletedProcess[str], Any]:
    answers_by_label(aimock)
    proxy = proxied(aimock.url)
    done = ftspec(tmp_path, "run", "specs/openai-sft.yaml", *greedy(proxy.url))
    return done, proxy


def test_supervised(ran: Any, aimock: Any, tmp_path: Path) -> None:
    done, proxy = ran
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed 2 gates" in done.stdout
    [job] = aimock.jobs()
    assert job["method"]["supervised"]["hyperparameters"] == {
        "n_epochs": 3,
        "batch_size": 8,
        "learning_rate_multiplier": 1.8,
    }
    assert job["seed"] == 7
    assert "ticket-router" in job["fine_tuned_model"]
    assert len(aimock.files()) == 2
    assert violations(proxy) == []
    assert {exchange.status for exchange in proxy.exchanges} <= {200, 404}  # it has no result files
    assert KEY not in done.stdout + done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []

    before = len(proxy.exchanges)
    again = ftspec(tmp_path, "run", "specs/openai-sft.yaml", *greedy(proxy.url))
    assert "nothing had to be done again" in again.stdout + again.stderr
    assert len(proxy.exchanges) == before


@pytest.mark.parametrize(("name", "model"), [("dpo", "gpt-4.1-mini"), ("reinforcement", "o4-mini")])
def test_other_methods(aimock: Any, proxied: Any, tmp_path: Path, name: str, model: str) -> None:
    """Nobody is asked for a better answer here: the gates are left out, and the rest of the run must be there."""
    aimock.answer("sorry")
    proxy = proxied(aimock.url)
    wanted = (f"provider.openai.base_url={proxy.url}", f"model={model}", "gates[0].accuracy.min=0.0")
    sets = [part for one in wanted for part in ("--set", one)]
    done = ftspec(tmp_path, "run", f"specs/openai-{name}.yaml", *sets)
    assert done.returncode == 0, done.stdout + done.stderr
    [job] = aimock.jobs()
    assert job["method"]["type"] == name
    assert violations(proxy) == []
    assert {exchange.status for exchange in proxy.exchanges} <= {200, 404}


def test_a_wrong_key_makes_nothing(aimock: Any, tmp_path: Path) -> None:
    wrong = "sk-proj-wrong-0123456789"
    done = ftspec(
        tmp_path, "run", "specs/openai-sft.yaml", "--set", f"provider.openai.base_url={aimock.url}", key=wrong
    )
    assert done.returncode == 1
    assert "the API key was refused" in done.stderr
    assert wrong[:12] not in done.stdout + done.stderr
    assert aimock.jobs() == []


def test_too_few_rows_are_an_error_of_the_plan(tmp_path: Path) -> None:
    changes = ("split.test=0.98", "split.validation=0", "checks=[]")
    planned = ftspec(tmp_path, "plan", "specs/openai-sft.yaml", *(part for one in changes for part in ("--set", one)))
    assert planned.returncode != 0
    assert "openai wants at least 10 training examples, and there are" in planned.stdout + planned.stderr


def test_a_missing_key_is_told_before_the_data_step(aimock: Any, tmp_path: Path) -> None:
    done = ftspec(tmp_path, "run", "specs/openai-sft.yaml", "--set", f"provider.openai.base_url={aimock.url}", key=None)
    assert done.returncode != 0
    assert "secret not set: OPENAI_API_KEY" in done.stderr
    assert list(tmp_path.rglob("*.jsonl")) == []
    assert not (tmp_path / "steps").exists()
