"""The near-duplicates, personal data and disguises that the benchmarks' generator plants, at a size for CI."""

from __future__ import annotations

import json
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

from ftspec.cli import guard

BENCHMARKS = Path(__file__).parent / "benchmarks" / "data"
ROWS = 3000


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What quality.py measures of a run over so many rows, all of them in Python's own documentation's words."""
    folder = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import chats
        import quality

        (folder / "prose.json").write_text(json.dumps({"en manual": "\n".join(topics.values())}))
        source = chats.write(ROWS, folder, processes=1)
        spec = (BENCHMARKS / "spec.yaml").read_text().replace("PATH", str(source))
        (folder / "spec.yaml").write_text(spec.replace("seconds_per_step: 0", "seconds_per_step: 0, idle: 5"))
        assert guard.run(["run", str(folder / "spec.yaml"), "-q", "--store", str(folder / "state")]) == 0
        return {what: figure for what, figure, _ in quality.Measured(folder, folder / "state").rows()}


def share(figure: str) -> float:
    """ "0.975 of 90" → 0.975; "89 of 90" → 0.989."""
    found, _, total = figure.replace(",", "").partition(" of ")
    return float(found) if "." in found else int(found) / int(total)


def test_exact_duplicates_are_found(planted: dict[str, str]) -> None:
    assert share(planted["exact duplicates found"]) == 1
    assert share(planted["the same after cleaning, found"]) > 0.95


def test_near_duplicates_are_found(planted: dict[str, str]) -> None:
    assert share(planted["near-duplicates found, Jaccard 0.8 to 0.9"]) >= 0.95
    assert share(planted["near-duplicates found, Jaccard 0.7 to 0.8"]) >= 0.85
    assert share(planted["chains that became one group"]) >= 0.85


def test_nothing_else_is_dropped(planted: dict[str, str]) -> None:
    assert planted["rows of their own that were dropped as duplicates"].startswith("0 of")
    assert share(planted["near-duplicates whose group has a kept row"]) == 1
    assert share(planted["… with a neighbour in it above 0.7, by the input's words"]) > 0.99


def test_filters_drop_what_was_planted_for_them(planted: dict[str, str]) -> None:
    names = ("empty rows that drop_empty dropped", "short rows that length dropped", "long rows that length dropped")
    assert [share(planted[name]) for name in names] == [1, 1, 1]


@pytest.mark.parametrize("entity", ["email", "phone", "card", "iban", "ip"])
def test_personal_data_is_redacted(planted: dict[str, str], entity: str) -> None:
    recall, precision = (float(one) for one in planted[f"{entity}: recall, precision"].split(" of ")[0].split(", "))
    assert recall >= 0.95
    assert precision >= 0.9  # few rows look like it here: one mistake weighs two hundredths


def test_the_same_seed_makes_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import chats

    def written(name: str, **how: Any) -> bytes:
        (tmp_path / name).mkdir()
        (tmp_path / name / "prose.json").write_text(json.dumps({"en manual": topics["assignment"] * 3}))
        return chats.write(400, tmp_path / name, **how).read_bytes()

    assert written("a", processes=1) == written("b", processes=2) != written("c", seed=2)
