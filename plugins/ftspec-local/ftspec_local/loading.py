"""Load a base or tuned model into memory, as it answers and as it is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM

from ftspec_local.device import Resolved, prepare


class Where(NamedTuple):
    """A model's files: a folder of its own, and an adapter on top of it where there is one."""

    folder: str
    adapter: str = ""

    @property
    def tokenizer(self) -> Path:
        """The folder with the tokenizer and the chat template."""
        return Path(self.folder)


def load(where: Where, machine: Resolved) -> Any:
    """The model on its device. An adapter is merged: it is faster, and it is exactly what an export would hold."""
    dtype: torch.dtype = prepare(machine)
    model = AutoModelForCausalLM.from_pretrained(where.folder, dtype=dtype)
    if where.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, where.adapter).merge_and_unload()
    head = model.get_output_embeddings()
    # A CPU's 16-bit matrix product is a hundred times slower on an input that is not contiguous, as a slice is.
    head.register_forward_pre_hook(lambda module, inputs: (inputs[0].contiguous(), *inputs[1:]))
    return model.to(machine.device).eval()


def stop_tokens(model: Any, tokenizer: Any, eos: str) -> frozenset[int]:
    """Ids that end an answer: the model's own list, and the tokenizer's end of a turn."""
    own = model.generation_config.eos_token_id
    ids = {*(own if isinstance(own, list) else [own]), tokenizer.token_to_id(eos) if eos else None}
    return frozenset(token for token in ids if token is not None)
