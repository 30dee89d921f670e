"""What is imported when, what authors may import, and which room may import from which."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ftspec import api

ROOT = Path(__file__).parents[1]
HEAVY = {
    "accelerate", "datasets", "gguf", "httpx", "jinja2", "llvmlite", "nltk", "numba", "numpy", "obstore", "openai",
    "pandas", "peft", "pyarrow", "pydantic", "rapidfuzz", "requests", "rich", "rouge_score", "sacrebleu", "safetensors",
    "sentence_transformers", "sklearn", "tokenizers", "torch", "transformers", "trl", "zstandard",
}  # fmt: skip
LIST_MODULES = """
import json, sys
sys.argv = ["ftspec", *{arguments!r}]
from ftspec.__main__ import main
code = 0
try:
    main()
except SystemExit as error:
    code = error.code
print("\\n" + json.dumps([code, sorted(sys.modules)]))
"""

API = {
    "Again",
    "Ambiguous",
    "Answer",
    "Asks",
    "BatchStep",
    "Check",
    "Checkpoint",
    "Chunk",
    "Clash",
    "Closer",
    "Column",
    "Comparison",
    "Component",
    "DataError",
    "DataFile",
    "Deployment",
    "Dropped",
    "Engine",
    "Estimate",
    "Evaluation",
    "Event",
    "Example",
    "Finding",
    "Format",
    "FtspecError",
    "Gate",
    "Generation",
    "GlobalStep",
    "Grade",
    "Grader",
    "InputFile",
    "Interval",
    "Job",
    "JobFailed",
    "JobState",
    "JobUpdate",
    "Judge",
    "Label",
    "Labelled",
    "Limits",
    "Measured",
    "Message",
    "Method",
    "Model",
    "ModelRef",
    "Needs",
    "Path",
    "Plain",
    "Plan",
    "Problem",
    "Prompt",
    "Provider",
    "ProviderError",
    "ProviderRef",
    "Question",
    "RateLimits",
    "Reference",
    "NotFound",
    "Rejected",
    "RemoteFile",
    "RemoteModel",
    "RemoteObject",
    "Request",
    "RowStep",
    "RunInfo",
    "Score",
    "Screen",
    "Secret",
    "Size",
    "Source",
    "SpecFinding",
    "Step",
    "SupportsAdoption",
    "SupportsCheckpoints",
    "SupportsCleanup",
    "SupportsDeployment",
    "SupportsExport",
    "SupportsLeastRows",
    "SupportsLimits",
    "SupportsLook",
    "SupportsPause",
    "SupportsReduce",
    "SupportsShuffle",
    "SupportsRender",
    "SupportsStop",
    "SupportsTokenizer",
    "Text",
    "Token",
    "Tokenizer",
    "TrainingEvent",
    "Transient",
    "TunedModel",
    "Tuner",
    "Unauthorized",
    "Unjudged",
    "Verdict",
    "Weighed",
    "Work",
    "Worst",
    "Written",
    "batch_step",
    "beside",
    "chained",
    "check",
    "decide",
    "engine",
    "format",
    "gate",
    "global_step",
    "grader",
    "hookimpl",
    "hubclient",
    "input_files",
    "mask",
    "provider",
    "resolve",
    "row_step",
    "screen_step",
    "source",
    "text_step",
    "usercache",
    "without_secrets",
}
"""Names may be added here, with a line in the changelog. One is never taken away while the major version stays."""


def modules(*arguments: str) -> set[str]:
    """The modules that a command has imported by its end."""
    code = LIST_MODULES.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    status, names = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stdout + done.stderr
    return set(names)


def test_the_api_is_this_list() -> None:
    assert set(api.__all__) == API
    assert api.__all__ == sorted(api.__all__)
    assert not [name for name in api.__all__ if not hasattr(api, name)]


def test_api_only_exports() -> None:
    """It defines nothing itself."""
    tree = ast.parse((ROOT / "ftspec/api.py").read_text())
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign}


def test_version_imports_next_to_nothing() -> None:
    loaded = modules("--version")
    assert not loaded & (HEAVY | {"msgspec", "jsonschema", "yaml", "pluggy", "packaging", "ftspec.registry"})


def test_help_imports_nothing_heavy() -> None:
    assert not modules("--help") & (HEAVY | {"jsonschema", "yaml", "pluggy"})


@pytest.mark.parametrize("spec", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_validate_imports_nothing_heavy(spec: Path) -> None:
    assert not modules("validate", str(spec)) & HEAVY


def test_a_run_until_its_data_imports_nothing_of_what_follows(tmp_path: Path) -> None:
    loaded = modules("run", "specs/simulated.yaml", "-q", "--until", "data", "--store", str(tmp_path))
    assert not loaded & {
        "ftspec.run.evaluating",
        "ftspec.grading.gates",
        "ftspec.report",
        "ftspec.grading.scoring",
        "ftspec.tuning.tuning",
        "jinja2",
    }


def test_builtin_components_import_only_what_any_plugin_may_and_machine_code() -> None:
    allowed = {"ftspec", "ftspec.api", "ftspec.rows", "ftspec.builtin"}
    for path in (ROOT / "ftspec/builtin").rglob("*.py"):
        for name in _imported(path):
            inside = name.startswith(("ftspec.builtin.", "ftspec.compiled"))
            assert not name.startswith("ftspec") or name in allowed or inside, f"{path} imports {name}"


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "ftspec":
            names |= {f"ftspec.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_folders_import_only_from_floors_below_their_own() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_floors_are_drawn_as_they_are() -> None:
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = re.split(r"\n ─+\n", _drawing("The layers"))
    drawn = [{name for line in floor.split("\n") for name in re.findall(r"[a-z]+", line[:42])} for floor in floors]
    assert drawn == [set(layer.split(" | ")) for layer in layers if layer != "__main__"]


def test_every_room_is_drawn_with_its_modules() -> None:
    drawn: dict[str, set[str]] = {}
    folder = ""
    for line in _drawing("The rooms").strip("\n").split("\n"):
        folder = line[1:13].rstrip(" /") or folder
        drawn.setdefault(folder, set()).update(re.findall(r"[a-z]+", line[14:46]))
    own = {"builtin", "cli", "suites"}  # of which the text below the drawing says what is in them
    there = {path.parent.name for path in (ROOT / "ftspec").glob("*/__init__.py")} - own
    assert drawn == {name: {path.stem for path in (ROOT / "ftspec" / name).glob("[a-z]*.py")} for name in there}


def _drawing(title: str) -> str:
    return (ROOT / "docs" / "architecture.md").read_text().partition(f"## {title}")[2].split("```")[1]
