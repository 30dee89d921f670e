"""Read a GGUF file: its metadata and its tensors, unpacked to float32.

A file holds a header, key-value metadata, a table of tensors, and the aligned tensor data. Only the encodings that the
embedded model uses are unpacked here (F32, F16, Q8_0, Q4_1); another is a clear error, not a wrong weight.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"GGUF"
SUPPORTED_VERSIONS = (2, 3)
BLOCK = 32  # weights per quantised block
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


class GgufError(ValueError):
    """The file is not a GGUF file that this module can read."""


@dataclass(frozen=True)
class Tensor:
    """A tensor's place in the file; `shape` is in the order of numpy and torch (rows first)."""

    name: str
    shape: tuple[int, ...]
    encoding: int
    offset: int


@dataclass(frozen=True)
class Gguf:
    """A GGUF file's metadata and its table of tensors."""

    path: Path
    metadata: dict[str, Any]
    tensors: tuple[Tensor, ...]
    data_start: int

    def weights(self) -> Iterator[tuple[str, Any]]:
        """Yield every tensor's name and its float32 values, in file order."""
        import numpy as np

        data = np.memmap(self.path, dtype=np.uint8, mode="r", offset=self.data_start)
        for tensor in self.tensors:
            yield tensor.name, _unpack(tensor, data)


def read(path: Path) -> Gguf:
    """Read the metadata and the table of tensors; the tensors' data stays on disk."""
    raw = path.read_bytes()
    if raw[:4] != MAGIC:
        raise GgufError(f"{path} is not a GGUF file")
    cursor = _Cursor(raw, position=4)
    version, tensor_count, entry_count = cursor.take("I"), cursor.take("Q"), cursor.take("Q")
    if version not in SUPPORTED_VERSIONS:
        raise GgufError(f"{path} is GGUF version {version}; supported are {SUPPORTED_VERSIONS}")
    metadata = dict(cursor.entry() for _ in range(entry_count))
    tensors = tuple(cursor.tensor() for _ in range(tensor_count))
    alignment = metadata.get("general.alignment", 32)
    return Gguf(path, metadata, tensors, data_start=math.ceil(cursor.position / alignment) * alignment)


class _Cursor:
    """Takes values one after the other from the header's bytes."""

    def __init__(self, raw: bytes, position: int) -> None:
        self.raw = raw
        self.position = position

    def take(self, code: str) -> Any:
        (value,) = struct.unpack_from("<" + code, self.raw, self.position)
        self.position += struct.calcsize("<" + code)
        return value

    def string(self) -> str:
        length = self.take("Q")
        start, self.position = self.position, self.position + length
        return self.raw[start : self.position].decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            item_kind, count = self.take("I"), self.take("Q")
            return [self.value(item_kind) for _ in range(count)]
        if kind not in SCALARS:
            raise GgufError(f"unknown metadata type {kind}")
        return self.take(SCALARS[kind])

    def entry(self) -> tuple[str, Any]:
        key = self.string()
        return key, self.value(self.take("I"))

    def tensor(self) -> Tensor:
        name = self.string()
        dimensions = [self.take("Q") for _ in range(self.take("I"))]
        return Tensor(name, tuple(reversed(dimensions)), encoding=self.take("I"), offset=self.take("Q"))


def _unpack(tensor: Tensor, data: Any) -> Any:
    if tensor.encoding not in ENCODINGS:
        raise GgufError(f"tensor {tensor.name} has the unsupported encoding {tensor.encoding}")
    weights_per_block, bytes_per_block, unpack = ENCODINGS[tensor.encoding]
    size = math.prod(tensor.shape) // weights_per_block * bytes_per_block
    blocks = data[tensor.offset : tensor.offset + size].reshape(-1, bytes_per_block)
    return unpack(blocks).reshape(tensor.shape)


def _f32(blocks: Any) -> Any:
    return blocks.view("<f4")


def _f16(blocks: Any) -> Any:
    return blocks.view("<f2").astype("f4")


def _q8_0(blocks: Any) -> Any:
    """A float16 scale, then 32 signed bytes."""
    scale = blocks[:, :2].view("<f2").astype("f4")
    return scale * blocks[:, 2:].view("i1").astype("f4")


def _q4_1(blocks: Any) -> Any:
    """A float16 scale, a float16 minimum, then 32 nibbles: the low ones are the first half of the block."""
    import numpy as np

    scale, minimum = blocks[:, :2].view("<f2").astype("f4"), blocks[:, 2:4].view("<f2").astype("f4")
    nibbles = np.concatenate([blocks[:, 4:] & 0x0F, blocks[:, 4:] >> 4], axis=1)
    return scale * nibbles.astype("f4") + minimum


# encoding id -> (weights per block, bytes per block, unpack)
ENCODINGS: dict[int, tuple[int, int, Callable[..., Any]]] = {
    0: (1, 4, _f32),
    1: (1, 2, _f16),
    3: (BLOCK, 20, _q4_1),
    8: (BLOCK, 34, _q8_0),
}
