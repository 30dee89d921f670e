"""Real prose for the generator, of several kinds and languages, gathered from what is installed; nothing is committed.

| source | language | licence |
|---|---|---|
| Python's reference topics and the docstrings of its standard library | English | PSF-2.0 |
| docstrings of NumPy, SciPy and scikit-learn | English | BSD-3-Clause |
| licence texts of installed packages | English | each its own; shipped to be copied |
| JupyterLab's translations (`jupyterlab-language-pack-*`, PyPI) | German, French, Japanese, Chinese | BSD-3-Clause |
| manual pages of Debian, where there are any | the same four | each its own, GPL-2.0-or-later for most |
"""

from __future__ import annotations

import ast
import gzip
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

PACKS = {"de": "de-DE", "fr": "fr-FR", "ja": "ja-JP", "zh": "zh-CN"}
MANUALS = {"de": "de", "fr": "fr", "ja": "ja", "zh": "zh_CN"}
LIBRARIES = ("numpy", "scipy", "sklearn")
UNSPACED = ("ja", "zh")
"""Languages written without spaces: their units are characters, not words."""
OWN = {
    "de": re.compile(r"\b(?:der|die|das|und|ist|nicht|ein|eine|von|mit|wird|werden|für|auf|den|zu|im|dem|des|sich)\b"),
    "fr": re.compile(r"\b(?:le|la|les|de|des|du|un|une|et|est|pas|en|que|pour|dans|sur|par|au|aux|ne|sont|être)\b"),
    "ja": re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]"),
    "zh": re.compile(r"[\u4e00-\u9fff]"),
}
"""Words, or letters, that tell a language."""
LEAST = 10_000
"""Characters of a source below which it is left out: a language of a few sentences would repeat itself."""


def load(folder: Path) -> dict[str, str]:
    """ "language kind" → text. Gathered once, then read from `folder`, so that runs side by side read the same."""
    kept = folder / "prose.json"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        found = {name: text for name, text in gather() if len(text) >= LEAST}
        kept.write_text(json.dumps(found, ensure_ascii=False))
    prose: dict[str, str] = json.loads(kept.read_text())
    return prose


def gather() -> Iterator[tuple[str, str]]:
    yield "en manual", "\n".join(_topics())
    yield "en reference", "\n".join(text for name in LIBRARIES for text in _docstrings(_home(name)))
    yield "en licences", "\n".join(_licences())
    for language, pack in PACKS.items():
        interface, manual = _translations(pack), _manuals(Path("/usr/share/man") / MANUALS[language])
        yield f"{language} interface", "\n".join(filter(partial(_is_in, language), interface))
        yield f"{language} manual", "\n".join(filter(partial(_is_in, language), manual))


def _is_in(language: str, text: str) -> bool:
    """Whether a text is in the language at all: what nobody has translated yet is English."""
    own = len(OWN[language].findall(text))
    return own >= len(text) / (3 if language in UNSPACED else 50)


def _topics() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield from topics.values()
    home = Path(sysconfig.get_paths()["stdlib"])
    for file in sorted([*home.glob("*.py"), *home.glob("[a-h]*/*.py")]):
        if "test" not in str(file.relative_to(home)):
            yield from _docs_of(file)


def _home(name: str) -> Path:
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found and found.origin else Path("/nowhere")


def _docstrings(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*.py")):
        if "tests" not in file.parts:
            yield from _docs_of(file)


def _docs_of(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            text = ast.get_docstring(node)
            if text:  # examples are code, not prose
                yield re.sub(r"^(>>>|\.\.\.|\s*[-=]{3,}).*$", "", text, flags=re.MULTILINE)


def _licences() -> Iterator[str]:
    seen: set[str] = set()
    for package in sorted(importlib.metadata.distributions(), key=lambda one: one.name):
        for file in package.files or []:
            if re.search(r"(LICEN[CS]E|COPYING|NOTICE)", file.name) and file.suffix in ("", ".txt", ".md", ".rst"):
                text = Path(str(file.locate())).read_text(errors="ignore") if Path(str(file.locate())).is_file() else ""
                seen.update(part for part in text.split("\n\n") if len(part) > 200)
    yield from sorted(seen)


def _translations(pack: str) -> Iterator[str]:
    """The messages of a language pack, from its wheel; nothing when PyPI cannot be had."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", place]
        subprocess.run([*command, f"jupyterlab-language-pack-{pack}==4.5.post3"], check=False, capture_output=True)
        for wheel in Path(place).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for name in sorted(archive.namelist()):
                    if name.endswith(".json"):
                        yield from _messages(json.loads(archive.read(name)).items())


def _messages(entries: Iterable[tuple[str, object]]) -> Iterator[str]:
    for name, said in entries:
        if name and isinstance(said, list):
            yield from (text for text in said if isinstance(text, str) and len(text) > 20)


def _manuals(folder: Path) -> Iterator[str]:
    """Paragraphs of manual pages without their markup."""
    for file in sorted(folder.glob("man*/*.gz")) if folder.is_dir() else []:
        text = gzip.decompress(file.read_bytes()).decode(errors="ignore")
        text = re.sub(r"^[.'].*$", "", text, flags=re.MULTILINE)
        text = re.sub(r"\\f[A-Z]|\\\||\\&|\\[a-z]\b", "", text.replace("\\-", "-").replace("\\(aq", "'"))
        yield from (part for part in text.split("\n\n") if len(part) > 60 and "\\" not in part)


if __name__ == "__main__":
    for name, text in load(Path(sys.argv[1])).items():
        print(f"{name:<14} {len(text):>10,} characters  {text[2000:2080]!r}")
