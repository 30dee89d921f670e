"""Kit for plugin authors: a component's whole conformance test is a small class.

::

    from ftspec.testing import ProviderSuite
    from my_plugin import COMPONENTS

    class TestMine(ProviderSuite):
        component = COMPONENTS["mine"]
        options = {"url": "http://127.0.0.1:8000"}
        model = "tiny"
        hyperparameters = {"epochs": 1}

That suite runs one real job, and asks of it what core relies on. Cleaning steps and graders are tested by example::

    class TestShout(CleanerSuite):
        component = COMPONENTS["shout"]
        given = [{"text": "a"}, {"text": ""}]
        expected = [{"text": "A"}, {"text": ""}]

    class TestSameLength(GraderSuite):
        component = COMPONENTS["same_length"]
        passing = [("abc", "xyz")]
        failing = [("abc", "x")]

Needs pytest.
"""

from __future__ import annotations

from ftspec.testing.cleaner import CleanerSuite
from ftspec.testing.component import ComponentSuite
from ftspec.testing.grader import GraderSuite
from ftspec.testing.provider import ProviderSuite
from ftspec.testing.samples import batch_of
from ftspec.testing.world import World

__all__ = ["CleanerSuite", "ComponentSuite", "GraderSuite", "ProviderSuite", "World", "batch_of"]
