"""The light components, loaded through ftspec's own entry point like anyone's. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping

from ftspec import api
from ftspec.builtin import (
    chance,
    checks,
    columns,
    contamination,
    dedupe,
    engines,
    filters,
    formats,
    gates,
    graders,
    jsongraders,
    judges,
    language,
    limits,
    nearness,
    preference,
    promptfoo,
    scripts,
    similarity,
    simulated,
    sizes,
    sources,
    text,
    values,
)
from ftspec.builtin.redaction import checks as residue
from ftspec.builtin.redaction import steps as redact


@api.hookimpl
def ftspec_sources() -> Mapping[str, api.Component]:
    return {**sources.COMPONENTS, **promptfoo.COMPONENTS}


@api.hookimpl
def ftspec_cleaners() -> Mapping[str, api.Component]:
    rooms = (columns, text, filters, language, sizes, dedupe, contamination, redact, chance)
    return {name: component for room in rooms for name, component in room.COMPONENTS.items()} | scripts.CLEANERS


@api.hookimpl
def ftspec_formats() -> Mapping[str, api.Component]:
    return {**formats.COMPONENTS, **preference.COMPONENTS}


@api.hookimpl
def ftspec_checks() -> Mapping[str, api.Component]:
    return {**checks.COMPONENTS, **nearness.COMPONENTS, **residue.COMPONENTS}


@api.hookimpl
def ftspec_providers() -> Mapping[str, api.Component]:
    return simulated.COMPONENTS


@api.hookimpl
def ftspec_graders() -> Mapping[str, api.Component]:
    rooms = (graders, jsongraders, values, limits, similarity, scripts, judges)
    return {name: component for room in rooms for name, component in room.COMPONENTS.items()}


@api.hookimpl
def ftspec_gates() -> Mapping[str, api.Component]:
    return gates.COMPONENTS


@api.hookimpl
def ftspec_engines() -> Mapping[str, api.Component]:
    return engines.COMPONENTS
