"""One figure is written in one way."""

from __future__ import annotations

import pytest

from ftspec.common import figures


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (0.44, "0.4 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"),
     (3599.7, "1 h 00 min"), (7800, "2 h 10 min")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0071, "7 ms"), (0.0999, "0.10 s"), (0.64, "0.64 s"), (9.96, "10 s"), (185, "3 min 05 s")]
)
def test_moment(seconds: float, text: str) -> None:
    assert figures.moment(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (93e6, "93.0 MB"), (4e12, "4.0 TB")]
)
def test_size(count: float, text: str) -> None:
    assert figures.size(count) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0%"), (1, "100%"), (0.9999, "99.9%"), (0.0001, "<0.1%"), (0.934, "93.4%"), (0.5, "50.0%"), (None, "–")],
)
def test_percent_never_rounds_to_certainty(value: float | None, shown: str) -> None:
    assert figures.percent(value) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0.00 USD"),
        (0.0055412, "0.0055 USD"),
        (0.0108, "0.011 USD"),
        (1234.5, "1,234.50 USD"),
    ],
)
def test_amounts_in_one_column_can_be_compared(amount: float, shown: str) -> None:
    assert figures.money(amount, "USD") == shown


@pytest.mark.parametrize(
    ("value", "bounds", "shown"),
    [
        (0.983, (0.9,), "0.983"),
        (0.9996, (1,), "0.9996"),
        (0.89996, (0.9, None), "0.89996"),
        (0.30000000000000004, (0.3,), "0.300"),
        (1e-7, (5e-8,), "0.0000001"),
        (0.0, (0,), "0.000"),
        (float("nan"), (0.5,), "nan"),
        (1.0, (), "1.000"),
    ],
)
def test_a_value_beside_a_bound_is_not_written_as_the_bound(
    value: float, bounds: tuple[float | None, ...], shown: str
) -> None:
    assert figures.beside(value, *bounds) == shown


def test_an_amount_beside_a_bound() -> None:
    assert figures.money(1234.501, "USD", 1234.5) == "1,234.501 USD"
    assert figures.money(1234.501, "USD", 1000) == "1,234.50 USD"
