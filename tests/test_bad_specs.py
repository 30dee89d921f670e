"""Every bad spec says exactly what is wrong with it. FTSPEC_UPDATE_GOLDEN=1 writes the golden files anew: read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ftspec import problems, registry
from ftspec.common.errors import SpecError
from ftspec.registry import Registry
from ftspec.validation import validate

FOLDER = Path(__file__).with_name("bad_specs")
SPECS = sorted(path.name for path in FOLDER.glob("*.yaml"))
SECRET = "s3cr3t-v4lue"
LEAKS = ("Traceback", "jsonschema", "msgspec", "is not valid under", "does not match", "Expected `", "<class", SECRET)


@pytest.fixture
def builtin(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.chdir(FOLDER)
    monkeypatch.setenv("FTSPEC_DISABLE_PLUGINS", "all")
    monkeypatch.setenv("FTSPEC_TEST_NUMBER", "3")
    monkeypatch.setenv("FTSPEC_TEST_SECRET", SECRET)
    for name in ("FTSPEC_NO_SUCH", "FTSPEC_NEITHER"):
        monkeypatch.delenv(name, raising=False)
    return registry.load()


def say(name: str, builtin: Registry) -> str:
    file = Path(name)
    lines = file.read_bytes().decode("utf-8", "replace").splitlines()
    overrides = [line.removeprefix("# --set ") for line in lines if line.startswith("# --set ")]
    with pytest.raises(SpecError) as raised:
        validate.load_spec(file, builtin, overrides)
    assert all(problem.hint and problem.file for problem in raised.value.problems)
    return problems.render(raised.value.problems, raised.value.document) + "\n"


@pytest.mark.parametrize("name", SPECS)
def test_it_says_all_that_is_wrong(name: str, builtin: Registry) -> None:
    said = say(name, builtin)
    golden = FOLDER / name.replace(".yaml", ".txt")
    if os.environ.get("FTSPEC_UPDATE_GOLDEN"):
        golden.write_text(said, encoding="utf-8")
    assert said == golden.read_text(encoding="utf-8")
    assert not [leak for leak in LEAKS if leak in said]


def test_there_are_at_least_forty() -> None:
    assert len(SPECS) >= 40
    assert {path.stem for path in FOLDER.glob("*.txt")} == {Path(name).stem for name in SPECS}
