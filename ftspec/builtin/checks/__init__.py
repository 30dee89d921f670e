"""Checks over the data: what tuners take, enough of it, what is in it, what it costs; one module per family."""

from __future__ import annotations

from ftspec import api
from ftspec.builtin.checks import balances, control, counts, expectations, form, images, leaks, limits, pairs, spending
from ftspec.builtin.checks.counts import duplicates, max_examples, min_examples
from ftspec.builtin.checks.form import format_
from ftspec.builtin.checks.leaks import leakage

__all__ = ["COMPONENTS", "duplicates", "format_", "leakage", "max_examples", "min_examples"]

_FAMILIES = (form, counts, leaks, pairs, expectations, balances, control, limits, images, spending)
COMPONENTS: dict[str, api.Component] = {
    name: component for family in _FAMILIES for name, component in family.COMPONENTS.items()
}
