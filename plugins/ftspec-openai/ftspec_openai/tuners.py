"""The tuners that a spec can name: each has its own options, methods and bounds, and all share one implementation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from ftspec import api
from ftspec_openai import options, presets
from ftspec_openai.calls import TIMEOUT, Address
from ftspec_openai.presets import Preset
from ftspec_openai.tuner import Tuner

Key = Annotated[str, Meta(description="The API key, as a reference to a secret.")]
BaseURL = Annotated[str, Meta(description="Address of the API, up to and with its version.", pattern="^https?://")]
Suffix = Annotated[str, Meta(description="Part of the tuned model's name.", max_length=64)]
Concurrency = Annotated[int, Meta(ge=1, le=1000, description="Questions that are asked at the same time.")]
PerMinute = Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Most per minute; no limit when not given.")]
Seconds = Annotated[float, Meta(gt=0, description="Seconds to wait for an answer.")]

SFT = api.Method(options.Hyperparameters, options.Sft)
DPO = api.Method(options.Hyperparameters, options.Dpo, data="preference")
REINFORCEMENT = api.Method(options.ReinforcementHyperparameters, options.Reinforcement, data="reinforcement")


class OpenAI(Tuner):
    """Tune at OpenAI: supervised, by preference or by reinforcement; answers through chat completions."""

    preset: ClassVar[Preset] = presets.OPENAI
    methods: ClassVar[Mapping[str, api.Method]] = {"sft": SFT, "dpo": DPO, "reinforcement": REINFORCEMENT}

    def __init__(
        self,
        *,
        api_key: Key = "${secret:OPENAI_API_KEY}",
        base_url: BaseURL = "https://api.openai.com/v1",
        organization: Annotated[str, Meta(description="The organization that pays, where the key has several.")] = "",
        project: Annotated[str, Meta(description="The project in which jobs live.")] = "",
        suffix: Suffix = "",
        concurrency: Concurrency = 16,
        requests_per_minute: PerMinute = None,
        tokens_per_minute: PerMinute = None,
        timeout: Seconds = TIMEOUT,
    ) -> None:
        address = Address(
            base_url=base_url, api_key=api_key, organization=organization, project=project, timeout=timeout
        )
        limits = api.RateLimits(
            concurrency=concurrency, requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute
        )
        super().__init__(address, suffix=suffix, limits=limits)
