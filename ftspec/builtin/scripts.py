"""A grader that is a function of the user's own, in a file beside the spec: only where that is allowed."""

from __future__ import annotations

import os
import runpy
from typing import Annotated, Any

from msgspec import Meta

from ftspec import api

ALLOWED = "FTSPEC_ALLOW_PYTHON"


@api.grader
def python(*, file: api.Path, function: Annotated[str, Meta(min_length=1)] = "grade") -> api.Grader:
    """A Python function grades: `function(prompt, answer)` in `file`, which is hashed as any input is.

    It returns whether the answer passes, or a score from 0 to 1 (from 0.5 on it passes), or an `api.Grade`. A spec that
    somebody sends you could so run their code: nothing runs unless FTSPEC_ALLOW_PYTHON=1 is set where ftspec runs. A
    grader that others should use is better a plugin.
    """
    if os.environ.get(ALLOWED) != "1":
        raise api.FtspecError(
            f"grader 'python': {file} would run with your rights, and {ALLOWED} is not set",
            f"read the file, then run `{ALLOWED}=1 ftspec run ...`",
        )
    try:
        graded = runpy.run_path(file).get(function)
    except Exception as error:  # whatever a script does at its top level
        raise api.FtspecError(f"grader 'python': {file} failed: {type(error).__name__}: {error}") from error
    if not callable(graded):
        raise api.FtspecError(f"grader 'python': {file} has no function '{function}'", "name it with `function`")

    def grade(prompt: api.Prompt, answer: api.Answer) -> api.Grade:
        return _grade(graded(prompt, answer))

    return grade


def _grade(found: Any) -> api.Grade:
    if isinstance(found, api.Grade):
        return found
    if isinstance(found, bool):
        return api.Grade(passed=found, score=float(found), reason="" if found else "the function says no")
    if isinstance(found, int | float) and 0 <= found <= 1:
        return api.Grade(passed=found >= 0.5, score=float(found), reason=f"scored {found:.2f}, wanted 0.5")
    raise TypeError(f"the function returned {found!r}, not True, False, a score from 0 to 1 or a Grade")


COMPONENTS: dict[str, api.Component] = {"python": python}
