"""The tuners that a spec can name: each has its own options, methods and bounds, and all share one implementation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from ftspec import api
from ftspec_openai import options, presets, tokens
from ftspec_openai.calls import TIMEOUT, Address
from ftspec_openai.deployments import AzureHost, Deploying, Deployment, Host, NebiusHost
from ftspec_openai.tuner import Pausing, Tuner

Key = Annotated[str, Meta(description="The API key, as a reference to a secret.")]
BaseURL = Annotated[
    api.Plain,
    Meta(
        description="Address of the API, up to and with its version.",
        pattern="^https?://",
        extra_json_schema={"patternErrorMessage": "Write an address that begins with https:// or http://."},
    ),
]
Suffix = Annotated[str, Meta(description="Part of the tuned model's name.", max_length=64)]
Concurrency = Annotated[int, Meta(ge=1, le=1000, description="Questions that are asked at the same time.")]
PerMinute = Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Most per minute; no limit when not given.")]
Client = Annotated[
    Literal["sdk", "aiohttp"],
    Meta(
        description="What asks models: the official SDK, as always through a proxy, or aiohttp alone, "
        "which takes a third of the CPU."
    ),
]
Seconds = Annotated[float, Meta(gt=0, description="Seconds to wait for an answer.")]

# Images: developers.openai.com, guide "Vision fine-tuning" (supervised only); Azure's page says at most 64 a row. The
# most of OpenAI's own is told differently in different copies of the guide, so its service decides.
SFT = api.Method(options.Hyperparameters, options.Sft, images=None)
AZURE_SFT = api.Method(options.Hyperparameters, options.Sft, images=64)
DPO = api.Method(options.Hyperparameters, options.Dpo, data="preference")
REINFORCEMENT = api.Method(options.ReinforcementHyperparameters, options.Reinforcement, data="reinforcement")


def _limits(concurrency: int, requests: int | None, tokens: int | None) -> api.RateLimits:
    return api.RateLimits(concurrency=concurrency, requests_per_minute=requests, tokens_per_minute=tokens)


class OpenAI(Pausing):
    """Tune at OpenAI: supervised, by preference or by reinforcement; answers through chat completions."""

    preset = presets.OPENAI
    methods: ClassVar[Mapping[str, api.Method]] = {"sft": SFT, "dpo": DPO, "reinforcement": REINFORCEMENT}
    checkpoints: ClassVar[str] = "after each epoch"

    def __init__(
        self,
        *,
        api_key: Key = "${secret:OPENAI_API_KEY}",
        base_url: BaseURL = "https://api.openai.com/v1",
        organization: Annotated[
            api.Plain, Meta(description="The organization that pays, where the key has several.")
        ] = "",
        project: Annotated[api.Plain, Meta(description="The project in which jobs live.")] = "",
        suffix: Suffix = "",
        concurrency: Concurrency = 16,
        requests_per_minute: PerMinute = None,
        tokens_per_minute: PerMinute = None,
        timeout: Seconds = TIMEOUT,
        client: Client = "sdk",
    ) -> None:
        address = Address(
            base_url=base_url, api_key=api_key, organization=organization, project=project, timeout=timeout
        )
        limits = _limits(concurrency, requests_per_minute, tokens_per_minute)
        super().__init__(address, suffix=suffix, limits=limits, client=client)

    def render(self, request: api.Request, example: api.Example) -> Sequence[api.Token]:
        """The tokens of an example in the models' encoding; around them, what OpenAI's cookbook assumes."""
        return tokens.shown(example)


class Azure(Deploying, Pausing):
    """Tune at Azure OpenAI (Foundry), whose tuned models answer only when deployed, which costs money by the hour."""

    preset = presets.AZURE
    methods: ClassVar[Mapping[str, api.Method]] = {"sft": AZURE_SFT, "dpo": DPO, "reinforcement": REINFORCEMENT}
    checkpoints: ClassVar[str] = "after each epoch"

    def __init__(
        self,
        *,
        base_url: BaseURL,
        api_key: Key = "${secret:AZURE_OPENAI_API_KEY}",
        training_type: Annotated[
            Literal["Standard", "GlobalStandard", "Developer"], Meta(description="Where and how cheaply it trains.")
        ] = "Standard",
        deployment: Annotated[
            Deployment | None, Meta(description="Where the tuned model is put up; without it, it cannot be asked.")
        ] = None,
        base_deployment: Annotated[
            str, Meta(description="Deployment of the base model that is asked; the model's own name when not given.")
        ] = "",
        suffix: Suffix = "",
        concurrency: Concurrency = 16,
        requests_per_minute: PerMinute = None,
        tokens_per_minute: PerMinute = None,
        timeout: Seconds = TIMEOUT,
    ) -> None:
        super().__init__(
            Address(base_url=base_url, api_key=api_key, timeout=timeout),
            suffix=suffix,
            extra={"trainingType": training_type},
            limits=_limits(concurrency, requests_per_minute, tokens_per_minute),
        )
        self.settings, self.base_deployment = deployment, base_deployment

    def problems(self, request: api.Request) -> Iterator[api.Problem]:
        """As of any tuner; and a tuned model that nobody could ask."""
        yield from super().problems(request)
        if self.settings is None:
            yield api.Problem(
                message="the tuned model cannot be evaluated: Azure answers for deployed models only",
                hint="add `deployment: {subscription: ..., resource_group: ..., account: ...}`",
                path=("provider", "azure"),
                on="key",
                severity="warning",
            )

    @cached_property
    def host(self) -> Host:
        if self.settings is None:
            raise api.Rejected(
                "the tuned model is not deployed, and Azure answers for deployed models only",
                "add `deployment: {subscription: ..., resource_group: ..., account: ...}` to `provider: azure`",
            )
        return AzureHost(self.settings, self.address.timeout)

    def standing(self) -> Iterator[api.Deployment]:
        return self.host.all() if self.settings else iter(())

    def _asked(self, model: api.ModelRef | api.TunedModel) -> str:
        return super()._asked(model) if isinstance(model, api.TunedModel) else self.base_deployment or model.id


class Nebius(Deploying):
    """Tune open models at Nebius Token Factory; a tuned adapter answers once it is deployed as a custom model."""

    preset = presets.NEBIUS
    methods: ClassVar[Mapping[str, api.Method]] = {"sft": api.Method(options.NebiusHyperparameters, options.Sft)}
    checkpoints: ClassVar[str] = "after each epoch"

    def __init__(
        self,
        *,
        api_key: Key = "${secret:NEBIUS_API_KEY}",
        base_url: BaseURL = "https://api.tokenfactory.nebius.com/v1",
        serving_base: Annotated[
            str, Meta(description="The base model that serves the adapter; the one it was tuned from when not given.")
        ] = "",
        concurrency: Concurrency = 16,
        requests_per_minute: PerMinute = None,
        tokens_per_minute: PerMinute = None,
        timeout: Seconds = TIMEOUT,
    ) -> None:
        super().__init__(
            Address(base_url=base_url, api_key=api_key, timeout=timeout),
            limits=_limits(concurrency, requests_per_minute, tokens_per_minute),
        )
        self.serving_base = serving_base

    def problems(self, request: api.Request) -> Iterator[api.Problem]:
        """As of any tuner; and a model that is not served."""
        yield from super().problems(request)
        if request.hyperparameters.get("lora") is False:
            yield api.Problem(
                message="Nebius serves tuned adapters by the token, and no model that was trained in full",
                hint="an evaluation needs `lora: true`, or a dedicated endpoint of your own",
                path=("hyperparameters", "lora"),
                severity="warning",
            )

    @cached_property
    def host(self) -> Host:
        return NebiusHost(self.address, self.serving_base)


class BedrockMantle(Tuner):
    """Tune open models at Amazon Bedrock's OpenAI-shaped endpoint: by reinforcement, scored by a function of yours."""

    preset = presets.MANTLE
    methods: ClassVar[Mapping[str, api.Method]] = {
        "reinforcement": api.Method(options.Hyperparameters, options.LambdaReinforcement, data="reinforcement")
    }
    checkpoints: ClassVar[str] = "on its way"

    def __init__(
        self,
        *,
        region: Annotated[str, Meta(description="The region that tunes.", pattern="^[a-z0-9-]+$")] = "us-west-2",
        base_url: Annotated[str, Meta(description="Address of the API, instead of the region's.")] = "",
        api_key: Key = "${secret:AWS_BEARER_TOKEN_BEDROCK}",
        concurrency: Concurrency = 16,
        requests_per_minute: PerMinute = None,
        tokens_per_minute: PerMinute = None,
        timeout: Seconds = TIMEOUT,
    ) -> None:
        where = base_url or f"https://bedrock-mantle.{region}.api.aws/v1"
        super().__init__(
            Address(base_url=where, api_key=api_key, timeout=timeout),
            limits=_limits(concurrency, requests_per_minute, tokens_per_minute),
        )


