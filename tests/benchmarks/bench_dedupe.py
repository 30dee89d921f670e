"""Near-duplicates: recall by similarity, precision and CPU, beside datasketch.

    python tests/benchmarks/bench_dedupe.py --rows 100000 [--peer-rows 10000] [--seed 1]

Rows are made of a made-up vocabulary with the frequencies of prose (Zipf), some of them relatives of an earlier row at
a similarity that is computed by hand here. CPU is of this process, one thread. datasketch gets the same words, the same
shingles, as many permutations and the same bands; it verifies nothing, so its precision is that of its candidates.
"""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
from datasketch import MinHash, MinHashLSH

from ftspec import rows
from ftspec.builtin.near.duplicates import Near

THRESHOLD, SIZE, BATCH = 0.7, 5, 8192


def made(count: int, seed: int) -> tuple[list[str], list[tuple[int, int, float]]]:
    """Texts of about 700 bytes, and (row, relative, similarity) of the planted pairs."""
    draw = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    vocabulary = ["".join(draw.choices(letters, k=draw.randint(2, 9))) for _ in range(30_000)]
    weights = [1 / rank for rank in range(10, 30_010)]
    texts: list[str] = []
    pairs: list[tuple[int, int, float]] = []
    while len(texts) < count:
        if texts and draw.random() < 0.1:
            at = draw.randrange(len(texts))
            words = texts[at].split()
            for place in draw.sample(range(len(words)), draw.randint(1, 8)):
                words[place] = draw.choice(vocabulary)
            pairs.append((len(texts), at, similarity(texts[at], " ".join(words))))
            texts.append(" ".join(words))
        else:
            texts.append(" ".join(draw.choices(vocabulary, weights, k=draw.randint(60, 160))))
    return texts, pairs


def shingles(text: str) -> set[str]:
    words = text.split()
    return {" ".join(words[at : at + SIZE]) for at in range(max(1, len(words) - SIZE + 1))}


def similarity(one: str, other: str) -> float:
    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def ours(texts: list[str]) -> dict[int, int]:
    """Row → the first row of its group, for every row that is dropped."""
    near = Near(THRESHOLD, SIZE)
    numbers = rows.integers(range(len(texts)))
    whole = pa.RecordBatch.from_arrays([rows.strings(texts), numbers], names=["text", rows.ROW])
    batches = [whole.slice(start, BATCH) for start in range(0, len(texts), BATCH)]
    times = [time.process_time()]
    keys = pa.concat_arrays([near.keys(batch) for batch in batches])
    times.append(time.process_time())
    wanted = near.wanted(keys, numbers)
    times.append(time.process_time())
    again = [batch.filter(pc.is_in(batch.column(rows.ROW), value_set=wanted)) for batch in batches]
    details = pa.concat_arrays([near.details(batch) for batch in again])
    times.append(time.process_time())
    looked = pa.concat_arrays([batch.column(rows.ROW) for batch in again])
    dropped = near.reduce(keys, numbers, looked, details)
    times.append(time.process_time())
    parts = [1e6 * (end - start) / len(texts) for start, end in itertools.pairwise(times)]
    names = ("keys", "candidates", "sets", "groups")
    told = ", ".join(f"{name} {part:.2f}" for name, part in zip(names, parts, strict=True))
    print(f"ftspec      {sum(parts):8.2f} µs CPU a row ({told}); {len(wanted):,} rows looked at again")
    return dict(zip(dropped.rows.to_pylist(), dropped.because.to_pylist(), strict=True))


def peer(texts: list[str]) -> None:
    cut = Near(THRESHOLD, SIZE).bands
    started = time.process_time()
    index = MinHashLSH(num_perm=cut.permutations, params=(cut.number, cut.rows))
    for at, text in enumerate(texts):
        sketch = MinHash(num_perm=cut.permutations)
        sketch.update_batch([each.encode() for each in shingles(text)])
        index.query(sketch)
        index.insert(at, sketch)
    print(f"datasketch  {1e6 * (time.process_time() - started) / len(texts):8.2f} µs CPU a row, of {len(texts):,}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--peer-rows", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    texts, pairs = made(given.rows, given.seed)
    print(f"{len(texts):,} rows, {sum(map(len, texts)) / len(texts):.0f} bytes each, seed {given.seed}")
    kept = ours(texts)
    peer(texts[: given.peer_rows])
    planted, found = Counter[float](), Counter[float]()
    for row, relative, alike in pairs:
        bucket = int(alike * 20 + 1e-9) / 20
        planted[bucket] += 1
        found[bucket] += kept.get(row, row) == kept.get(relative, relative)
    for bucket in sorted(planted):
        print(
            f"similarity {bucket:.2f}: {found[bucket] / planted[bucket]:.4f} of {planted[bucket]:,} pairs in one group"
        )
    near = {row for row, _, alike in pairs if alike >= THRESHOLD} | {
        row for _, row, alike in pairs if alike >= THRESHOLD
    }
    print(f"precision: {sum(row in near for row in kept)} of {len(kept)} dropped rows have a planted neighbour")


if __name__ == "__main__":
    main()
