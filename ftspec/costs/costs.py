"""What tuning, answering and serving cost: arithmetic on counted tokens and the tables' prices. None is "cannot tell".

    tuning      tokens of the training file x epochs x price per million, or hours x price per hour
    answering   prompt tokens x price + completion tokens x price, both per million
    hosting     hours that a deployment stands x price per hour

Tokens of a prompt are known only when it has been answered. Before, there is a bound: byte-level tokenizers (and
SentencePiece's with byte fallback) never make more tokens of a text than it has bytes in UTF-8; a template's own tokens
are allowed for with OVERHEAD a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ftspec.common.figures import plural
from ftspec.common.jobs import Estimate, Request, Size
from ftspec.common.messages import Answer, Message, Prompt
from ftspec.common.records import Record
from ftspec.costs.tables import Price, Rate, Tables

MILLION = 1_000_000
HOUR = 3600.0
OVERHEAD = 16
"""Tokens that a chat template adds to a message at the most: role, separators, turn ends."""
JUDGE = "judge "
"""Before the name of a model that judges: what its part of the costs is called, see `judge_name`."""
ANSWERS = " answers"
"""After the label of a model under test: what its step is called, and its part of the costs."""
STANDS = HOUR
"""Seconds that a deployment is expected to stand, where no earlier run tells."""


class Part(Record):
    """What one part of a run costs. `amount` None: it cannot be told, and `basis` says why; `bound`: at the most.

    `verified`: False where the amount rests on a price that nobody has read in the vendor's own list.
    """

    name: str
    amount: float | None = None
    currency: str = ""
    bound: bool = False
    basis: str = ""
    source: str = ""
    as_of: str = ""
    verified: bool = True


class Costs(Record):
    """What a run is going to cost, part by part; what is done already costs nothing."""

    parts: tuple[Part, ...] = ()

    @property
    def currency(self) -> str:
        """The currency of all parts, "" where they differ."""
        found = {part.currency for part in self.parts if part.amount}
        return next(iter(found)) if len(found) == 1 else ""

    @property
    def total(self) -> float | None:
        """The sum, at the most; None where a part cannot be told or currencies differ."""
        amounts = [part.amount for part in self.parts]
        known = [amount for amount in amounts if amount is not None]
        if len(known) < len(amounts) or (any(known) and not self.currency):
            return None
        return sum(known)

    @property
    def unknown(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.amount is None)

    @property
    def unverified(self) -> tuple[Part, ...]:
        """Parts that cost something by a price that nobody has verified."""
        return tuple(part for part in self.parts if part.amount and not part.verified)


class Serving(Record):
    """What 1,000 answers like those of the evaluation cost with a model, and what it costs per hour that it stands."""

    label: str
    model: str
    thousand: float | None = None
    hosting_hour: float | None = None
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    currency: str = ""
    basis: str = ""
    source: str = ""
    as_of: str = ""
    verified: bool = True


def training(price: Price | None, tokens: int | None, epochs: float | None, seconds: float | None) -> float | None:
    """What a job costs. `tokens` are all those of the training file, `seconds` what it is expected to take."""
    if price is None:
        return None
    if price.tuning is not None:
        if price.tuning == 0:
            return 0.0
        return None if tokens is None or epochs is None else tokens * epochs * price.tuning / MILLION
    return None if price.tuning_hour is None or seconds is None else seconds / HOUR * price.tuning_hour


def answering(rate: Rate, prompt_tokens: float, completion_tokens: float) -> float:
    """What so many tokens cost, in the rate's currency: its prices are per million."""
    return (prompt_tokens * rate.prompt + completion_tokens * rate.completion) / MILLION


def judge_name(model: str) -> str:
    """What a judge's part of the costs is called: no label of a model under test makes the same of `LABEL answers`."""
    return f"{JUDGE}'{model}'" if model.endswith(ANSWERS) else f"{JUDGE}{model}"


def is_judging(part: str) -> bool:
    """Whether a part of the costs is a judge's. A model under test may be labelled `judge panel`: its part is not."""
    return part.startswith(JUDGE) and not part.endswith(ANSWERS)


def is_free(rate: Rate) -> bool:
    """Whether its answers cost nothing, however long they are."""
    return rate.prompt == rate.completion == 0


def of_answer(rate: Rate, answer: Answer) -> float | None:
    """What an answer cost; None where the provider does not count tokens."""
    if is_free(rate):
        return 0.0
    if answer.prompt_tokens is None or answer.completion_tokens is None:
        return None
    return answering(rate, answer.prompt_tokens, answer.completion_tokens)


def most_tokens(prompt: Prompt) -> int:
    """A number of tokens that no tokenizer makes more than of this prompt (see above). Not for images or sound."""
    tools = len(msgspec.json.encode(prompt.tools)) if prompt.tools else 0
    return sum(map(_bytes, prompt.messages)) + tools + OVERHEAD


def row_tokens(prompt: Prompt) -> int:
    """Nor more tokens than this of its row and what is expected."""
    shown = msgspec.json.encode([prompt.expected, prompt.row])
    return len(shown) + shown.count(b",") + shown.count(b":")  # templates write a space after each


def _bytes(message: Message) -> int:
    content: Any = message.content
    size = len(content.encode()) if isinstance(content, str) else len(msgspec.json.encode(content)) if content else 0
    return size + (len(msgspec.json.encode(message.tool_calls)) if message.tool_calls else 0) + OVERHEAD


