"""Chat rows of real prose with planted truth: any number of them, the same for the same seed and the same prose.

    python tests/benchmarks/data/chats.py --rows 1000000 --out FOLDER [--seed 1] [--processes 2]

writes `FOLDER/chats.jsonl` (about 700 bytes a row) and `FOLDER/truth.parquet` beside it, a row per line:

| column | |
|---|---|
| `line` | number of the line in chats.jsonl, from 1 |
| `kind` | what was planted, see `SHARES`; `plain`: nothing |
| `group` | rows with the same number come from one original by edits (-1: of no group) |
| `of` | the line of the row that this one was made from (0: of none) |
| `jaccard` | of the two rows, by shingles.py; 1 for copies, null without `of` |
| `personal` | JSON list of [entity, value] that were planted |
| `clean` | JSON list of the texts before a disguise (mojibake, NFD, white space); null where the row has none |

Rows are phrases cut from prose at random, so that any two share little unless it was planted. They are made in blocks
that depend on nothing but seed and number; so any number of processes writes the same bytes. Most relatives stand in
one block; `FAR` rows of each block descend from rows of the first one, however long the file is.
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import time
import unicodedata
from array import array
from bisect import bisect
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import personal
import prose
import shingles

BLOCK = 20_000
SHARES = {
    "exact": 0.06,  # byte for byte the same row again
    "disguised": 0.02,  # the same after cleaning: white space, NFD or mojibake is all that differs
    "near_high": 0.03,  # Jaccard 0.8 to 0.9
    "near_low": 0.03,  # Jaccard 0.7 to 0.8
    "chain": 0.01,  # each link near the one before it, the ends too far apart
    "below": 0.03,  # Jaccard 0.3 to 0.55: must be kept
    "boilerplate": 0.03,  # unique but for a paragraph that many have: must be kept
    "personal": 0.08,
    "lookalike": 0.03,
    "mojibake": 0.015,
    "nfd": 0.01,
    "white": 0.03,
    "empty": 0.007,
    "short": 0.005,
    "long": 0.001,
}
FAR = 40
"""Rows of each later block that descend from one of the first block."""
ANCESTORS = 0.1
"""Share of the first block that they descend from."""
LINKS = 4
LANGUAGES = {"en manual": 26, "en reference": 40, "en licences": 6, "de": 12, "fr": 10, "ja": 4, "zh": 2}
SYSTEMS = (
    "You are a helpful assistant.", "Answer briefly.", "You explain technical texts to beginners, in their language.",
    "You are the help desk of a software company. Be polite, ask when something is unclear, and never guess.",
)  # fmt: skip


class Words:
    """Prose to cut from. Its units are words, or characters where no spaces part words (`joint` is empty)."""

    def __init__(self, text: str, joint: str) -> None:
        whole = text.split()
        self.text, self.joint = joint.join(whole), joint
        self.starts = array("I", [0])
        if joint:
            self.starts.extend(accumulate(len(word) + 1 for word in whole))
        else:
            self.starts.extend(range(1, len(self.text) + 1))

    def phrase(self, random: Callable[[], float], least: int, most: int) -> str:
        """From `least` to below `most` units, from anywhere."""
        length = least + int(random() * (most - least))
        start = int(random() * (len(self.starts) - 1 - length))
        return self.text[self.starts[start] : self.starts[start + length] - len(self.joint)]

    def split(self, text: str) -> list[str]:
        return text.split(" ") if self.joint else list(text)


class Row(NamedTuple):
    """A conversation: an optional system prompt, question and answer."""

    system: str
    question: str
    answer: str
    words: Words

    def texts(self) -> list[str]:
        return [self.system, self.question, self.answer] if self.system else [self.question, self.answer]


class Made(NamedTuple):
    texts: list[str]
    kind: str
    group: int = -1
    of: int = -1
    """Place in the block of the row that it was made from."""
    jaccard: float | None = None
    personal: list[tuple[str, str]] = []
    clean: list[str] | None = None
    far: int = 0
    """Line of the ancestor in the first block."""


@lru_cache(maxsize=2)
def words_of(folder: Path) -> tuple[list[Words], list[float]]:
    """The prose by language and its weights."""
    gathered: dict[str, str] = {}
    for name, text in sorted(prose.load(folder).items()):
        key = name if name in LANGUAGES else name.partition(" ")[0]
        gathered[key] = f"{gathered.get(key, '')}\n{text}"
    made = []
    for name, text in gathered.items():
        made.append(Words(text, "" if name[:2] in prose.UNSPACED else " "))
    return made, [float(LANGUAGES[name]) for name in gathered]


class Block:
    """One block of rows: `make` gives them in the file's order."""

    def __init__(self, seed: int, number: int, count: int, folder: Path) -> None:
        self.seed, self.number, self.count = seed, number, count
        self.draw = Random(f"{seed} {number}")
        self.languages, weights = words_of(folder)
        self.weights = [sum(weights[: at + 1]) for at in range(len(weights))]
        self.paragraphs = [self.pick().phrase(self.draw.random, 25, 40) for _ in range(max(2, count // 200))]

    def make(self) -> list[Made]:
        planted = self.plant()
        order = list(range(len(planted)))
        self.draw.shuffle(order)
        if self.number == 0:  # ancestors stand where later blocks find them without making this one
            order = self.at_fixed_places(planted, order)
        place = {old: new for new, old in enumerate(order)}
        first = self.number * BLOCK + 1
        return [
            one._replace(of=first + place[one.of] if one.of >= 0 else one.far) for one in (planted[at] for at in order)
        ]

    def at_fixed_places(self, planted: list[Made], order: list[int]) -> list[int]:
        """Ancestor j to place `ancestor_line(j) - 1`; the others keep their order around them."""
        fixed = {place_of(j, self.count): j for j in range(ancestors_of(self.count))}
        others = (at for at in order if at >= len(fixed))
        return [fixed[place] if place in fixed else next(others) for place in range(len(planted))]

    def plant(self) -> list[Made]:
        base: list[Row] = []
        made: list[Made] = []
        if self.number == 0:
            base = [self.ancestor(j) for j in range(ancestors_of(self.count))]
            made = [Made(row.texts(), "plain", group=j) for j, row in enumerate(base)]
        else:
            made = [self.descendant(j) for j in range(min(FAR, self.count))]
            base = [self.row() for _ in made]  # fills the places; nothing is made from them
        quotas = {kind: round(share * self.count) for kind, share in SHARES.items()}
        relatives = sum(quotas[kind] for kind in ("exact", "disguised", "near_high", "near_low", "chain", "below"))
        alone = sum(quotas.values()) - relatives
        plain = max(self.count - len(made) - relatives - alone, 0)
        start = len(made)
        for _ in range(plain):
            base.append(self.row())
            made.append(Made(base[-1].texts(), "plain"))
        originals = list(range(start, start + plain))
        self.draw.shuffle(originals)
        unused = iter(originals)
        for kind in ("exact", "disguised", "near_high", "near_low", "below"):
            for _ in range(quotas[kind]):
                self.relative(kind, next(unused), base, made)
        for _ in range(quotas["chain"] // LINKS):
            self.chain(next(unused), base, made)
        for kind in ("boilerplate", "personal", "lookalike", "mojibake", "nfd", "white", "empty", "short", "long"):
            for _ in range(quotas[kind]):
                base.append(self.row())
                made.append(self.alone(kind, base[-1]))
        while len(made) < self.count:
            made.append(Made(self.row().texts(), "plain"))
        return made[: self.count]

    def relative(self, kind: str, of: int, base: list[Row], made: list[Made]) -> None:
        """One more row from an original, which is given a group."""
        row, group, how_near = base[of], self.group(of), 1.0
        made[of] = made[of]._replace(group=group)
        clean, texts = None, row.texts()
        if kind == "disguised":
            clean, texts = texts, self.disguised(texts)
        elif kind != "exact":
            bounds = {"near_high": (0.81, 0.89), "near_low": (0.715, 0.795), "below": (0.3, 0.55)}[kind]
            row, how_near = self.edited(row, *bounds)
            texts = row.texts()
            group = group if kind != "below" else -1
            if kind == "below":
                made[of] = made[of]._replace(group=-1)
        base.append(row)
        made.append(Made(texts, kind, group, of, how_near, clean=clean))

    def chain(self, of: int, base: list[Row], made: list[Made]) -> None:
        group = self.group(of)
        made[of] = made[of]._replace(group=group)
        for _ in range(LINKS):
            row, how_near = self.edited(base[of], 0.81, 0.86)
            base.append(row)
            made.append(Made(row.texts(), "chain", group, of, how_near))
            of = len(made) - 1

    def group(self, place: int) -> int:
        return self.number * BLOCK + place

    def ancestor(self, j: int) -> Row:
        kept, self.draw = self.draw, Random(f"{self.seed} ancestor {j}")
        row = self.row()
        self.draw = kept
        return row

    def descendant(self, at: int) -> Made:
        """A copy, or a row near to, one of the first block's ancestors. `count` of that block is always BLOCK here."""
        j = self.draw.randrange(ancestors_of(BLOCK))
        row, kind, how_near = self.ancestor(j), "exact", 1.0
        if at % 2:
            kind = "near_high"
            row, how_near = self.edited(row, 0.81, 0.89)
        return Made(row.texts(), kind, j, -1, how_near, far=place_of(j, BLOCK) + 1)

    def alone(self, kind: str, row: Row) -> Made:
        """A row with something in it, and no relatives."""
        draw, texts = self.draw, row.texts()
        if kind == "boilerplate":
            paragraph = draw.choice(self.paragraphs)
            return Made([*texts[:-1], f"{texts[-1]}\n\n{paragraph}"], kind)
        if kind == "lookalike":
            return Made(self.within(texts, personal.lookalike(draw)), kind)
        if kind == "personal":
            found = []
            for _ in range(1 + (draw.random() < 0.3)):
                entity = draw.choice(list(personal.KINDS))
                found.append((entity, personal.KINDS[entity](draw)))
                texts = self.within(texts, personal.SENTENCES[entity].format(found[-1][1]))
            return Made(texts, kind, personal=found)
        if kind == "empty":
            return Made([*texts[:-1], draw.choice(["", " ", "\n\n", "\u00a0 "])], kind)
        if kind == "short":
            return Made(["Hi", "Hello"], kind)
        if kind == "long":
            parts = [row.words.phrase(draw.random, 300, 600) for _ in range(8 if row.words.joint else 40)]
            return Made([*texts[:-1], "\n".join(parts)], kind)
        if kind != "white":
            texts = [f"{text} — “café Zoë”" for text in texts]  # so that there is something to break
        disguise = {"mojibake": mojibake, "nfd": nfd, "white": white}[kind]
        return Made([disguise(text, draw) for text in texts], kind, clean=texts)

    def disguised(self, texts: list[str]) -> list[str]:
        """What differs shows in no text of ASCII but as white space."""
        disguise = white if all(map(str.isascii, texts)) else self.draw.choice([mojibake, nfd, white])
        return [disguise(text, self.draw) for text in texts]

    def within(self, texts: list[str], sentence: str) -> list[str]:
        """The sentence at the end of the question or in front of the answer."""
        if self.draw.random() < 0.5:
            return [*texts[:-2], f"{texts[-2]} {sentence}", texts[-1]]
        return [*texts[:-1], f"{sentence} {texts[-1]}"]

    def pick(self) -> Words:
        return self.languages[bisect(self.weights, self.draw.random() * self.weights[-1])]

    def row(self) -> Row:
        words, random = self.pick(), self.draw.random
        factor = 1 if words.joint else 4
        question = words.joint.join(
            [words.phrase(random, 5 * factor, 12 * factor) for _ in range(2 + int(random() * 3))]
        )
        answer = words.joint.join([words.phrase(random, 6 * factor, 15 * factor) for _ in range(4 + int(random() * 6))])
        system = SYSTEMS[int(random() * len(SYSTEMS))] if random() < 0.2 else ""
        return Row(system, question, answer, words)

    def edited(self, row: Row, low: float, high: float) -> tuple[Row, float]:
        """The row with units replaced until its Jaccard with the original lies between the bounds."""
        goal = low + (high - low) * self.draw.random()
        original = shingles.of(row.texts())
        total = len(original)
        scattered = self.draw.random() < 0.7
        changes = total * (1 - goal) / (1 + goal) / (5 if scattered else 1)
        best, nearest = row, 1.0
        for _ in range(12):
            made = self.replaced(row, max(1, round(changes)), scattered)
            near = shingles.jaccard(original, shingles.of(made.texts()))
            if abs(near - goal) < abs(nearest - goal):
                best, nearest = made, near
            if low <= near <= high:
                break
            changes *= (1 - goal) / (1 + goal) * (1 + near) / max(1 - near, 0.01)
        return best, nearest

    def replaced(self, row: Row, changes: int, scattered: bool) -> Row:
        random, words = self.draw.random, row.words
        question, answer = words.split(row.question), words.split(row.answer)
        if not scattered and changes < len(answer):
            start = int(random() * (len(answer) - changes))
            answer[start : start + changes] = words.split(words.phrase(random, changes, changes + 1))
            return row._replace(answer=words.joint.join(answer))
        total = len(question) + len(answer)
        for at in self.draw.sample(range(2, total - 2), min(changes, total - 4)):
            unit = words.phrase(random, 1, 2)
            if at < len(question):
                question[at] = unit
            else:
                answer[at - len(question)] = unit
        return row._replace(question=words.joint.join(question), answer=words.joint.join(answer))


def mojibake(text: str, draw: Random) -> str:
    """UTF-8 that was read as Latin-1 or as Windows-1252."""
    try:
        return text.encode().decode(draw.choice(["latin-1", "windows-1252"]))
    except UnicodeDecodeError:  # Windows-1252 has no character for five of the bytes
        return text.encode().decode("latin-1")


def nfd(text: str, draw: Random) -> str:
    return unicodedata.normalize("NFD", text)


def white(text: str, draw: Random) -> str:
    return "  " + text.replace(" ", "  ", draw.randrange(1, 4)) + "\u00a0\t \n"


def ancestors_of(count: int) -> int:
    return int(count * ANCESTORS)


def place_of(ancestor: int, count: int) -> int:
    """Where in the first block an ancestor stands, from 0."""
    return ancestor * (count // max(ancestors_of(count), 1))


def as_message(texts: list[str]) -> dict[str, Any]:
    roles = ("system", "user", "assistant")[3 - len(texts) :]
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]}


def write_block(number: int, *, seed: int, rows: int, folder: Path) -> Path:
    """One block's lines and truth, beside each other under the folder's `blocks`."""
    import msgspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    gc.disable()  # nothing here makes cycles, and collecting over all rows would take a third of the time
    made = Block(seed, number, min(BLOCK, rows - number * BLOCK), folder).make()
    base = folder / "blocks" / f"{number:06d}"
    encode = msgspec.json.Encoder().encode
    base.with_suffix(".jsonl").write_bytes(b"\n".join([encode(as_message(one.texts)) for one in made]) + b"\n")
    columns = {
        "line": pa.array(range(number * BLOCK + 1, number * BLOCK + 1 + len(made)), pa.int64()),
        "kind": pa.array([one.kind for one in made]).dictionary_encode(),
        "group": pa.array([one.group for one in made], pa.int64()),
        "of": pa.array([one.of for one in made], pa.int64()),
        "jaccard": pa.array([one.jaccard for one in made], pa.float64()),
        "personal": pa.array([json.dumps(one.personal) if one.personal else None for one in made], pa.string()),
        "clean": pa.array([json.dumps(one.clean) if one.clean else None for one in made], pa.string()),
    }
    pq.write_table(pa.table(columns), base.with_suffix(".parquet"))
    return base


def write(rows: int, folder: Path, seed: int = 1, processes: int = 2) -> Path:
    """`chats.jsonl` and `truth.parquet` of so many rows; what is there already is made again only for another order."""
    import pyarrow.parquet as pq

    order = folder / "order.json"
    wanted = json.dumps({"rows": rows, "seed": seed})
    if order.exists() and order.read_text() == wanted:
        return folder / "chats.jsonl"
    words_of(folder)
    shutil.rmtree(folder / "blocks", ignore_errors=True)
    (folder / "blocks").mkdir()
    job: Callable[[int], Path] = partial(write_block, seed=seed, rows=rows, folder=folder)
    truth = None
    with (folder / "chats.jsonl").open("wb") as lines, ProcessPoolExecutor(processes) as pool:
        for base in pool.map(job, range(-(-rows // BLOCK))):
            with base.with_suffix(".jsonl").open("rb") as part:
                shutil.copyfileobj(part, lines, 1 << 20)
            table = pq.read_table(base.with_suffix(".parquet"))
            truth = truth or pq.ParquetWriter(folder / "truth.parquet", table.schema)
            truth.write_table(table)
            for file in (base.with_suffix(".jsonl"), base.with_suffix(".parquet")):
                file.unlink()
    if truth:
        truth.close()
    order.write_text(wanted)
    return folder / "chats.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    started = time.monotonic()
    file = write(chosen.rows, chosen.out, chosen.seed, chosen.processes)
    print(f"{file}: {file.stat().st_size / 1e6:,.0f} MB in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
