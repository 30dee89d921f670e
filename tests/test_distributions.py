"""Names and versions of installed distributions are those that importlib.metadata says."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from ftspec.common import distributions


def test_all_that_are_installed_here() -> None:
    found = list(importlib.metadata.distributions())
    assert found
    for one in found:
        assert distributions.named(one) == (one.metadata["Name"], one.metadata["Version"])
    assert distributions.version("msgspec") == importlib.metadata.version("msgspec")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("acme-1.0.dist-info/METADATA", "Metadata-Version: 2.1\r\nName: acme\r\nVersion: 1.0\r\n\r\nName: other\r\n"),
        ("acme-1.0.dist-info/METADATA", "name: acme\nversion:1.0\n\n"),
        (
            "acme.egg-info/PKG-INFO",
            "Metadata-Version: 1.0\nName: acme\nVersion: 1.0\nDescription: x\n        Name: y\n",
        ),
        (
            "acme-1.0.dist-info/METADATA",
            "Name: acme\nVersion: 1.0\nLicense: a\n        Version: 2\nName: other\n\nVersion: 3\n",
        ),
    ],
)
def test_however_they_are_written(file: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(text, newline="")
    monkeypatch.syspath_prepend(tmp_path)
    assert distributions.named(importlib.metadata.distribution("acme")) == ("acme", "1.0")


def test_one_that_is_not_there() -> None:
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        distributions.version("ftspec-nonsuch")
