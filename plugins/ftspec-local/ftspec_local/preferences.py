"""Train on preference pairs: TRL's DPOTrainer on pairs that are already token ids.

The rest is as for conversations (see ftspec_local.training): order, checkpoints, events. With adapters the reference is
the model without them; without adapters a second copy of it is held in memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from datasets import Dataset
from transformers import Trainer
from trl import DPOConfig, DPOTrainer

from ftspec_local import rows
from ftspec_local.options import Dpo
from ftspec_local.render import Renderer
from ftspec_local.training import Training


class PreferenceTraining(Training):
    """One run of direct preference optimisation, from the base model's folder and the data files to a saved model."""

    def _dataset(self, renderer: Renderer, path: Path) -> Dataset:
        pairs = [rows.pair(renderer, row, self.hyperparameters) for row in rows.read(path)]
        return Dataset.from_dict(
            {f"{name}_ids": [getattr(pair, name).ids for pair in pairs] for name in ("prompt", "chosen", "rejected")}
        )

    def _made(self, arguments: dict[str, Any], **parts: Any) -> Trainer:
        return _Trainer(args=DPOConfig(beta=msgspec.convert(self.options, Dpo).beta, **arguments), **parts)


class _Trainer(DPOTrainer):  # type: ignore[misc]  # TRL is not typed
    """TRL's trainer, given rows as ftspec rendered them."""

    def _prepare_dataset(self, dataset: Dataset, *arguments: Any) -> Dataset:
        """TRL would render them anew, with other rules for what belongs to an answer."""
        return dataset
