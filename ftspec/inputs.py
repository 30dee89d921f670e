"""Files that a Path option names: on this machine, in a bucket, or at an https address.

A remote file is named by what its server says of its content (version, ETag, or time and size), without a download.
To be read it is fetched once into this machine's cache, `ftspec/inputs` in `$XDG_CACHE_HOME` or `~/.cache`.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ftspec import usercache
from ftspec.errors import DataError, Finding, FtspecError
from ftspec.references import mask
from ftspec.wording import as_text, is_text

URL = re.compile(r"(s3a?|gs|azure?|adl|abfss?|https?)://(?=[^/])", re.IGNORECASE)
CHUNK = 8 << 20
UNUSED = 30 * 24 * 3600.0
"""Seconds after which a fetched file that nobody read is removed from the cache."""
HASHED = "sha256 "
"""Begins the mark of a file of which only its content tells what it is."""
RETRIES = {"max_retries": 4}
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
        return _fetched(self) if self.mark else self.url


def is_url(path: str) -> bool:
    """Whether a path names something that is not on this machine."""
    return URL.match(path) is not None


def input_files(path: str, endings: Sequence[str] = ()) -> list[InputFile]:
    """The files that a path, a folder or a glob names, sorted by name, on this machine or elsewhere.

    In a folder, those with one of the `endings` (all when none are given). Raises FtspecError when there is none, or
    when the server cannot be asked.
    """
    if not is_url(path):
        found = list(_here(Path(path.removeprefix("file://")), endings))
    elif path.lower().startswith("http"):
        found = [_at_address(path)]
    else:
        found = list(_in_bucket(path, endings))
    if not found:
        hint = "check the address" if is_url(path) else "check the path: it is relative to the spec"
        if endings and not is_url(path) and Path(path).is_dir():
            hint = f"no file in this folder ends with {' or '.join(endings)}"
        raise FtspecError(f"no file matches '{public(path)}'", hint)
    return sorted(found)


def public(url: str) -> str:
    """A URL without what may be secret: user, password, query. What stands before the @ of abfs:// is a container."""
    if not is_url(url):
        return url
    scheme, _, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    user, at, server = host.rpartition("@")
    container = f"{user.partition(':')[0]}{at}" if scheme.lower().startswith("abfs") else ""
    return f"{scheme}://{container}{server}{slash}{path}"


def _here(path: Path, endings: Sequence[str]) -> Iterator[InputFile]:
    if path.is_dir():
        found: Iterator[Path] = (file for file in path.rglob("*") if _ends(file, endings))
    elif path.is_file():
        found = iter([path])
    else:
        anchor = Path(path.anchor)
        found = anchor.glob(str(path.relative_to(anchor)))
    for file in found:
        if file.is_file():
            if not is_text(file):
                raise FtspecError(f"the name of a file is not UTF-8: {as_text(file)}", "rename it")
            yield InputFile(str(file), str(file), file.stat().st_size)


def _ends(file: Path | PurePosixPath, endings: Sequence[str]) -> bool:
    """By the last ending, or the one before it of a packed file: `a.jsonl.gz` is .jsonl, and `a.jsonl.bak` is not."""
    stem = PurePosixPath(file.stem) if file.suffix in PACKED else file
    return not endings or stem.suffix in endings or file.suffix in endings


def _at_address(url: str) -> InputFile:
    """A file at an http(s) address. No server lists what it has, so one address is one file."""
    import obstore

    if GLOB.search(public(url)):
        raise FtspecError(f"'{public(url)}' is no file: at a web address nothing can be listed", "name each file")
    with _explained(url, "reach"):
        return _named(url, obstore.head(_store(url), ""))


def _in_bucket(url: str, endings: Sequence[str]) -> Iterator[InputFile]:
    import obstore

    bucket, _, key = url.partition("://")[2].partition("/")
    root = f"{url.partition('://')[0]}://{bucket}"
    if not GLOB.search(key):
        if key and not key.endswith("/"):
            with _explained(url, "reach"), suppress(FileNotFoundError):
                yield _named(url, obstore.head(_store(root), key))
                return
        key, wanted = f"{key.rstrip('/')}/**" if key.strip("/") else "**", endings
    else:
        wanted = ()
    pattern, fixed = _pattern(key), GLOB.split(key, maxsplit=1)[0].rpartition("/")[0]
    with _explained(url, "list"):
        for chunk in obstore.list(_store(root), fixed or None):
            for meta in chunk:
                if pattern.fullmatch(meta["path"]) and _ends(PurePosixPath(meta["path"]), wanted):
                    yield _named(f"{root}/{meta['path']}", meta)


