"""What ftspec kept and dropped, by its own ledger, against what the generator planted.

    python tests/benchmarks/data/quality.py FOLDER STORE

`FOLDER` is what chats.py wrote, `STORE` the state folder of a run over it (one source, so a row's number is its line).
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shingles

UNLIKE = ("plain", "below", "boilerplate", "personal", "lookalike", "mojibake", "nfd", "white")
DEDUPE = ("dedupe", "near_dedupe")
BUCKETS = {"0.7 to 0.8": (0.7, 0.8), "0.8 to 0.9": (0.8, 0.9)}
THRESHOLD = 0.7
PLACEHOLDER = re.compile(r"\[(EMAIL|PHONE|CARD|IBAN|IP)(?:_\d+)?\]")


class Found(NamedTuple):
    """By line (place 0 is unused): the step that dropped it ("" for kept rows), and the row it went for, at last."""

    step: np.ndarray[Any, Any]
    keeper: np.ndarray[Any, Any]
    training: Path


def read(store: Path, count: int) -> Found:
    files = _files(store)
    with pa.memory_map(str(files["ledger.arrow"])) as source:
        entries = pa.ipc.open_file(source).read_all()
    step = np.zeros(count + 1, object)
    step[:] = ""
    keeper = np.arange(count + 1)
    lines = entries["row"].to_numpy()
    step[lines] = entries["step"].to_pylist()
    keeper[lines] = entries["because"].to_numpy()
    while (further := keeper[keeper]).tolist() != keeper.tolist():
        keeper = further
    return Found(step, keeper, files["training.jsonl"])


def _files(store: Path) -> dict[str, Path]:
    """The files of the data step, by name."""
    for step in (store / "steps").iterdir():
        files = json.loads(step.read_bytes()).get("files", {})
        if isinstance(files, dict) and "ledger.arrow" in files:
            return {name: store / "blobs" / digest for name, digest in files.items()}
    raise SystemExit(f"no data step in {store}")


class Measured:
    """Every figure, as (what, figure, what it should be)."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder = folder
        truth = pq.read_table(folder / "truth.parquet", columns=["line", "kind", "group", "of", "jaccard"])
        self.kind = np.array(["", *truth["kind"].to_pylist()], object)
        self.of = np.concatenate([[0], truth["of"].to_numpy()])
        self.group = np.concatenate([[-1], truth["group"].to_numpy()])
        self.jaccard = np.concatenate([[0.0], truth["jaccard"].to_pandas().fillna(0).to_numpy()])
        self.found = read(store, truth.num_rows)
        self.dropped = np.isin(self.found.step, DEDUPE)

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield self._recall("exact duplicates found", self.kind == "exact", "1.000")
        yield self._recall("the same after cleaning, found", self.kind == "disguised", "")
        for name, (low, high) in BUCKETS.items():
            planted = np.isin(self.kind, ("near_low", "near_high", "chain"))
            chosen = planted & (self.jaccard >= low) & (self.jaccard < high)
            yield self._recall(f"near-duplicates found, Jaccard {name}", chosen, "0.850" if low < 0.8 else "0.950")
        yield self._chains()
        yield self._unlike()
        yield from self._neighbours()
        yield from self._filters()
        yield from self._personal()

    def _recall(self, name: str, chosen: Any, wanted: str) -> tuple[str, str, str]:
        """Pairs of a row and its original that have the same keeper: one of them went because of the other's group."""
        lines = np.flatnonzero(chosen)
        same = self.found.keeper[lines] == self.found.keeper[self.of[lines]]
        return name, f"{same.mean():.3f} of {len(lines):,}", wanted and f"at least {wanted}"

    def _chains(self) -> tuple[str, str, str]:
        """Chains whose links all have one keeper."""
        members = defaultdict(set)
        for line in np.flatnonzero(self.kind == "chain"):
            members[self.group[line]] |= {self.found.keeper[line], self.found.keeper[self.of[line]]}
        whole = sum(len(keepers) == 1 for keepers in members.values())
        return "chains that became one group", f"{whole:,} of {len(members):,}", ""

    def _unlike(self) -> tuple[str, str, str]:
        unlike = np.isin(self.kind, UNLIKE) & (self.group == -1)
        gone = np.flatnonzero(unlike & self.dropped)
        return "rows of their own that were dropped as duplicates", f"{len(gone):,} of {unlike.sum():,}", "0"

    def _neighbours(self) -> Iterator[tuple[str, str, str]]:
        """For each row that near_dedupe dropped: the most similar row of its group, by sets made from the input."""
        gone = np.flatnonzero(self.found.step == "near_dedupe")
        kept = self.found.step[self.found.keeper[gone]] == ""
        yield "near-duplicates whose group has a kept row", f"{kept.sum():,} of {len(gone):,}", "all"
        groups = defaultdict(list)
        wanted = set(self.found.keeper[gone].tolist())
        for line in np.flatnonzero(np.isin(self.found.keeper, list(wanted))):
            groups[int(self.found.keeper[line])].append(int(line))
        sets = dict(self._sets({line for lines in groups.values() for line in lines}))
        most = []
        for line in gone.tolist():
            others = (other for other in groups[int(self.found.keeper[line])] if other != line)
            most.append(max(shingles.jaccard(sets[line], sets[other]) for other in others))
        far = sum(one < THRESHOLD for one in most)
        lowest = min(most, default=1)
        yield "… with a neighbour in it above 0.7, by the input's words", f"{len(most) - far:,} of {len(most):,}", "all"
        yield "… the lowest such similarity", f"{lowest:.3f}", "0.700 (before redaction, so about)"

    def _sets(self, lines: set[int]) -> Iterator[tuple[int, shingles.Shingles]]:
        truth = pq.read_table(self.folder / "truth.parquet", columns=["clean"])["clean"]
        with (self.folder / "chats.jsonl").open("rb") as file:
            for number, line in enumerate(file, 1):
                if number in lines:
                    clean = truth[number - 1].as_py()
                    texts = json.loads(clean) if clean else [one["content"] for one in json.loads(line)["messages"]]
                    yield number, shingles.of(texts)

    def _filters(self) -> Iterator[tuple[str, str, str]]:
        for kind, step in {"empty": "drop_empty", "short": "length", "long": "length"}.items():
            chosen = self.kind == kind
            right = (self.found.step[chosen] == step).sum()
            yield f"{kind} rows that {step} dropped", f"{right:,} of {chosen.sum():,}", "all"

    def _personal(self) -> Iterator[tuple[str, str, str]]:
        """Planted values that are no longer in the output; placeholders where nothing but lookalikes was planted."""
        truth = pq.read_table(self.folder / "truth.parquet", columns=["personal"])["personal"]
        kept = np.flatnonzero(self.found.step[1:] == "") + 1
        seen: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        wrong: dict[str, int] = defaultdict(int)
        with self.found.training.open(encoding="utf-8") as file:
            for line, text in zip(kept, file, strict=True):
                if self.kind[line] == "lookalike":
                    for entity in PLACEHOLDER.findall(text):
                        wrong[entity.lower()] += 1
                for entity, value in json.loads(truth[int(line) - 1].as_py() or "[]"):
                    seen[entity][0] += value not in text
                    seen[entity][1] += 1
        for entity, (gone, all_of) in sorted(seen.items()):
            right = gone / (gone + wrong[entity]) if gone else 0.0
            yield f"{entity}: recall, precision", f"{gone / all_of:.3f}, {right:.3f} of {all_of:,}", "at least 0.950"


def table(folder: Path, store: Path) -> str:
    lines = ["| what | measured | wanted |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in Measured(folder, store).rows())])


if __name__ == "__main__":
    print(table(Path(sys.argv[1]), Path(sys.argv[2])))
