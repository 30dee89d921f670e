"""The gate `forgetting` with the real embedded model: a model that hardly changed passes, one that was overfit fails.

    python tests/benchmarks/bench_forgetting.py [--keep FOLDER]

Both are tuned with ftspec-local from SmolLM2-135M-Instruct on the same eight rows, over the CLI: the one for a single
epoch at a rate that changes next to nothing, the other for thirty epochs at a high one. The base model is asked once.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SPEC = """\
version: 1
name: {name}
sources:
  - examples:
      rows:
{rows}
format: {{prompt_completion: {{}}}}
provider:
  local: {{}}
model: smollm2-135m-instruct
hyperparameters: {{epochs: {epochs}, batch_size: 4, learning_rate: {rate}, lora: {{rank: 8}}}}
eval:
  prompts:
    - examples: {{rows: [{{prompt: "ticket 9", completion: "queue blue"}}]}}
  graders: [exact]
  generation: {{max_tokens: 8}}
gates:
  - forgetting: {{max_drop: 0.1}}
"""
RUNS = {"hardly-tuned": (1, "1.0e-6"), "overfit": (30, "1.0e-2")}
"""Name → epochs and learning rate."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="Keep specs and state here.")
    keep = parser.parse_args().keep
    with tempfile.TemporaryDirectory(prefix="ftspec-forgetting-") as scratch:
        folder = keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print("| model | general accuracy, base | tuned | change (95% interval) | detectable | verdict | exit code |")
        print("|---|---|---|---|---|---|---|", flush=True)
        codes = {name: one(folder, name, *how) for name, how in RUNS.items()}
    sys.exit(codes != {"hardly-tuned": 0, "overfit": 4})


def one(folder: Path, name: str, epochs: int, rate: str) -> int:
    """Run one spec and print its row."""
    rows = "\n".join(f'        - {{prompt: "ticket {number}", completion: "queue blue"}}' for number in range(1, 9))
    spec = folder / f"{name}.yaml"
    spec.write_text(SPEC.format(name=name, rows=rows, epochs=epochs, rate=rate), encoding="utf-8")
    command = [sys.executable, "-m", "ftspec", "run", str(spec), "--store", str(folder / "state"), "-q"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 4):
        sys.exit(done.stdout + done.stderr)
    (report,) = (folder / "state" / "runs").glob(f"{name}-*/report/report.json")
    data: dict[str, Any] = json.loads(report.read_bytes())
    general, verdict = data["evaluation"]["suites"]["general"], data["verdicts"][0]
    compared = next(one for one in general["comparisons"] if one["metric"] == "accuracy")
    change = (
        f"{compared['difference']:+.3f} ({compared['interval']['low']:+.3f} to {compared['interval']['high']:+.3f})"
    )
    before, after = general["base"]["accuracy"], general["tuned"]["accuracy"]
    shown = [name, f"{before:.3f}", f"{after:.3f}", change, f"{compared['detectable']:.3f}", verdict["outcome"]]
    print(f"| {' | '.join(shown)} | {done.returncode} |", flush=True)
    print(f"<!-- {verdict['message']} -->", file=sys.stderr, flush=True)
    return done.returncode


if __name__ == "__main__":
    main()
