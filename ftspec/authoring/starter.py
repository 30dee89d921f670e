"""`ftspec init`: a commented spec that validates as it is, and beside it the schema that editors complete from."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ftspec import registry
from ftspec.common.errors import FtspecError
from ftspec.validation import schema

TEMPLATE = Path(__file__).with_name("starter.yaml")
SCHEMA = "ftspec.schema.json"


def text(name: str) -> str:
    """The starter spec; what a spec's name cannot hold is replaced by '-'."""
    fitting = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:64] or "my-model"
    return TEMPLATE.read_text(encoding="utf-8").replace("name: NAME", f'name: "{fitting}"')


def write(file: Path, *, force: bool = False) -> list[Path]:
    """Write the spec, named after its file or folder, and its schema. Raises FtspecError when the spec exists."""
    name = file.absolute().parent.name if file.stem in {"spec", "ftspec"} else file.stem
    beside = file.with_name(SCHEMA)
    composed = msgspec.json.format(msgspec.json.encode(schema.compose(registry.load())), indent=2)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w" if force else "x", encoding="utf-8") as stream:
            stream.write(text(name))
        beside.write_bytes(composed + b"\n")
    except FileExistsError:
        raise FtspecError(f"{file} exists", "name another file, or overwrite it with --force") from None
    except OSError as error:
        raise FtspecError(f"cannot write {error.filename}: {error.strerror}", "check the folder") from error
    return [file, beside]
