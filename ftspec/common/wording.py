"""Values, names and lists of them as parts of a message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

SHOWN = 60
"""Characters of a value that a message shows."""


def short(text: str) -> str:
    """The text, cut where it is too long for a message."""
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def quoted(text: str) -> str:
    """A text or a name, as a message shows it."""
    return f"'{short(text)}'"


def plain(value: Any) -> str:
    """A value as the spec would write it, texts quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else f"{value}"


def with_article(noun: str) -> str:
    """`a source`, `an engine`."""
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"


def either(words: Iterable[str]) -> str:
    """`a, b or c`, each once."""
    return _listed(list(dict.fromkeys(words)), "or")


def every(names: Iterable[str]) -> str:
    """`'a', 'b' and 'c'`."""
    return _listed([f"'{name}'" for name in names], "and")


def _listed(words: Sequence[str], joint: str) -> str:
    return f" {joint} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of nested mappings by its name as `--set` takes it, `lora.rank`; nothing for one that is not given."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def dotted(path: Iterable[str | int]) -> str:
    """A place in the spec: `cleaning[0].length`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def nearest(value: Any, known: Iterable[str]) -> str:
    """The known name that the value is probably meant to be, "" where none is near."""
    from difflib import get_close_matches

    close = get_close_matches(value[:SHOWN], known, n=1) if isinstance(value, str) else []
    return close[0] if close else ""


def did_you_mean(value: Any, known: Iterable[str]) -> str:
    """A hint that names the nearest of the known names, or nothing."""
    near = nearest(value, known)
    return f"did you mean '{near}'?" if near else ""


def suggestion(value: Any, known: Sequence[str], otherwise: str | None = None) -> str:
    """The nearest name as a hint; where none is near `otherwise`, and without that the names that there are."""
    if near := did_you_mean(value, known):
        return near
    if otherwise is not None:
        return otherwise
    return f"there {'is' if len(known) == 1 else 'are'} {', '.join(known[:20])}" if known else "there are none"


def is_text(path: Path | str) -> bool:
    """Whether a file's name is text: others cannot stand in JSON, logs and reports."""
    return as_text(path) == str(path)


def as_text(path: Path | str) -> str:
    """A file's name with `?` for the bytes of it that are no UTF-8."""
    return str(path).encode("utf-8", "replace").decode()
