"""Files of promptfoo's tests: YAML, JSON and JSON lines as they are, CSV and Excel by their columns; its prompts.

promptfoo.dev/docs/configuration/test-cases and .../prompts describe them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from glob import has_magic
from pathlib import Path
from typing import Any

import msgspec

from ftspec import api, rows
from ftspec.builtin.assertions import ASSERTIONS, INSTEAD, Unmapped
from ftspec.builtin.files import File
from ftspec.builtin.sources import workbooks

Json = dict[str, Any]
DATA = {".json", ".yaml", ".yml"}
TEXTS = {".txt", ".md", ".j2", *DATA}
PROGRAMS = {".py", ".js", ".cjs", ".mjs", ".ts", ".sh", ".rb", ".pl", ".go"}
WORKBOOKS = {".xlsx", ".xls"}
SHEET = re.compile(r"(.*\.xlsx?)#(.+)", re.IGNORECASE)
"""How a sheet is named: by its name, or by its number from 1."""
WRITTEN = re.compile(r"(?:(not-)?([a-z][a-z-]*))(?:\((\d+(?:\.\d+)?)\))?(?::(.*))?", re.DOTALL)
"""How a cell of a table says an assertion: `contains: Paris`, `levenshtein(3): Paris`; else it is what equals."""
SHORT = {"fn": "javascript", "eval": "javascript", "grade": "llm-rubric"}
LONGEST = 1000
"""Characters of a path; what is longer is a text."""
SEPARATOR = re.compile(r"^[ \t]*---[ \t]*$", re.MULTILINE)
OPTIONS = {"__prefix": "prefix", "__suffix": "suffix"}


class Test(msgspec.Struct, frozen=True):
    """A test, and where it stands; `node` is its part of a YAML document."""

    test: Any
    file: Path
    line: int
    node: Any = None

    def line_of(self, *path: str | int) -> int:
        return line_at(self.node, *path) or self.line


def named(folder: Path, name: str) -> list[tuple[Path, str]]:
    """The files that a config in the folder names, by a path or a glob, and the sheet. Raises Unmapped for none."""
    name = name.removeprefix("file://")
    if "://" in name:
        raise Unmapped(f"{name} is elsewhere", "write it to a file here, as CSV say, and name that")
    by_sheet = SHEET.fullmatch(name)
    pattern, sheet = (by_sheet[1], by_sheet[2]) if by_sheet else (name, "")
    if not has_magic(pattern) or (folder / pattern).exists():
        return [((folder / pattern).resolve(), sheet)]
    try:
        found = api.input_files(str(folder / pattern))
    except api.FtspecError as error:
        raise Unmapped(f"no file matches {name}", "the pattern is relative to the config") from error
    return [(Path(each.local()).resolve(), sheet) for each in found]


def is_path(folder: Path, prompt: str) -> bool:
    """Whether a config's prompt names files, with `file://` or without, and is no text itself."""
    if re.match(r"file://|exec:|\w+://\S+$", prompt):
        return True
    if re.search(r"\n|\{\{|\{%", prompt) or len(prompt) > LONGEST:
        return False
    ending = Path(prompt.strip()).suffix.lower()
    if not re.search(r"\s", prompt.strip()) and ending in {*TEXTS, *PROGRAMS, ".jsonl", ".csv"}:
        return True
    try:
        return (folder / prompt).is_file() or (has_magic(prompt) and any(folder.glob(prompt)))
    except (OSError, ValueError, NotImplementedError):  # too long for a name, `**` within a word, an absolute pattern
        return False


def prompts(file: Path) -> list[str]:
    """The prompts in a file: of a text those between lines of `---`, of JSON lines and CSV each. Raises Unmapped."""
    ending = file.suffix.lower()
    if ending == ".csv":
        with file.open(encoding="utf-8-sig", newline="") as table:
            return [row["prompt"] for row in csv.DictReader(table) if row.get("prompt")]
    text = file.read_text(encoding="utf-8").strip() if ending in {*TEXTS, ".jsonl"} else ""
    if ending == ".jsonl":
        return [line for line in text.splitlines() if line.strip()]
    if ending not in TEXTS:
        raise Unmapped(f"{file.name} is no text file", "write its prompts into the config")
    return [part.strip() for part in SEPARATOR.split(text) if part.strip()] if ending == ".txt" else [text]


