"""`engine: ray` over three machines (namespaces of this one) that share nothing but what is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import machines
import pytest
from machines import CACHE, ENVIRONMENT, PORT, TOKEN, Machine
from test_ray import SPEC, write_rows

pytestmark = pytest.mark.slow
ENGINE = f"{{ray: {{address: '{machines.NET}.1:{PORT}'}}}}"
SCRIPT = "def clean(row):\n    row['prompt'] = row['prompt'].upper()\n    return row\n"


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A folder that all machines see at one path, as on a network file system."""
    made = Path(tempfile.mkdtemp(prefix="shared-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def temporary() -> Iterator[str]:
    """Ray's folder on each machine."""
    made = tempfile.mkdtemp(prefix="ray-")  # short: sockets in it have long names
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster(shared: Path, temporary: str) -> Iterator[list[Machine]]:
    if reason := machines.missing():
        pytest.skip(reason)
    with machines.machines(3, temporary, [shared]) as made:
        yield made


def spec_of(folder: Path, name: str, engine: str, step: str = "") -> Path:
    text = SPEC.replace("ENGINE", engine)
    spec = folder / f"{name}.yaml"
    spec.write_text(text.replace("cleaning:\n", f"cleaning:\n  - {step}\n") if step else text)
    return spec


def command(spec: Path) -> list[str]:
    return [sys.executable, "-m", "ftspec", "run", str(spec), "-q", "--store", str(spec.with_suffix(""))]


def made(spec: Path) -> dict[str, str]:
    """The data step's files by name, as the store knows their content."""
    steps = (spec.with_suffix("") / "steps").iterdir()
    (found,) = [one for path in steps if "files" in (one := json.loads(path.read_bytes()))]
    files: dict[str, str] = found["files"]
    return files


def locally(folder: Path, step: str = "") -> dict[str, str]:
    spec = spec_of(folder, "here", "threads", step)
    subprocess.run(command(spec), check=True, env={**os.environ, "FTSPEC_ALLOW_PYTHON": "1"})
    return made(spec)


def test_machines_that_share_nothing_make_the_bytes_of_one(
    cluster: list[Machine], tmp_path: Path, temporary: str
) -> None:
    """Sources and state are the driver's alone; what workers keep in a cache lies in that of their machine."""
    assert not any(machine.run("ls", str(tmp_path)).returncode == 0 for machine in cluster[1:])
    write_rows(tmp_path, 3000, accented=True)
    spec = spec_of(tmp_path, "there", ENGINE)
    ran = cluster[0].run(*command(spec), environment={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert ran.returncode == 0, ran.stderr
    here = locally(tmp_path)
    assert len(here) > 3 and made(spec) == here
    kept = [
        machine.run("find", f"{temporary}/{CACHE}", "-type", "f", "-path", "*/unicode/*").stdout for machine in cluster
    ]
    assert any(kept), "some worker has met a letter that is not ASCII"
    assert not list((tmp_path / "cache").rglob("unicode/*"))


def test_a_file_that_a_step_names_has_to_be_on_every_machine(
    cluster: list[Machine], tmp_path: Path, shared: Path
) -> None:
    write_rows(tmp_path, 300)
    for folder in (tmp_path, shared):
        (folder / "steps.py").write_text(SCRIPT)
    allowed = {"FTSPEC_ALLOW_PYTHON": "1"}
    spec = spec_of(tmp_path, "there", ENGINE, f"python: {{file: {tmp_path}/steps.py}}")
    ran = cluster[0].run(*command(spec), environment=allowed)
    assert ran.returncode == 1 and f"{tmp_path}/steps.py" in ran.stderr, ran.stderr
    assert "on every machine of the cluster" in ran.stderr and "Traceback" not in ran.stderr, ran.stderr
    step = f"python: {{file: {shared}/steps.py}}"
    spec = spec_of(tmp_path, "shared", ENGINE, step)
    ran = cluster[0].run(*command(spec), environment=allowed)
    assert ran.returncode == 0, ran.stderr
    assert made(spec) == locally(tmp_path, step)


def test_who_has_not_the_clusters_token_is_told(cluster: list[Machine], tmp_path: Path) -> None:
    write_rows(tmp_path, 10)
    spec = spec_of(tmp_path, "there", ENGINE)
    for wrong in ({"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": TOKEN[::-1]}):
        ran = cluster[0].run(*command(spec), environment=wrong)
        assert ran.returncode == 1 and "RAY_AUTH_TOKEN" in ran.stderr and "Traceback" not in ran.stderr, ran.stderr
        assert TOKEN not in ran.stderr and TOKEN[::-1] not in ran.stderr


def test_a_machine_that_dies_loses_no_row(cluster: list[Machine], tmp_path: Path) -> None:
    """The last test: it leaves two machines."""
    write_rows(tmp_path, 40_000)
    here = locally(tmp_path)
    spec = spec_of(tmp_path, "there", ENGINE)
    running = subprocess.Popen(
        cluster[0].command(command(spec)), env={**os.environ, **ENVIRONMENT}, stderr=subprocess.PIPE, text=True
    )
    scratch = spec.with_suffix("") / "machine/scratch"
    while running.poll() is None and not [file for file in scratch.rglob("*") if file.is_file() and _size(file)]:
        time.sleep(0.01)
    assert running.poll() is None, "it was over before rows had come back"
    cluster[2].kill()
    _, said = running.communicate(timeout=600)
    assert running.returncode == 0, said
    assert made(spec) == here


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
