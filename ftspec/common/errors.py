"""What can go wrong, and what a user is told.

    FtspecError                 exit code 1: the user can fix it
    ├── SpecError               the spec cannot be used: carries every Problem
    ├── DataError               the data cannot be used: carries every Finding
    ├── PluginError             a plugin cannot be loaded or broke its contract
    │   └── PluginFault         its code raised what is none of these: a log shows where
    ├── StoreError              the state folder or bucket cannot be trusted
    ├── BudgetReached           going on could cost more than the spec's budget allows
    ├── GateFailed              exit code 4: the run is complete, a gate said no
    ├── StillRunning            exit code 5: the job goes on without us
    └── ProviderError           the tuner's side
        ├── Rejected            it said no: nothing exists there for this call
        │   ├── NotFound        what the call is about is not there
        │   └── Unauthorized    it takes the key for no call any more
        ├── Ambiguous           it may or may not have acted: look before you act again
        ├── Transient           it did not act; the same call may succeed later
        └── JobFailed           the job exists and ended without a model

Anything else that escapes is a bug in ftspec: exit code 3 and a log to paste.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from ftspec.common.figures import plural

Severity = Literal["error", "warning"]
SpecPath = tuple[str | int, ...]
"""Where something stands in a spec: keys, and indices of lists."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a spec.

    `path` addresses the offending node in the document; `on` says whether the caret goes under its key or its value.
    `file`, `line`, `column` (both 1-based) and `length` (characters) are filled in by `Document.locate`.
    """

    message: str
    hint: str = ""
    path: SpecPath = ()
    on: Literal["key", "value"] = "value"
    severity: Severity = "error"
    file: str = ""
    line: int = 0
    column: int = 0
    length: int = 1


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with the data.

    A step or check names rows by their number (`row`, the hidden `_row` column); core turns that into `file` and
    1-based `line`. A source that cannot even make a row of a line sets `file` and `line` itself, and `column` (from 1,
    in characters) where it knows it; `part` of it says that the row comes all the same, without what this is about.
    """

    message: str
    hint: str = ""
    severity: Severity = "error"
    row: int | None = None
    file: str = ""
    line: int = 0
    check: str = ""
    column: int = 0
    part: bool = False

    @property
    def said(self) -> str:
        """The message, and which check of the spec says so: that is what can be changed or waived there."""
        return f"{self.message} [{self.check}]" if self.check else self.message

    @property
    def place(self) -> str:
        """ "file:line:column" as far as it is known."""
        numbers = [self.line, self.column] if self.line else []
        return ":".join([self.file, *(str(number) for number in numbers if number)]) if self.file else ""


class SpecFinding(Finding, frozen=True, kw_only=True):
    """A finding whose cause stands in the spec, at `path`: `problems.located` fills in file, line and column.

    A check names a place among its options: ("columns", "text"), say.
    """

    path: SpecPath = ()


class FtspecError(Exception):
    """Base of everything that ftspec raises on purpose.

    Args:
        message: what happened, in one sentence, without secrets.
        hint: what the user can do about it.
        option: the option of the component it is from that is to be changed: the spec is shown there.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", option: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.option = option

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors come back from other processes as they were raised there: with their fields, not made anew."""
        return _restored, (type(self), self.args), vars(self)


def chained(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that it came from, the first cause last."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _restored(cls: type[FtspecError], args: tuple[Any, ...]) -> FtspecError:
    error = cls.__new__(cls)
    error.args = args
    return error


class SpecError(FtspecError):
    """The spec cannot be used; `problems` holds everything that is wrong with it, in file order.

    `document` (an `document.Document`, where there is one) lets `ftspec.problems.render` show the lines.
    """

    def __init__(self, problems: Sequence[Problem], document: Any = None) -> None:
        super().__init__(f"{plural(len(problems), 'problem')} in the spec")
        self.problems = tuple(problems)
        self.document = document


class DataError(FtspecError):
    """The data cannot be used; `findings` holds what was found (bounded), `total` how many there were.

    `counts` holds what each step did to the rows (`records.StepCount`), where all of them were cleaned.
    """

    counts: Sequence[Any] = ()

    def __init__(self, findings: Sequence[Finding], total: int | None = None) -> None:
        self.findings = tuple(findings)
        self.total = len(self.findings) if total is None else total
        super().__init__(f"{plural(self.total, 'finding')} in the data")


def in_short(error: FtspecError) -> tuple[str, str]:
    """The error and its hint, in a line: of several problems the first one."""
    found: Sequence[Problem | Finding] = ()
    if isinstance(error, SpecError):
        found = error.problems
    elif isinstance(error, DataError):
        found = error.findings
    first = found[0] if found else error
    return first.message + (f" (of {error.message})" if len(found) > 1 else ""), first.hint


class PluginError(FtspecError):
    """A plugin cannot be loaded, or broke its contract; the message names the culprit as `distribution[entry]`."""


class PluginFault(PluginError):
    """A plugin's code raised an error that is none of ftspec's: it is the cause, and a log shows its authors where."""


class StoreError(FtspecError):
    """The state folder or bucket cannot be read, written or trusted."""


class BudgetReached(FtspecError):
    """Going on could cost more than the spec's budget allows; what was made so far is kept."""


class GateFailed(FtspecError):
    """The run is complete and reported; at least one gate said no.

    The verdicts are in `runner.Outcome`, which is no error: of this only the command line's exit code is used."""

    exit_code = 4


class StillRunning(FtspecError):
    """We stop following, the job goes on (detached, `--wait` ran out, or ^C)."""

    exit_code = 5


class ProviderError(FtspecError):
    """Something on the tuner's side.

    Args:
        retry_after: seconds to wait before the next try, where the provider says.
    """

    def __init__(self, message: str, hint: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class Rejected(ProviderError):
    """The provider said no, and nothing exists on its side for this call."""


class NotFound(Rejected):
    """What the call is about does not exist there, or not any more."""


class Unauthorized(Rejected):
    """The key was refused, or has expired: so is every other call until a person has seen to it."""


class Ambiguous(ProviderError):
    """The provider may or may not have acted (timeout, reset, 5xx, a broken body): look before acting again."""


class Transient(ProviderError):
    """The provider did not act and says that the same call may succeed later."""


class JobFailed(ProviderError):
    """The job ended without a model (failed, cancelled or expired)."""