def epochs(request: Request) -> float | None:
    """How often the training data are seen; None where the provider decides."""
    said = request.hyperparameters.get("epochs")
    return float(said) if isinstance(said, int | float) and not isinstance(said, bool) else None


def tuning_part(tables: Tables, endpoint: str, request: Request, size: Size, estimate: Estimate, *, name: str) -> Part:
    """The job's cost: from the user's own table, else as the provider says, else from ours."""
    method, model = request.method, request.model.id
    price = tables.price("tuning", endpoint, model, method) or tables.price("tuning_hour", endpoint, model, method)
    if estimate.cost is not None and not (price and tables.is_own(price)):
        return Part(name=name, amount=estimate.cost, currency=estimate.currency, basis=estimate.basis)
    if price is None:
        return Part(name=name, basis=f"no price is known of tuning '{model}' by {method}")
    tokens = size.bytes if size.tokens is None else size.tokens
    amount = training(price, tokens, epochs(request), estimate.seconds)
    if amount is None:
        lacking = "the time it takes" if price.tuning is None else "tokens" if tokens is None else "epochs"
        return _priced(Part(name=name, basis=f"{lacking} not known before"), price)
    if price.tuning is None:
        basis = f"{price.tuning_hour:g} an hour"
    else:
        counted = "tokens" if size.tokens is not None else "bytes, at least as many as tokens,"
        basis = f"{tokens or 0:,} {counted} x {epochs(request) or 0:g} epochs, {price.tuning:g} a million"
    bound = size.tokens is None and price.tuning is not None and amount > 0
    return _priced(Part(name=name, amount=amount, bound=bound, basis=basis), price)


def answers_part(
    name: str, price: Price | None, rate: Rate | None, prompts: int, prompt_tokens: int | None, most: int, kept: int = 0
) -> Part:
    """What asking costs at the most.

    Args:
        prompts: questions, repeats included; `prompt_tokens` is the bound of all their tokens together.
        most: tokens of one answer at the most.
        kept: so many more questions have their answers already.
    """
    if price is None or rate is None:
        return Part(name=name, basis="no price is known of its answers")
    if is_free(rate):
        return _priced(Part(name=name, amount=0.0), price)
    if prompt_tokens is None:
        return _priced(Part(name=name, basis="the prompts have not been counted"), price)
    amount = answering(rate, prompt_tokens, prompts * most)
    besides = f" ({kept:,} more are kept)" if kept else ""
    basis = f"{plural(prompts, 'answer')}{besides} of {most} tokens, {rate.prompt:g} and {rate.completion:g} a million"
    return _priced(Part(name=name, amount=amount, bound=True, basis=basis), price)


def together(parts: Sequence[Part]) -> Part:
    """Parts of one name that one price is paid for, as one: cannot be told where one of them cannot."""
    unknown = next((part for part in parts if part.amount is None), None)
    if unknown:
        return unknown
    costly = [part for part in parts if part.amount] or [parts[0]]
    return msgspec.structs.replace(
        costly[0],
        amount=sum(part.amount or 0.0 for part in costly),
        bound=any(part.bound for part in costly),
        basis=", and ".join(part.basis for part in costly),
    )


def hosting_part(name: str, price: Price | None, seconds: float, basis: str) -> Part:
    """What a deployment costs that stands so long."""
    if price is None or price.hosting_hour is None:
        return Part(name=name, basis="no price is known of a deployment, which costs money while it stands")
    said = f"{price.hosting_hour:g} an hour, {basis}"
    return _priced(Part(name=name, amount=seconds / HOUR * price.hosting_hour, basis=said), price)


def _priced(part: Part, price: Price) -> Part:
    return msgspec.structs.replace(
        part,
        currency=price.currency,
        source=price.source,
        as_of=price.as_of.isoformat(),
        verified=price.verified,
    )


def rate_of(tables: Tables, endpoint: str, model: str, *, tuned: bool) -> tuple[Price | None, Rate | None]:
    """What answers of a base model cost, or of what was tuned from it, and the entry that says so."""
    price = tables.price("tuned" if tuned else "base", endpoint, model)
    return price, (price.tuned if tuned else price.base) if price else None


def serving(
    label: str, model: str, price: Price | None, rate: Rate | None, answers: Iterable[Answer], hosted: Price | None
) -> Serving:
    """What serving costs, by the tokens of answers that were given; None where either is not known."""
    counted = [(answer.prompt_tokens, answer.completion_tokens) for answer in answers if not answer.error]
    prompt, completion = _mean(asked for asked, _ in counted), _mean(said for _, said in counted)
    known = Serving(
        label=label, model=model, prompt_tokens=prompt, completion_tokens=completion,
        hosting_hour=hosted.hosting_hour if hosted else None,
        verified=all(one.verified for one in (price, hosted) if one),
        currency=price.currency if price else "", source=price.source if price else "",
        as_of=price.as_of.isoformat() if price else "",
    )  # fmt: skip
    if rate is None:
        return msgspec.structs.replace(known, basis="no price is known")
    if prompt is None or completion is None:
        return msgspec.structs.replace(known, basis="the provider does not count tokens")
    return msgspec.structs.replace(known, thousand=1000 * answering(rate, prompt, completion))


def _mean(counts: Iterable[int | None]) -> float | None:
    """The mean, None where one is not known or there is none."""
    found = list(counts)
    known = [count for count in found if count is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None
