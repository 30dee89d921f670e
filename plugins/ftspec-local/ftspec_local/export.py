"""Write a tuned model's merged weights: `python -m ftspec_local.export WHERE OUT`, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

from ftspec_local import device
from ftspec_local.loading import Where, load


def merged(where: Where, machine: device.Resolved, out: Path) -> None:
    """A model folder that plain transformers loads: weights, tokenizer, template. It answers as it was evaluated."""
    load(where, machine).save_pretrained(out)
    AutoTokenizer.from_pretrained(where.tokenizer).save_pretrained(out)


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    merged(Where(**job["where"]), device.resolve_dict(job["settings"]), Path(sys.argv[2]))
