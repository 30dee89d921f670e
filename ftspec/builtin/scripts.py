"""Functions of the user's own, in a file beside the spec, as a grader and as a cleaning step: only where allowed."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb
from typing import Annotated, Any

from msgspec import Meta

from ftspec import api

ALLOWED = "FTSPEC_ALLOW_PYTHON"


@api.grader
def python(*, file: api.Path, function: Annotated[str, Meta(min_length=1)] = "grade") -> api.Grader:
    """A Python function grades: `function(prompt, answer)` in `file`, which is hashed as any input is.

    It returns whether the answer passes, or a score from 0 to 1 (from 0.5 on it passes), or an `api.Grade`. Where it
    raises there is no verdict: the answer counts neither as passed nor as failed. A spec that somebody sends you could
    so run their code: nothing runs unless FTSPEC_ALLOW_PYTHON=1 is set where ftspec runs. A grader that others should
    use is better a plugin.
    """
    graded = _function("grader", file, function)

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        try:
            return _grade(graded(prompt, answer))
        except Exception as error:  # the function meets whatever a model says
            line = next((f":{line}" for name, line in _lines(error) if name == file), "")
            said = f"{function} failed: {type(error).__name__}: {error} ({Path(file).name}{line})"
            raise api.FtspecError(f"grader 'python': {said}") from error

    return grade


def _lines(error: BaseException) -> list[tuple[str, int]]:
    """(file, line) of the calls that led to an error, the last one first."""
    return [(frame.f_code.co_filename, line) for frame, line in reversed(list(walk_tb(error.__traceback__)))]


@api.row_step(name="python")
def cleaner(*, file: api.Path, function: Annotated[str, Meta(min_length=1)] = "clean") -> api.RowStep:
    """A Python function cleans row by row: `function(row)` in `file`, which is hashed as any input is.

    It gets a row as a dict (messages as a list of dicts) and returns the row to keep, or True to keep it as it is now,
    or None or False to drop it. It must depend on the row alone. A spec that somebody sends you could so run their
    code: nothing runs unless FTSPEC_ALLOW_PYTHON=1 is set where ftspec runs. It is slower than any other step.
    """
    clean = _function("cleaning step", file, function)

    def step(row: dict[str, Any]) -> dict[str, Any] | None:
        found = clean(row)
        if isinstance(found, bool):
            return row if found else None
        if found is not None and not isinstance(found, dict):
            message = f"the function returned {type(found).__name__}, not a row, True, False or None"
            raise api.DataError([api.Finding(message=message)])
        return found

    return step


def _function(who: str, file: str, name: str) -> Callable[..., Any]:
    """The file's function. Raises FtspecError unless the user allows it."""
    if os.environ.get(ALLOWED) != "1":
        raise api.FtspecError(
            f"{who} 'python': {file} would run with your rights, and {ALLOWED}=1 is not set",
            f"read the file, then run `{ALLOWED}=1 ftspec run ...`",
        )
    try:
        found = runpy.run_path(file).get(name)
    except Exception as error:  # whatever a script does at its top level
        raise api.FtspecError(f"{who} 'python': {file} failed: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise api.FtspecError(f"{who} 'python': {file} has no function '{name}'", "name it with `function`")
    made: Callable[..., Any] = found
    return made


def _grade(found: Any) -> api.Grade:
    if isinstance(found, api.Grade):
        return found
    if isinstance(found, bool):
        return api.Grade(passed=found, score=float(found), reason="" if found else "the function says no")
    if isinstance(found, int | float) and 0 <= found <= 1:
        scored = api.beside(found, 0.5, digits=2)
        return api.Grade(passed=found >= 0.5, score=float(found), reason=f"scored {scored}, wanted 0.5")
    raise TypeError(f"the function returned {found!r}, not True, False, a score from 0 to 1 or a Grade")


COMPONENTS: dict[str, api.Component] = {"python": python}
CLEANERS: dict[str, api.Component] = {"python": cleaner}