class Compatible(Tuner):
    """Tune at any server of the OpenAI wire shape: a gateway, or one of your own."""

    preset = presets.COMPATIBLE
    methods: ClassVar[Mapping[str, api.Method]] = {
        "sft": api.Method(options.CompatibleHyperparameters, options.Sft, images=None),
        "dpo": api.Method(options.CompatibleHyperparameters, options.Dpo, data="preference"),
        "reinforcement": REINFORCEMENT,
    }
    checkpoints: ClassVar[str] = "where the server keeps any"

    def __init__(
        self,
        *,
        base_url: BaseURL,
        api_key: Annotated[
            str, Meta(description="The API key, as a reference to a secret; a server of your own may need none.")
        ] = "none",
        find_by: Annotated[
            Literal["metadata", "suffix", "nowhere"],
            Meta(description="What of a job the server gives back, so that a lost one can be found."),
        ] = "metadata",
        suffix: Suffix = "",
        headers: Annotated[
            dict[str, str] | None,
            Meta(description="Headers for each request, such as a gateway wants; a key as a reference to a secret."),
        ] = None,
        extra: Annotated[dict[str, Any] | None, Meta(description="Fields of the server's own for a new job.")] = None,
        concurrency: Concurrency = 16,
        requests_per_minute: PerMinute = None,
        tokens_per_minute: PerMinute = None,
        timeout: Seconds = TIMEOUT,
        client: Client = "sdk",
    ) -> None:
        super().__init__(
            Address(base_url=base_url, api_key=api_key, headers=headers or {}, timeout=timeout),
            suffix=suffix,
            extra=extra,
            limits=_limits(concurrency, requests_per_minute, tokens_per_minute),
            client=client,
        )
        self.preset = msgspec.structs.replace(presets.COMPATIBLE, key=find_by)
