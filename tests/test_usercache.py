"""What programs keep of themselves is taken when it is whole and nobody else's, and goes when nobody uses it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ftspec.files import usercache

NAMES = re.compile(r"[0-9a-f]{16}\.o")
OLD = (1.0e9, 1.0e9)


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert usercache.folder("native") == Path("/some/where/ftspec/native")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert usercache.folder() == Path.home() / ".cache" / "ftspec"


def test_who_has_no_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    place = usercache.folder("native") / "x.o"
    usercache.write(place, b"code")
    assert usercache.read(place) is None


def test_what_is_kept_is_read(tmp_path: Path) -> None:
    place = tmp_path / "new" / "folder" / "x.o"
    assert usercache.read(place) is None
    for data in (b"one", b"", b"two"):
        usercache.write(place, data)
        assert usercache.read(place) == data
    assert [each.name for each in place.parent.iterdir()] == ["x.o"]
    assert not place.stat().st_mode & 0o077
    os.utime(place, OLD)
    assert usercache.read(place) == b"two"
    assert place.stat().st_mtime > 1.5e9, "to be used keeps it"


def test_what_cannot_be_trusted_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "x.o"
    usercache.write(place, b"code")
    place.chmod(0o666)
    assert usercache.read(place) is None, "others may have written it"
    place.chmod(0o600)
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: place.stat().st_uid + 1)
        assert usercache.read(place) is None, "it is somebody else's"
    assert usercache.read(place) == b"code"
    place.write_bytes(place.read_bytes()[:-1])
    assert usercache.read(place) is None, "it is not whole"


def test_what_cannot_be_kept_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    usercache.write(tmp_path / "file" / "x.o", b"code")
    usercache.forget(tmp_path / "file", NAMES)
    usercache.forget(tmp_path / "nowhere", NAMES)
    assert usercache.read(tmp_path / "file" / "x.o") is None
    assert [each.read_text() for each in tmp_path.iterdir()] == ["no folder"]


def test_what_nobody_uses_is_removed_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = ("0123456789abcdef.o", "0123456789abcdef.o.0a1b2c3d")
    stay = ("notes.o", "0123456789abcdef.old", f"{'f' * 16}.o")
    for name in (*gone, *stay):
        (tmp_path / name).write_bytes(b"old")
        os.utime(tmp_path / name, OLD)
    os.utime(tmp_path / stay[-1])
    link = tmp_path / f"{'a' * 16}.o"
    link.symlink_to(tmp_path / "notes.o")
    os.utime(link, OLD, follow_symlinks=False)
    with monkeypatch.context() as other:
        other.setattr(os, "geteuid", lambda: (tmp_path / gone[0]).stat().st_uid + 1)
        usercache.forget(tmp_path, NAMES)
    assert len([*tmp_path.iterdir()]) == 6, "they are somebody else's"
    usercache.forget(tmp_path, NAMES)
    assert {each.name for each in tmp_path.iterdir()} == {*stay, link.name}
