"""Training through the local provider's worker against a plain torch + transformers + peft loop.

    python tests/benchmarks/bench_local_training.py [--pairs 5] [--steps 8] [--model FOLDER]

Both train the same layers of the same model on the same batches in the same order and precision, and the loop is a good
one: it, too, computes the output layer for trained tokens only. Pairs are interleaved, since other load on the machine
drifts. The claim: the median ratio of times is at most 1.05, and the losses are the same.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as the worker has it
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from ftspec_local import models
from ftspec_local.device import Resolved
from ftspec_local.jobs import JobFolder
from ftspec_local.options import Hyperparameters, Lora, Sft
from ftspec_local.training import Training, load_model, lora_config

DATA = Path(__file__).parents[2] / "specs" / "data" / "tickets-train.jsonl"
SYSTEM = "Route the support ticket. Reply with JSON only."
BATCH = 8


def write_rows(path: Path, count: int) -> None:
    """Rows of the quickstart's kind."""
    tickets = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    tickets = [ticket for ticket in tickets if ticket["text"].strip()][:count]
    with path.open("w", encoding="utf-8") as file:
        for ticket in tickets:
            answer = json.dumps({"category": ticket["category"], "priority": ticket["priority"]})
            texts = {"system": SYSTEM, "user": ticket["text"], "assistant": answer}
            messages = [{"role": role, "content": text} for role, text in texts.items()]
            file.write(json.dumps({"messages": messages}) + "\n")


class Clock:
    """Remembers when each optimizer step ended; both sides are timed from the first to the last."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def tick(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        return self.ends[-1] - self.ends[0]


def provider_run(
    base: Path, rows: Path, folder: Path, hyperparameters: Hyperparameters, threads: int
) -> tuple[Any, ...]:
    """The provider's own code, in this process. Returns (seconds, losses, the batches it saw)."""
    job = JobFolder(folder)
    folder.mkdir()
    training = Training(job, job.event_log(), base, hyperparameters, Sft(), Resolved("cpu", "fp32", threads))
    batches: list[Any] = []
    clock, build = Clock(), training._trainer

    def watched(*arguments: Any) -> Any:
        trainer = build(*arguments)
        collate = trainer.data_collator
        trainer.data_collator = lambda rows: batches.append(collate(rows)) or batches[-1]
        trainer.callback_handler.callbacks[-1].on_optimizer_step = clock.tick
        return trainer

    training._trainer = watched  # type: ignore[method-assign]
    training.run(rows, None)
    losses = [event["metrics"]["train_loss"] for event in job.events() if event["id"].startswith("train:")]
    return clock.seconds, losses, batches


def plain_run(
    base: Path, batches: list[Any], hyperparameters: Hyperparameters, threads: int
) -> tuple[float, list[float]]:
    """The baseline: what a person would write by hand."""
    from peft import get_peft_model

    torch.set_num_threads(threads)
    torch.manual_seed(hyperparameters.seed)
    model = load_model(base, torch.float32)
    model = get_peft_model(model, lora_config(hyperparameters.adapters, model)).train()
    body, head = model.get_base_model().model, model.get_base_model().lm_head
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=hyperparameters.learning_rate, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / len(batches))
    losses, clock = [], Clock()
    for batch in batches:
        hidden = body(batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).last_hidden_state
        counted = batch["labels"][:, 1:] != -100
        logits = head(hidden[:, :-1][counted])
        loss = torch.nn.functional.cross_entropy(logits.float(), batch["labels"][:, 1:][counted])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        clock.tick()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return clock.seconds, losses


def main() -> None:
    """Run the pairs and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    base = arguments.model or models.ensure("smollm2-135m-instruct")
    hyperparameters = Hyperparameters(
        epochs=1,
        batch_size=BATCH,
        learning_rate=1e-3,
        warmup_ratio=0.0,
        lora=Lora(rank=8, layers=15),
        checkpoint_steps=10_000,
    )
    ratios, gaps, times = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        write_rows(rows, arguments.steps * BATCH)
        for pair in range(arguments.pairs):
            ours, losses, batches = provider_run(
                base, rows, Path(folder) / str(pair), hyperparameters, arguments.threads
            )
            plain, expected = plain_run(base, batches, hyperparameters, arguments.threads)
            ratios.append(ours / plain)
            times.append((round(ours, 2), round(plain, 2)))
            gaps.append(max(abs(a - b) for a, b in zip(losses, expected, strict=True)))
    result = {"ratio": round(statistics.median(ratios), 3), "pairs": times, "largest_loss_gap": max(gaps)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