def read(file: Path, sheet: str = "") -> Iterator[Test | api.Finding]:
    """The tests of a file, and what is wrong with a workbook. Raises Unmapped, OSError and ValueError."""
    ending = file.suffix.lower()
    if ending == ".csv":
        yield from (Test(row, file, line) for line, row in _csv(file))
    elif ending in WORKBOOKS:
        yield from _workbook(file, sheet)
    elif ending == ".jsonl":
        for line, written in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if written.strip():
                yield Test(load(written), file, line)
    elif ending in DATA:
        tests, node = document(file)
        for place, test in enumerate(tests if isinstance(tests, list) else [tests]):
            yield Test(test, file, line_at(node, place) or 1, at(node, place))
    else:
        raise Unmapped(f"{file.name} is no YAML, JSON, JSON lines, CSV or Excel")


def _csv(path: Path) -> Iterator[tuple[int, Json]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        line = 2
        for row in reader:
            yield line, of_row({name: value or "" for name, value in row.items() if name is not None})
            line = reader.line_num + 1


def _workbook(path: Path, sheet: str) -> Iterator[Test | api.Finding]:
    chosen = int(sheet) if sheet.isdecimal() else sheet or 1
    for row in workbooks.read(File(str(path), str(path)), chosen, first=1):
        if isinstance(row, api.Finding):
            yield row
        else:
            cells = {name: row.values.get(name, "") for name in row.names}
            yield Test(of_row(cells), Path(row.origin), row.number)


def of_row(row: Mapping[str, Any]) -> Json:
    """A table's row as a test: its columns are variables, those that begin with `__` say the rest."""
    cells = {name.strip(): value for name, value in row.items()}
    test: Json = {"vars": {name: value for name, value in cells.items() if not name.startswith("__")}, "assert": []}
    for name, cell in cells.items():
        value = cell if isinstance(cell, str) else rows.to_json(cell)
        if not name.startswith("__"):
            continue
        if name in OPTIONS:
            test.setdefault("options", {})[OPTIONS[name]] = value
        elif re.fullmatch(r"__expected\d*", name):
            test["assert"] += [written(value)] if value.strip() else []
        elif name.startswith("__metadata:"):
            key = name.partition(":")[2]
            many = [part.strip().replace("\\,", ",") for part in re.split(r"(?<!\\),", value)]
            test.setdefault("metadata", {})[key.removesuffix("[]")] = many if key.endswith("[]") else value
        elif value and name != "__metric":
            test[name.removeprefix("__")] = value
    if metric := cells.get("__metric"):
        test["assert"] = [{**asserted, "metric": metric} for asserted in test["assert"]]
    return test


def written(asserted: str) -> Json:
    """The assertion that a table's cell says."""
    found = WRITTEN.fullmatch(asserted.strip())
    kind = SHORT.get(found[2], found[2]) if found else ""
    if not found or kind not in {*ASSERTIONS, *INSTEAD}:
        return {"type": "equals", "value": asserted}
    made: Json = {"type": (found[1] or "") + kind}
    if found[3]:
        made["threshold"] = float(found[3])
    return made | ({"value": found[4].strip()} if found[4] else {})


def document(path: Path) -> tuple[Any, Any]:
    """A YAML or JSON file, and its nodes, which know their lines. Raises ValueError."""
    import yaml

    text = path.read_text(encoding="utf-8")
    return load(text), yaml.compose(text, Loader=yaml.SafeLoader)


def load(text: str) -> Any:
    """What YAML or JSON says. Raises ValueError."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def at(node: Any, *path: str | int) -> Any:
    """The node at a path of keys and places, None where there is none."""
    for part in path:
        entries = node.value if node is not None and not isinstance(node.value, str) else []
        if isinstance(part, int):
            node = entries[part] if part < len(entries) and not isinstance(entries[part], tuple) else None
        else:
            pairs = [entry for entry in entries if isinstance(entry, tuple)]
            node = next((value for name, value in pairs if name.value == part), None)
    return node


def line_at(node: Any, *path: str | int) -> int:
    """The line of that node, 0 where there is none."""
    found = at(node, *path)
    return found.start_mark.line + 1 if found is not None else 0
