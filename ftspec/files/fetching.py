"""Files of web addresses and buckets: asked about, listed, and brought into this machine's cache once.

The cache is `ftspec/inputs` in `$XDG_CACHE_HOME` or `~/.cache`. A file is there whole or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit, urlunsplit

from ftspec.common.causes import cause, denied, is_clients
from ftspec.common.errors import DataError, Finding, FtspecError
from ftspec.files import ondisk, usercache

URL = re.compile(r"(s3a?|gs|az|azure|adl|abfss?|https?)://(?=[^/])", re.IGNORECASE)
CHUNK = 8 << 20
UNUSED = 30 * 24 * 3600.0
"""Seconds after which a fetched file that nobody read is removed from the cache."""
HASHED = "sha256 "
"""Begins the mark of a file of which only its content tells what it is."""
RETRIES = {"max_retries": 4}
CLIENT = {"timeout": "7 days", "read_timeout": "60 seconds"}
"""A large file may take its time, as long as some of it comes: by default obstore ends any request after 30 s."""
CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_ca_certificate", *CLIENT)
PREFIXES = {"s3": "AWS", "gs": "GOOGLE"}
NO_METHOD = re.compile(r"status code: (405|501)")
TRIES = 3
"""How often in a row a transfer may break off before anything of it has come."""


class Remote(NamedTuple):
    """A file elsewhere. `name` is its URL without what may be secret, `url` with it, `mark` names the content: what the
    server says of it (version, ETag, or time and size), or its hash, with HASHED before it."""

    name: str
    url: str
    size: int
    mark: str


def is_url(path: str) -> bool:
    """Whether a path names something that is not on this machine."""
    return URL.match(path) is not None


def public(url: str) -> str:
    """A URL without what may be secret: user, password, query. What stands before the @ of abfs:// is a container."""
    if not is_url(url):
        return url
    scheme, _, rest = url.partition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    user, at, server = host.rpartition("@")
    container = f"{user.partition(':')[0]}{at}" if scheme.lower().startswith("abfs") else ""
    return f"{scheme}://{container}{server}{slash}{path}"


def at_address(url: str) -> Remote:
    """The file at an http(s) address. Raises FtspecError."""
    import obstore
    from obstore.exceptions import GenericError, PermissionDeniedError

    with _explained(url, "reach"):
        store = _store(url)
        try:
            meta = obstore.head(store, "")
        except (FileNotFoundError, GenericError, PermissionDeniedError) as error:
            if isinstance(error, GenericError) and not NO_METHOD.search(str(error)):
                raise
            meta = obstore.get(store, "").meta  # an address that is signed for GET, or knows no HEAD
        return _named(url, meta)


def at_key(root: str, key: str) -> Remote | None:
    """The object in a bucket (`root` is scheme://bucket), None where there is none. Raises FtspecError."""
    import obstore

    with _explained(f"{root}/{key}", "reach"), suppress(FileNotFoundError):
        return _named(f"{root}/{key}", obstore.head(_store(root), key))
    return None


def below(root: str, folder: str) -> Iterator[tuple[str, Remote]]:
    """(key, object) of everything below a folder of a bucket, "" for all of it. Raises FtspecError."""
    import obstore

    with _explained(f"{root}/{folder}", "list"):
        for chunk in obstore.list(_store(root), folder or None):
            for meta in chunk:
                yield meta["path"], _named(f"{root}/{meta['path']}", meta)


def fetched(file: Remote, again: bool = False) -> str:
    """The path of the file in the cache, fetched unless it is there. Raises FtspecError, DataError."""
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


def cache() -> Path:
    """Where fetched files lie on this machine."""
    return usercache.folder("inputs")


def sweep(root: Path) -> None:
    """Remove what nobody has read for a long time."""
    for folder in root.iterdir():
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > UNUSED:
                shutil.rmtree(folder, ignore_errors=True)


def _named(url: str, meta: Any) -> Remote:
    file = Remote(public(url), url, meta["size"], _mark(public(url), meta))
    # A server that tells nothing of the content: only the content itself can name it.
    return file if file.mark else file._replace(mark=f"{HASHED}{ondisk.sha256_of(Path(fetched(file, again=True)))}")


