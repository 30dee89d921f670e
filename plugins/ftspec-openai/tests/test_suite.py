"""The kit's conformance tests of every tuner, against a server that OpenAI's description keeps honest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import ftspec_openai
import pytest
from described import Described
from servers import contract
from servers.proxy import OPENAI, Proxy

from ftspec.testing import ProviderSuite
from ftspec.tuning.tuning import Follow


@pytest.fixture(scope="class", autouse=True)
def _running(request: pytest.FixtureRequest) -> Iterator[None]:
    """A server for all tests of one suite, and in the end what OpenAI's description says of all that passed."""
    server = Described()
    with Proxy(server.url, OPENAI) as proxy:
        request.cls.options = request.cls.make_options(proxy.url, server.root)
        yield
        assert contract.problems(proxy.exchanges) == []
    server.stop()


class Suite(ProviderSuite):
    """What the suites have in common."""

    model = "gpt-4.1-mini"
    hyperparameters: ClassVar[Any] = {"epochs": 2, "batch_size": 4}
    follow = Follow(wait=60.0, first=0.01, longest=0.05)

    @staticmethod
    def make_options(url: str, root: str) -> dict[str, Any]:
        return {"base_url": url}


class TestOpenAI(Suite):
    component = ftspec_openai.openai


class TestPreference(Suite):
    component = ftspec_openai.openai
    method = "dpo"
    method_options: ClassVar[Any] = {"beta": 0.2}


class TestReinforcement(Suite):
    component = ftspec_openai.openai
    method = "reinforcement"
    method_options: ClassVar[Any] = {
        "grader": {"type": "string_check", "input": "{{ sample.output_text }}", "reference": "{{ item.colour }}"}
    }


class TestAzure(Suite):
    component = ftspec_openai.azure

    @staticmethod
    def make_options(url: str, root: str) -> dict[str, Any]:
        where = {"subscription": "s", "resource_group": "g", "account": "a", "management_url": root}
        return {"base_url": url, "deployment": where}


class TestNebius(Suite):
    component = ftspec_openai.nebius
    model = "meta-llama/Meta-Llama-3.1-8B-Instruct"
    hyperparameters: ClassVar[Any] = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-4}

    def test_what_lies_there_is_listed(self, world: Any) -> None:
        """It keeps checkpoints with their jobs, where they cannot be deleted: only files and deployments are ours."""
        listed = list(world.provider.remote_objects())
        assert {file.sha256 for file in world.files} <= {one.sha256 for one in listed if one.kind == "file"}

    @staticmethod
    def make_options(url: str, root: str) -> dict[str, Any]:
        return {"base_url": f"{root}/v1"}


class TestCompatible(Suite):
    component = ftspec_openai.compatible

    @staticmethod
    def make_options(url: str, root: str) -> dict[str, Any]:
        return {"base_url": url, "find_by": "suffix"}
