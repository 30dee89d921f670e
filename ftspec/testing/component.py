"""What core relies on in any component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import pytest

from ftspec.contracts.components import Component


class ComponentSuite:
    """What core relies on in any component. Subclass one of the suites below; set `component` and its `options`."""

    component: ClassVar[Component]
    options: ClassVar[Mapping[str, Any]] = {}

    def test_is_described(self) -> None:
        assert self.component.summary, "the factory needs a docstring: it is the description in `ftspec plugins show`"
        assert msgspec.json.schema(self.component.options)

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(msgspec.ValidationError):
            self.component.convert({**self.options, "no such option": 1})

    def test_rules_accept_the_options(self) -> None:
        converted = self.component.convert(self.options)
        assert [fault for rule in self.component.rules for fault in rule(converted)] == []
