"""Files that a Path option names: on this machine, in a bucket, or at an https address.

A remote file is named by what its server says of its content (version, ETag, or time and size), without a download.
To be read it is fetched once into this machine's cache (see ftspec.files.fetching).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ftspec.common.errors import FtspecError
from ftspec.common.wording import as_text, is_text
from ftspec.files import fetching
from ftspec.files.fetching import Remote, is_url, public

GLOB = re.compile(r"[*?\[]")
PACKED = (".gz", ".zst", ".bz2", ".lz4", ".xz", ".zip")
"""Endings that a file has after the one that says what is in it."""


class InputFile(NamedTuple):
    """One file.

    Args:
        name: how findings and plans call it: an absolute path, or a URL without user, password and query.
        url: where it is: the same with everything; a path for a file on this machine.
        size: in bytes.
        mark: what names the content of a remote file; "" for a file on this machine, whose content is hashed.
    """

    name: str
    url: str
    size: int
    mark: str = ""

    def local(self) -> str:
        """The path of a file on this machine with the content, to be read only. Raises FtspecError, DataError."""
        return fetching.fetched(Remote(*self)) if self.mark else self.url


def input_files(path: str, endings: Sequence[str] = ()) -> list[InputFile]:
    """The files that a path, a folder or a glob names, sorted by name, on this machine or elsewhere.

    In a folder, those with one of the `endings` (all when none are given). Raises FtspecError when there is none, or
    when the server cannot be asked.
    """
    if not is_url(path):
        found = list(_here(Path(path.removeprefix("file://")), endings))
    elif path.lower().startswith("http"):
        found = [InputFile(*_at_address(path))]
    else:
        found = [InputFile(*remote) for remote in _in_bucket(path, endings)]
    if not found:
        hint = "check the address" if is_url(path) else "check the path: it is relative to the spec"
        if endings and not is_url(path) and Path(path).is_dir():
            hint = f"no file in this folder ends with {' or '.join(endings)}"
        raise FtspecError(f"no file matches '{public(path)}'", hint)
    return sorted(found)


def _here(path: Path, endings: Sequence[str]) -> Iterator[InputFile]:
    if path.is_dir():
        found: Iterator[Path] = (file for file in path.rglob("*") if _ends(file, endings))
    elif path.is_file():
        found = iter([path])
    else:
        found = matches(path)
    for file in found:
        if file.is_file():
            named_as_text(file)
            yield InputFile(str(file), str(file), file.stat().st_size)
        elif file.is_symlink() and not file.exists():
            hint = "fetch what it stands for, as `git annex get` and `dvc pull` do, or remove it"
            raise FtspecError(f"{as_text(file)} is a link to nothing", hint)


def named_as_text(file: Path) -> None:
    """Raises FtspecError for a name that cannot stand in JSON, logs and reports."""
    if not is_text(file):
        raise FtspecError(f"the name of a file is not UTF-8: {as_text(file)}", "rename it")


def matches(path: Path) -> Iterator[Path]:
    """What a glob on this machine names. Folders that are there by that very name come first: `data[1]/*.jsonl` is
    about the folder data[1]. Nothing where no file can have such a name."""
    folder, parts = Path(path.anchor), list(path.parts[bool(path.anchor) :])
    while len(parts) > 1 and os.path.isdir(folder / parts[0]):  # noqa: PTH112  # unlike Path's it raises of no name
        folder /= parts.pop(0)
    with suppress(ValueError):
        yield from folder.glob("/".join(parts))


def _ends(file: Path | PurePosixPath, endings: Sequence[str]) -> bool:
    """By the last ending, or the one before it of a packed file: `a.jsonl.gz` is .jsonl, and `a.jsonl.bak` is not."""
    stem = PurePosixPath(file.stem) if file.suffix in PACKED else file
    return not endings or stem.suffix in endings or file.suffix in endings


def _at_address(url: str) -> Remote:
    """A file at an http(s) address. No server lists what it has, so one address is one file."""
    if GLOB.search(public(url)):
        raise FtspecError(f"'{public(url)}' is no file: at a web address nothing can be listed", "name each file")
    return fetching.at_address(url)


def _in_bucket(url: str, endings: Sequence[str]) -> Iterator[Remote]:
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    root, wanted = f"{scheme}://{bucket}", endings
    if GLOB.search(key):
        wanted = ()
    elif key and not key.endswith("/") and (one := fetching.at_key(root, key)):
        yield one
        return
    else:
        key = f"{key.rstrip('/')}/**" if key.strip("/") else "**"
    pattern, fixed = _pattern(key), GLOB.split(key, maxsplit=1)[0].rpartition("/")[0]
    for name, remote in fetching.below(root, fixed):
        if pattern.fullmatch(name) and _ends(PurePosixPath(name), wanted):
            yield remote


def _pattern(glob: str) -> re.Pattern[str]:
    """A glob over keys: `*` and `?` stay within a folder, `**` stands for any folders."""
    tokens = re.findall(r"\*\*/?|\*|\?|\[[^\]]+\]|.", glob)
    return re.compile("".join(_token(token) for token in tokens))


def _token(token: str) -> str:
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in known:
        return known[token]
    if len(token) > 1:
        return "[" + token[1:-1].replace("\\", r"\\").replace("!", "^", token[1] == "!") + "]"
    return re.escape(token)
