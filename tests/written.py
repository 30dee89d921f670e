"""What lies in the files of a folder, for tests of what must not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def contents(folder: Path, besides: str = "") -> dict[str, str]:
    """Every file under the folder as text, compressed ones unpacked; `besides` is a folder in it that does not count.

    Not those of machine/cache: this machine's copies of rows between two steps, the ones before `redact` among them.
    """
    found = {}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        if "/machine/cache/" in path.as_posix() or (besides and path.is_relative_to(folder / besides)):
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        if text.startswith("ARROW1"):
            with pa.memory_map(str(path)) as source:
                text += str(pa.ipc.open_file(source).read_all().to_pylist())
        if text.startswith("PAR1"):
            text += str(pq.read_table(path).to_pylist())
        found[str(path.relative_to(folder))] = text
    return found
