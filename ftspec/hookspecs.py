"""The hooks. If the spec names it, a hook *returns* it, once, at load; if not, it *is* a hook.

Fixed slots in each docstring: what, when, parameters, return. No hook changes a result behind the digests' back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pluggy

from ftspec.common.errors import Problem
from ftspec.common.records import Event, Plan, RunInfo
from ftspec.contracts.components import Component

hookspec = pluggy.HookspecMarker("ftspec")
hookimpl = pluggy.HookimplMarker("ftspec")


@hookspec
def ftspec_sources() -> Mapping[str, Component]:
    """Offer sources: where rows come from (`sources:`, and the items of `eval.prompts`).

    When: once, at load. Return: name → component made with `@api.source`.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_cleaners() -> Mapping[str, Component]:
    """Offer cleaning steps (`cleaning:`).

    When: once, at load. Return: name → component made with `@api.batch_step`, `text_step`, `row_step`, `global_step`,
    `screen_step`.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_formats() -> Mapping[str, Component]:
    """Offer formats: how a row becomes messages (`format:`).

    When: once, at load. Return: name → component made with `@api.format`.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_checks() -> Mapping[str, Component]:
    """Offer checks over the formatted data (`checks:`).

    When: once, at load. Return: name → component made with `@api.check`.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_providers() -> Mapping[str, Component]:
    """Offer tuners (`provider:`).

    When: once, at load. Return: name → component made with `@api.provider` from a class that follows `api.Provider`.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_graders() -> Mapping[str, Component]:
    """Offer graders of answers (`eval.graders:`).

    When: once, at load. Return: name → component made with `@api.grader`.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_gates() -> Mapping[str, Component]:
    """Offer gates over an evaluation (`gates:`).

    When: once, at load. Return: name → component made with `@api.gate`.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_engines() -> Mapping[str, Component]:
    """Offer engines that run the per-batch part of the data pipeline (`engine:`).

    When: once, at load. Return: name → component made with `@api.engine`.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_plan_ready(plan: Plan) -> Iterable[Problem] | None:
    """Veto a plan, e.g. by house rules.

    When: after planning, before any side effect of `plan` or `run`. Parameters: the plan.
    Return: problems (an error stops the run), or None.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_run_started(run: RunInfo) -> None:
    """Observe that a run starts or goes on.

    When: after the journal has it. Parameters: the run. Return: nothing; raising is reported and the run goes on.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_event(run: RunInfo, event: Event) -> None:
    """Observe one event of the run's journal, in order.

    When: after it is durable. Parameters: the run, the event. Return: nothing; raising is reported, the run goes on.
    """
    raise AssertionError("a specification, never called")


@hookspec
def ftspec_run_finished(run: RunInfo, error: BaseException | None) -> None:
    """Observe that this process stops working on the run, whatever the reason.

    When: once, after the last event and when the report is written; not by a process that is killed, nor of a run that
    was done already. Parameters: the run, and what ended it (None when it came to its end, also where a gate said no);
    `api.mask` what is sent or written of it.
    Return: nothing; raising is reported.
    """
    raise AssertionError("a specification, never called")
