"""Errors that ftspec raises on purpose come back from another process as they were raised there; chains of errors."""

from __future__ import annotations

import pickle

import pytest

from ftspec.common import errors

RAISED = [
    errors.FtspecError("no", "do"),
    errors.PluginError("broken", "report it"),
    errors.Transient("later", "wait", retry_after=3.0),
    errors.DataError([errors.Finding(message="odd", row=3)], total=7),
    errors.SpecError([errors.Problem(message="wrong", path=("a", 1))]),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: errors.FtspecError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error) and str(back) == str(error)
    assert vars(back) == vars(error)


def test_an_error_with_all_that_it_came_from() -> None:
    first, second, last = ValueError("first"), KeyError("second"), OSError("last")
    last.__context__, second.__cause__ = second, first
    assert list(errors.chained(last)) == [last, second, first]
    first.__context__ = last  # libraries that keep errors tie such knots
    assert list(errors.chained(last)) == [last, second, first]
    assert list(errors.chained(None)) == []