def _mark(name: str, meta: Any) -> str:
    """What the server says of the content. The ETag comes first: a listing has no versions, and none of its quotes."""
    tag, changed = meta["e_tag"], meta["last_modified"].timestamp()
    if tag:
        return str(tag) if '"' in tag else f'"{tag}"'
    return meta["version"] or (f"{name} {changed} {meta['size']}" if changed > 0 else "")


def _store(url: str) -> Any:
    """Credentials are those of the usual environment (AWS_*, GOOGLE_*, AZURE_*)."""
    from obstore.store import HTTPStore, from_url

    if url.lower().startswith("http"):
        bare, login = _without_login(url)
        return HTTPStore.from_url(bare, client_options={**CLIENT, "allow_http": True, **login}, retry_config=RETRIES)
    return from_url(url, client_options=connecting(url), retry_config=RETRIES)


def _without_login(url: str) -> tuple[str, dict[str, Any]]:
    """The address, and user and password as a header: the client sends none of an address by itself, and drops a header
    where it is sent on to another server."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    user, _, password = map(unquote_to_bytes, login.partition(":"))
    said = base64.b64encode(user + b":" + password).decode()
    return urlunsplit(parts._replace(netloc=host)), {"default_headers": {"Authorization": f"Basic {said}"}}


def connecting(url: str) -> dict[str, str]:
    """How to connect to a bucket: with CLIENT, and by what the environment says, which obstore only reads where no
    client options are given."""
    prefix = next((prefix for begins, prefix in PREFIXES.items() if url.lower().startswith(begins)), "AZURE")
    named = {option: os.environ.get(f"{prefix}_{option.upper()}", "") for option in CLIENT_OPTIONS}
    return CLIENT | {option: value for option, value in named.items() if value}


@contextmanager
def _explained(url: str, action: str) -> Iterator[None]:
    """Turn what the client raises into one line without what may be secret."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    name = public(url)
    try:
        yield
    except FileNotFoundError:
        raise FtspecError(f"there is no '{name}'", "check the address") from None
    except (PermissionDeniedError, UnauthenticatedError):
        reason, hint = denied()
        if name.lower().startswith("http"):
            hint = "a browser's login is not enough: use a signed address, or fetch it by hand and name the file"
        raise FtspecError(f"'{name}': {reason}", hint) from None
    except BaseException as error:
        if not is_clients(error):
            raise
        reason, hint = cause(error, url)
        raise FtspecError(f"cannot {action} '{name}': {reason}", hint) from None


def _download(file: Remote, part: Path) -> None:
    """What a transfer that broke off has brought is kept, and the rest is asked for."""
    from obstore.exceptions import GenericError

    root, key = (file.url, "") if file.url.lower().startswith("http") else _apart(file.url)
    failures = 0
    with _explained(file.url, "fetch"), open(part, "xb", opener=_private) as sink:
        store = _store(root)
        while True:
            start = sink.tell()
            try:
                _copy(file, store, key, sink)
                break
            except GenericError:
                if sink.tell() == file.size:
                    break  # all of it is there; only its end was not told
                failures = 1 if sink.tell() > start else failures + 1
                if failures >= TRIES or (sink.tell() and not _tells(file)):
                    raise
        count = sink.tell()
    if count != file.size:
        message = f"{count} of {file.size} bytes came"
        raise DataError([Finding(message=message, hint="run again", file=file.name)])


def _copy(file: Remote, store: Any, key: str, sink: BinaryIO) -> None:
    """Bring what is not in the sink yet. Raises DataError where it is no longer the file that was named."""
    import obstore

    rest = {"range": {"offset": sink.tell()}} if sink.tell() else None
    got = obstore.get(store, key, options=rest)
    said = _mark(file.name, got.meta)
    if said and _tells(file) and _by_time(file, said) == _by_time(file, file.mark) and said != file.mark:
        raise DataError([Finding(message="it changed while it was read", hint="run again", file=file.name)])
    for chunk in got.stream(min_chunk_size=CHUNK):
        sink.write(chunk)


def _tells(file: Remote) -> bool:
    """Whether the server tells one content from another."""
    return bool(file.mark) and not file.mark.startswith(HASHED)


def _by_time(file: Remote, mark: str) -> bool:
    """Whether it is time and size that name the content; such a mark cannot be compared with an ETag."""
    return mark.startswith(file.name)


def _private(path: str, flags: int) -> int:
    """Opened for this user only: what is fetched is training data."""
    return os.open(path, flags, 0o600)


def _apart(url: str) -> tuple[str, str]:
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key
