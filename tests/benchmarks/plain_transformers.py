"""Does an exported model say what ftspec said? Asked with transformers alone: nothing of ftspec is imported here.

    ftspec run specs/quickstart.yaml --set eval.generation.temperature=0 --set 'gates[1]={accuracy: {min: 0}}'
    ftspec model export --as merged --out /tmp/merged
    python tests/benchmarks/plain_transformers.py /tmp/merged REPORT.json [--most 210]

REPORT.json is the greedy run's; every prompt in it is answered greedily by the exported folder's model, one at a time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("report", type=Path)
    parser.add_argument("--most", type=int, default=10**9)
    options = parser.parse_args()
    report = json.loads(options.report.read_text(encoding="utf-8"))
    assert report["generation"].get("temperature", 0) == 0, "not a greedy run"
    tokenizer = AutoTokenizer.from_pretrained(options.folder)
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32).eval()
    cases = report["cases"][: options.most]
    same = 0
    for case in cases:
        answer = greedy(tokenizer, model, case["messages"], report["generation"]["max_tokens"])
        if answer == case["tuned"][0]["text"]:
            same += 1
        else:
            print(f"{case['messages'][-1]['content']!r}: ftspec {case['tuned'][0]['text']!r}, transformers {answer!r}")
    print(f"{same} of {len(cases)} answers are the same")


def greedy(tokenizer: AutoTokenizer, model: AutoModelForCausalLM, messages: list[dict[str, str]], most: int) -> str:
    """What plain transformers answers."""
    rendered = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        made = model.generate(**rendered, max_new_tokens=most, do_sample=False)
    return tokenizer.decode(made[0, rendered["input_ids"].shape[1] :], skip_special_tokens=True)


if __name__ == "__main__":
    main()
