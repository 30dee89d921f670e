"""The check of what training on the data takes: tokens and money."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from ftspec import api

if TYPE_CHECKING:
    import pyarrow as pa

Most = Annotated[int, Meta(ge=1)]


def budget_rule(options: Mapping[str, Any]) -> Iterator[api.Clash]:
    """Something is bounded."""
    if all(options[name] is None for name in ("max_tokens", "max_trained_tokens", "max_cost")):
        yield (), "nothing is bounded: say `max_tokens`, `max_trained_tokens` or `max_cost`"


Currency = Annotated[
    str,
    Meta(
        pattern="^[A-Z]{3}$", extra_json_schema={"patternErrorMessage": "Write three capital letters, as USD or EUR."}
    ),
]


@api.check(rules=[budget_rule])
def token_budget(
    *,
    max_tokens: Annotated[Most | None, Meta(description="Of the training file, times epochs.")] = None,
    max_trained_tokens: Annotated[Most | None, Meta(description="Of those, the ones that are trained on.")] = None,
    max_cost: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="Of tuning, by the price tables.")
    ] = None,
    currency: Currency = "USD",
) -> api.Check:
    """Want training to see no more tokens, and to cost no more, than so much.

    Where a number cannot be told (no tokenizer, no price, a provider that decides epochs by itself), the finding says
    so: give the check `severity: warning` or a waiver to go on. `budget:` in the spec caps what a run really spends.
    """

    def weigh(found: api.Weighed) -> Iterator[api.Finding]:
        for most, what, counted in (
            (max_tokens, "tokens", found.tokens),
            (max_trained_tokens, "trained tokens", found.trained_tokens),
        ):
            if most is not None:
                yield from _tokens(most, what, counted, found.epochs)
        if max_cost is not None:
            yield from _cost(max_cost, currency, found)

    return api.Check(_nothing, _no_finding, weigh=weigh)


def _nothing(batch: pa.RecordBatch) -> None:
    return None


def _no_finding(measured: Iterable[None]) -> Iterator[api.Finding]:
    return iter(())


def _tokens(most: int, what: str, counted: int | None, epochs: float | None) -> Iterator[api.Finding]:
    if counted is None:
        yield api.Finding(message=f"cannot tell the {what}: the model's tokenizer is not at hand", hint=_TOLD)
    elif epochs is None:
        if counted > most:
            yield api.Finding(message=f"one epoch has {counted:,} {what}, at most {most:,} are allowed", hint=_FEWER)
        else:
            message = f"cannot tell the {what} of all epochs: the provider decides how many there are"
            yield api.Finding(message=message, hint="give `hyperparameters.epochs`")
    elif counted * epochs > most:
        message = f"{counted * epochs:,.0f} {what} ({counted:,} x {epochs:g} epochs), at most {most:,} are allowed"
        yield api.Finding(message=message, hint=_FEWER)


def _cost(most: float, currency: str, found: api.Weighed) -> Iterator[api.Finding]:
    if found.cost is None:
        basis = f": {found.basis}" if found.basis else ""
        yield api.Finding(message=f"cannot tell what tuning costs{basis}", hint=_TOLD)
    elif found.cost and found.currency != currency:
        message = f"cannot tell whether tuning costs more than {most:g} {currency}: its price is in {found.currency}"
        yield api.Finding(message=message, hint=f"say `currency: {found.currency}`")
    elif found.cost > most:
        bound = "at most " if found.bound else ""
        costs = f"{bound}{api.beside(found.cost, most, digits=2)} {currency}"
        message = f"tuning costs {costs} ({found.basis}), at most {most:g} is allowed"
        yield api.Finding(message=message, hint=_FEWER)


_FEWER = "take fewer rows with `sample` in `cleaning`, shorter ones, or fewer epochs"
_TOLD = "see docs/costs.md, or give this check `severity: warning`"
COMPONENTS: dict[str, api.Component] = {token_budget.name: token_budget}
