"""Where a fault lies in a plugin's code, for messages; and what is nobody's fault, but the machine's."""

from __future__ import annotations

import errno
import inspect
import traceback
from pathlib import PurePath
from typing import Any

MACHINE = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
    }
)
"""What the operating system refuses for reasons of its own: no bug, and to be seen to by whoever looks after it."""


def is_machines(error: BaseException) -> bool:
    """Whether the operating system refused something for reasons of its own."""
    return isinstance(error, OSError) and error.errno in MACHINE


def raised(error: BaseException, module: str) -> str:
    """Where the code of the module's package was when the error was raised: " (acme/provider.py:31)", "" elsewhere."""
    package = _package(module)
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if _package(str(frame.f_globals.get("__name__"))) == package:
            return f" ({_shown(frame.f_code.co_filename, package)}:{line})"
    return ""


def defined(function: Any) -> str:
    """Where a function is defined: " (acme/provider.py:31)", "" for one without code of Python's."""
    found = inspect.unwrap(function)
    code = getattr(found, "__code__", None)
    if code is None:
        return ""
    return f" ({_shown(code.co_filename, _package(getattr(found, '__module__', '')))}:{code.co_firstlineno})"


def _package(module: str) -> str:
    return module.partition(".")[0]


def _shown(file: str, package: str) -> str:
    """The file from its package on."""
    parts = PurePath(file).parts
    inside = [place for place, part in enumerate(parts[:-1]) if part == package]
    return "/".join(parts[inside[-1] :]) if inside else parts[-1]
