"""What can be said of a request before anything happens: what is wrong with it, what it takes, how long rows may be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from ftspec import api
from ftspec_local import device, hub, models
from ftspec_local.options import Settings, hyperparameters_of

PACKAGES = ("torch", "transformers", "peft", "trl", "accelerate", "datasets", "safetensors", "tokenizers")
INSTALL = "pip install ./plugins/ftspec-local"
FLOPS = 7e10  # of one core in fp32, measured on a server's CPU; only an estimate of time is made of it
STARTUP_SECONDS = 12.0


def problems(request: api.Request, settings: Settings) -> Iterator[api.Problem]:
    """Packages that are missing, a device or model that cannot be had, hyperparameters that do not go together.

    A device that is missing is a warning: who checks a spec (CI, say) may not be the machine that trains."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        yield api.Problem(message=f"the local provider lacks {', '.join(missing)}", hint=INSTALL, path=("provider",))
    elif lacking := device.lacking(settings.device):
        path = ("provider", "local", "device")
        yield api.Problem(message=lacking, hint=device.DeviceError.hint, path=path, severity="warning")
    if fault := models.problem(request.model.id, request.model.revision):
        yield api.Problem(message=str(fault), hint=fault.hint, path=("model",), severity=fault.severity)
    else:
        yield from _layer_problems(request, _config(request.model))


def _layer_problems(request: api.Request, config: Mapping[str, Any]) -> Iterator[api.Problem]:
    """LoRA on more layers than the model has; rows that are cut where the model cannot see any more."""
    hyperparameters = hyperparameters_of(request)
    layers, length = config.get("num_hidden_layers"), config.get("max_position_embeddings")
    wanted = hyperparameters.adapters.layers if hyperparameters.adapters else None
    if wanted and layers and wanted > layers:
        message = f"the model has {layers} layers, not {wanted}"
        yield api.Problem(message=message, hint=f"at most {layers}", path=("hyperparameters", "lora", "layers"))
    if length and hyperparameters.truncate and hyperparameters.max_length > length:
        message = f"rows are cut at {hyperparameters.max_length} tokens, and the model sees at most {length}"
        hint = f"write `max_length: {length}`, or less"
        yield api.Problem(message=message, hint=hint, path=("hyperparameters", "max_length"))


def keeps_no_checkpoints(request: api.Request) -> api.Problem | None:
    """Of a full fine-tuning that does not say how many: what one of them takes on disk."""
    if hyperparameters_of(request).keeps:
        return None
    count = _parameter_count(request.model)
    each = f"{4 * count / 1e9:.1f} GB" if count else "as large as the model in fp32"
    return api.Problem(
        message="a full fine-tuning (`lora: false`) keeps no checkpoints by itself",
        hint=f"say how many in `hyperparameters.full_checkpoints` (each takes disk space: {each}), or train an adapter",
    )


def estimate(request: api.Request, size: api.Size, settings: Settings) -> api.Estimate:
    """Steps, exactly; seconds, roughly, from the model's size and this machine's cores."""
    hyperparameters = hyperparameters_of(request)
    steps = hyperparameters.total_steps(size.rows)
    parameters = _parameter_count(request.model)
    if not (parameters and size.tokens and size.rows) or settings.device not in {"auto", "cpu"}:
        return api.Estimate(steps=steps, cost=0.0, basis="runs on this machine")
    seen = steps * hyperparameters.batch_size * hyperparameters.gradient_accumulation
    tokens = size.tokens / size.rows * min(seen, size.rows * hyperparameters.epochs)
    work = tokens * parameters * _passes(request)
    seconds = STARTUP_SECONDS + work / (FLOPS * (settings.threads or device.cores()))
    basis = f"{parameters / 1e6:.0f}M parameters on this machine's CPU, if it is idle"
    return api.Estimate(seconds=round(seconds), steps=steps, cost=0.0, basis=basis)


def _parameter_count(model: api.ModelRef) -> int | None:
    """From the size of the weights: two bytes each is the rule."""
    folder = models.described(model.id, model.revision)
    return (hub.weights_bytes(folder) // 2 if folder else 0) or None


def _passes(request: api.Request) -> float:
    """Operations per parameter and token: 2 forward, 2 back through the layers above the lowest adapter, 2 more where
    every weight is trained; of preferences 2 more, for what the base model says."""
    lora = hyperparameters_of(request).adapters
    reference = 2.0 if request.method == "dpo" else 0.0
    if lora is None:
        return 6.0 + reference
    layers = _config(request.model).get("num_hidden_layers") or 1
    return reference + 2.0 + 2.0 * min(1.0, (lora.layers or layers) / layers)


def data_limits(request: api.Request) -> api.Limits:
    """Rows may have `max_length` tokens, and no more than the model has positions for; longer ones may be cut."""
    hyperparameters = hyperparameters_of(request)
    if hyperparameters.truncate:
        return api.Limits()
    positions = _config(request.model).get("max_position_embeddings")
    if isinstance(positions, int) and positions < hyperparameters.max_length:
        return api.Limits(row_tokens=positions, source="the model's max_position_embeddings")
    return api.Limits(row_tokens=hyperparameters.max_length, source="hyperparameters.max_length")


def _config(model: api.ModelRef) -> dict[str, Any]:
    """What the model's folder says of its shape; nothing where the model is not on this machine."""
    folder = models.described(model.id, model.revision)
    return dict(json.loads((folder / "config.json").read_text(encoding="utf-8"))) if folder else {}