def _named(url: str, meta: Any) -> InputFile:
    name = public(url)
    changed = meta["last_modified"].timestamp()
    mark = meta["version"] or meta["e_tag"] or (f"{name} {changed} {meta['size']}" if changed > 0 else "")
    file = InputFile(name, url, meta["size"], mark)
    # A server that tells nothing of the content: only the content itself can name it.
    return file if mark else file._replace(mark=f"{HASHED}{_hash(_fetched(file, again=True))}")


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


def _store(url: str) -> Any:
    """Credentials are those of the usual environment (AWS_*, GOOGLE_*, AZURE_*)."""
    from obstore.store import HTTPStore, from_url

    if url.lower().startswith("http"):
        return HTTPStore.from_url(url, client_options={"allow_http": True}, retry_config=RETRIES)
    return from_url(url, retry_config=RETRIES)


@contextmanager
def _explained(url: str, action: str) -> Iterator[None]:
    """Turn what the client raises into one line without what may be secret."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    name = public(url)
    try:
        yield
    except FileNotFoundError:
        raise FtspecError(f"there is no '{name}'", "check the address") from None
    except (PermissionDeniedError, UnauthenticatedError):
        hint = "set credentials in the environment: AWS_*, GOOGLE_* or AZURE_*"
        raise FtspecError(f"'{name}': access was denied", hint) from None
    except (BaseError, OSError, ValueError) as error:
        reason = _reason(str(error).replace(url, name))
        raise FtspecError(f"cannot {action} '{name}': {reason}", "check the address and the network") from None


def _reason(text: str) -> str:
    """The client's own words, without the addresses in them."""
    return mask(re.sub(r"\S+://\S+", "…", text.partition("\n")[0]))


def _fetched(file: InputFile, again: bool = False) -> str:
    """The file in the cache, fetched unless it is there."""
    mark = "" if file.mark.startswith(HASHED) else file.mark
    folder = cache() / hashlib.sha256(f"{file.url}\n{mark}".encode()).hexdigest()[:32]
    path = folder / (PurePosixPath(file.name.rstrip("/")).name or "file")
    if path.exists() and not again:
        with suppress(OSError):
            os.utime(folder)
        return str(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.parent.chmod(0o700)
        folder.chmod(0o700)
        os.utime(folder)  # one that was there already may look unused: it is about to be filled
    except OSError as error:
        message = f"what is fetched cannot be kept in '{folder.parent}': {error.strerror}"
        raise FtspecError(message, "set XDG_CACHE_HOME to a folder of yours that can be written") from error
    sweep(folder.parent)
    part = folder / f"{secrets.token_hex(8)}.part"
    try:
        _download(file, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return str(path)


def _download(file: InputFile, part: Path) -> None:
    import obstore

    web = file.url.lower().startswith("http")
    root, key = (file.url, "") if web else _apart(file.url)
    with _explained(file.url, "fetch"):
        got = obstore.get(_store(root), key)
        if _mark_changed(file, got.meta):
            raise DataError([Finding(message="it changed while it was read", hint="run again", file=file.name)])
        count = 0
        with open(part, "xb", opener=_private) as sink:
            for chunk in got.stream(min_chunk_size=CHUNK):
                count += sink.write(chunk)
    if count != file.size:
        message = f"{count} of {file.size} bytes came"
        raise DataError([Finding(message=message, hint="run again", file=file.name)])


def _private(path: str, flags: int) -> int:
    """Opened for this user only: what is fetched is training data."""
    return os.open(path, flags, 0o600)


def _mark_changed(file: InputFile, meta: Any) -> bool:
    said = meta["version"] or meta["e_tag"]
    return bool(said) and file.mark not in ("", said) and not file.mark.startswith((HASHED, file.name))


def _apart(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def _hash(path: str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache() -> Path:
    """Where fetched files lie on this machine."""
    return usercache.folder("inputs")


def sweep(root: Path) -> None:
    """Remove what nobody has read for a long time."""
    for folder in root.iterdir():
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > UNUSED:
                shutil.rmtree(folder, ignore_errors=True)
