"""Batched decoding: prompts in, answers out as each batch finishes.

Why not `model.generate`: it computes the prompt again for every repeat, cannot share the system prompt between rows,
and draws from one random stream, so that an answer would depend on its neighbours in the batch. Here

* the tokens that all prompts begin with (the system prompt) are computed once,
* a prompt that is asked several times is computed once, and its key-value cache repeated,
* rows that have ended leave the batch,
* each answer draws from a random stream of its own, seeded by its question.

Greedy answers equal `model.generate`'s (tested).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from ftspec_local.cache import bytes_per_token, new_cache

CACHE_BYTES = 1 << 30  # what the key-value cache of a batch may take
ROWS_PER_BATCH = 192
SHRINK_BELOW = (
    0.75  # rows leave the batch when less than this share of it is still running: copying the cache costs too
)


class Sampling(NamedTuple):
    """How to choose the next token; temperature 0 takes the likeliest."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256


class Ask(NamedTuple):
    """One prompt with one seed per wanted answer; `number` is the caller's."""

    number: int
    tokens: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass
class Reply:
    """The tokens of one answer, without its end token. `ended` is False when `max_tokens` cut it off."""

    ask: Ask
    repeat: int
    tokens: list[int] = field(default_factory=list)
    ended: bool = False


class Decoder:
    """Decodes with one model that is in memory, on the model's device.

    Args:
        stop_tokens: ids that end an answer.
        is_over: says whether the tokens so far end an answer for another reason, such as a stop string.
    """

    def __init__(
        self,
        model: Any,
        stop_tokens: frozenset[int],
        is_over: Callable[[list[int]], bool] | None = None,
        rows_per_batch: int = ROWS_PER_BATCH,
    ) -> None:
        self.model = model.eval()
        self.stop_tokens = stop_tokens
        self.is_over = is_over
        self.rows_per_batch = rows_per_batch

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def replies(self, asks: Sequence[Ask], sampling: Sampling) -> Iterator[list[Reply]]:
        """Answer every ask as often as it has seeds; yields one list per batch, shortest prompts first."""
        prefix = common_prefix([ask.tokens for ask in asks])
        cache = self._prefix_cache(prefix)
        for batch in self._batches(sorted(asks, key=lambda ask: (len(ask.tokens), ask.number)), sampling.max_tokens):
            yield self._decode(batch, prefix, cache, sampling)

    def _batches(self, asks: Sequence[Ask], max_tokens: int) -> Iterator[list[Ask]]:
        batch: list[Ask] = []
        for ask in asks:  # shortest first, so that the newest is the longest
            rows = sum(len(a.seeds) for a in batch) + len(ask.seeds)
            if batch and rows > self._most_rows(len(ask.tokens) + max_tokens):
                yield batch
                batch = []
            batch.append(ask)
        if batch:
            yield batch

    def _most_rows(self, tokens: int) -> int:
        per_row = tokens * bytes_per_token(self.model.config, self.model.dtype.itemsize)
        return min(self.rows_per_batch, CACHE_BYTES // per_row)

    def _prefix_cache(self, prefix: tuple[int, ...]) -> Any:
        if not prefix:
            return None
        tokens = torch.tensor([prefix], device=self.model.device)
        cache = new_cache(self.model.config)
        return self.model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1).past_key_values

    def _decode(self, asks: list[Ask], prefix: tuple[int, ...], prefix_cache: Any, sampling: Sampling) -> list[Reply]:
        replies = [Reply(ask, repeat) for ask in asks for repeat in range(len(ask.seeds))]
        logits, cache, mask = self._prefill(asks, prefix, prefix_cache)
        repeats = torch.tensor([len(ask.seeds) for ask in asks], device=logits.device)
        running = _Running(replies, cache, mask, logits)
        running.select(torch.arange(len(asks), device=logits.device).repeat_interleave(repeats))
        choose = _Chooser(sampling, replies)
        for _ in range(sampling.max_tokens):
            tokens = choose(running.logits, running.rows)
            running.keep(tokens, self.stop_tokens, self.is_over)
            if all(reply.ended for reply in running.replies):
                break
            running.shrink()
            self._step(running)
        return replies

    def _prefill(self, asks: list[Ask], prefix: tuple[int, ...], prefix_cache: Any) -> tuple[Any, Any, Any]:
        """Compute what follows the prefix, padded on the left: [prefix][padding][rest of the prompt]."""
        rests = [ask.tokens[len(prefix) :] for ask in asks]
        width = max(map(len, rests))
        tokens = torch.tensor([[0] * (width - len(rest)) + list(rest) for rest in rests], device=self.model.device)
        mask = torch.tensor(
            [[1] * len(prefix) + [0] * (width - len(rest)) + [1] * len(rest) for rest in rests],
            device=self.model.device,
        )
        cache: Any = copy.deepcopy(prefix_cache) if prefix else new_cache(self.model.config)
        if prefix:
            cache.batch_repeat_interleave(len(asks))
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, len(prefix) :]
        out = self.model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1], out.past_key_values, mask

    def _step(self, running: _Running) -> None:
        ones = torch.ones_like(running.mask[:, :1])
        running.mask = torch.cat([running.mask, ones], dim=1)
        out = self.model(
            input_ids=running.last[:, None],
            attention_mask=running.mask,
            position_ids=running.mask.sum(-1, keepdim=True) - 1,
            past_key_values=running.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        running.logits, running.cache = out.logits[:, -1], out.past_key_values


class _Running:
    """The rows of a batch that are still being decoded; `rows[i]` is row i's place in the list of replies."""

    def __init__(self, replies: list[Reply], cache: Any, mask: Any, logits: Any) -> None:
        self.all = replies
        self.rows = list(range(len(replies)))
        self.cache, self.mask, self.logits = cache, mask, logits
        self.last = torch.zeros(0, dtype=torch.long)

    @property
    def replies(self) -> list[Reply]:
        return [self.all[row] for row in self.rows]

    def select(self, indices: Any) -> None:
        """Keep (or repeat) these rows of the cache."""
        self.cache.batch_select_indices(indices)
        self.mask, self.logits = self.mask[indices], self.logits[indices]

    def keep(
        self, tokens: Any, stop_tokens: frozenset[int], is_over: Callable[[list[int]], bool] | None = None
    ) -> None:
        """Append each row's chosen token; a stop token ends the row and is not kept."""
        self.last = tokens
        for reply, token in zip(self.replies, tokens.tolist(), strict=True):
            if reply.ended:
                continue
            if token in stop_tokens:
                reply.ended = True
            else:
                reply.tokens.append(token)
                reply.ended = is_over is not None and is_over(reply.tokens)

    def shrink(self) -> None:
        """Let the rows that have ended go, once there are enough of them."""
        alive = [i for i, reply in enumerate(self.replies) if not reply.ended]
        if len(alive) > SHRINK_BELOW * len(self.rows):
            return
        indices = torch.tensor(alive, device=self.mask.device)
        self.select(indices)
        self.last = self.last[indices]
        self.rows = [self.rows[i] for i in alive]


class _Chooser:
    """Chooses each row's next token, from the row's own random stream."""

    def __init__(self, sampling: Sampling, replies: list[Reply]) -> None:
        self.sampling = sampling
        self.streams = [random.Random(reply.ask.seeds[reply.repeat]) for reply in replies]

    def __call__(self, logits: Any, rows: list[int]) -> Any:
        if self.sampling.temperature == 0:
            return logits.argmax(-1)
        points = torch.tensor([self.streams[row].random() for row in rows], device=logits.device)
        return draw(logits.float() / self.sampling.temperature, self.sampling.top_p, points)


def draw(logits: Any, top_p: float, points: Any) -> Any:
    """The token at `points` (0..1) of each row's cumulative distribution, cut to the likeliest `top_p`."""
    if top_p < 1.0:
        logits, order = logits.sort(-1, descending=True)
        shares = logits.softmax(-1).cumsum(-1)
        # A token stays while the ones before it have less than top_p; points are spread over what stays.
        kept = shares.gather(-1, (shares < top_p).sum(-1, keepdim=True).clamp(max=shares.shape[-1] - 1))
        places = torch.searchsorted(shares, points[:, None] * kept)
        return order.gather(-1, places.clamp(max=shares.shape[-1] - 1))[:, 0]
    shares = logits.softmax(-1).cumsum(-1)
    places = torch.searchsorted(shares, points[:, None] * shares[:, -1:])
    return places.clamp(max=shares.shape[-1] - 1)[:, 0]


def common_prefix(prompts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The tokens that all prompts begin with, leaving at least one token of each."""
    if len(prompts) < 2:
        return ()
    first, last = min(prompts), max(prompts)
    limit = min(map(len, prompts)) - 1
    same = next((i for i in range(limit) if first[i] != last[i]), limit)
    return first[: max(same, 0)]
