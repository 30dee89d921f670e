"""Where a fault lies in a plugin's code, for messages; and what is nobody's fault, but the machine's."""

from __future__ import annotations

import errno
import inspect
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import PurePath
from typing import Any, TypeVar

import msgspec

from ftspec.common.errors import PluginError
from ftspec.common.wording import with_article

T = TypeVar("T")
Guard = Callable[[str], AbstractContextManager[Any]]

MACHINE = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
        *(errno.EMFILE, errno.ENFILE, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG),
    }
)
"""What the operating system refuses for reasons of its own: no bug, and to be seen to by whoever looks after it."""


class Culprit(msgspec.Struct, frozen=True):
    """Whose code it is: how a message names it, what to do about it, and what turns its errors into faults.

    `guard` takes the name of the method that is called, "" where it is the only one.
    """

    who: str
    hint: str = "report it to its authors"
    guard: Guard = nullcontext

    def fault(self, what: str, function: Any) -> PluginError:
        """What it did, and where that function is."""
        return PluginError(f"{self.who} {what}{defined(function)}", self.hint)

    def verified(self, value: Any, type_: type[T], function: Any, name: str = "") -> T:
        """The record that a function returned, read as from JSON, which is how it is kept. Raises PluginError.

        Args:
            name: the method that returned it, where it is one of several.
        """
        noun, of = with_article(type_.__name__), f" from {name}" if name else ""
        if not isinstance(value, type_):
            raise self.fault(f"returned {kind_of(value)}{of}; {noun} is wanted", function)
        try:
            made: T = self.read(value, type_)
        except ValueError as error:
            raise self.fault(f"returned {noun}{of} that is none: {error}", function) from error
        return made

    @staticmethod
    def read(value: Any, type_: Any) -> Any:
        """The value with all that is in it of the types that it should be. Raises ValueError."""
        try:
            return msgspec.convert(msgspec.to_builtins(value), type_)
        except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(str(error).replace("`$.", "`").replace("`$[", "`[")) from error


def kind_of(value: Any) -> str:
    """What was returned in the place of something else: `a list`, `None`."""
    return "None" if value is None else with_article(type(value).__name__)


def is_machines(error: BaseException) -> bool:
    """Whether the operating system refused something for reasons of its own, or had no memory left."""
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in MACHINE)


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
