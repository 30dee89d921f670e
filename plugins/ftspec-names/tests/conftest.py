"""Two small pipelines for all tests: one that is trained, which takes some seconds, and one of rules."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import spacy
import trained


@pytest.fixture(scope="session")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline") / "people"
    trained.train(folder)
    return folder


@pytest.fixture(scope="session")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline that knows two people and a town, for what does not depend on how well names are found."""
    folder = tmp_path_factory.mktemp("ruled") / "people"
    nlp: Any = spacy.blank("en")
    known = {"Anna Schmidt": "PERSON", "Robert Miller": "PER", "Springfield": "GPE"}
    nlp.add_pipe("entity_ruler").add_patterns([{"label": label, "pattern": name} for name, label in known.items()])
    nlp.to_disk(folder)
    return folder
