"""What checks measured, batch by batch: in a file without a name, read back one measure at a time."""

from __future__ import annotations

import os
import pickle
from array import array
from pathlib import Path
from typing import Any

from ftspec.files.kept import Lazy, nameless


class Measures(Lazy[Any]):
    """The measures of one check, in the order of the batches."""

    def __init__(self, folder: Path) -> None:
        self.file: Any = nameless(folder)
        self.ends = array("q", [0])

    def append(self, measure: Any) -> None:
        self.ends.append(self.ends[-1] + self.file.write(pickle.dumps(measure, protocol=5)))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def at(self, index: int) -> Any:
        start, end = self.ends[index], self.ends[index + 1]
        self.file.flush()
        return pickle.loads(os.pread(self.file.fileno(), end - start, start))  # noqa: S301  # our own, and nameless

    def close(self) -> None:
        self.file.close()
