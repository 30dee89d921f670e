"""The training and validation files, in the provider's own format."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ftspec.common.errors import DataError
from ftspec.common.jobs import DataFile, Request, Size, Written
from ftspec.contracts.provider import Provider
from ftspec.data.findings import Findings
from ftspec.data.prompts import PromptsFile
from ftspec.data.spool import read_rows
from ftspec.files.ondisk import HashedFile
from ftspec.spec import Eval

Purpose = Literal["training", "validation"]
SIDE_OF: dict[Purpose, str] = {"training": "train", "validation": "validation"}
Files = dict[Purpose, tuple[DataFile, Written]]


def write(provider: Provider, request: Request, out: Path, sides: Mapping[str, int], findings: Findings) -> Files:
    """A file for each side that has rows. Raises DataError with what the provider finds wrong with them."""
    return {
        purpose: _write(provider, request, out, purpose, findings) for purpose, side in SIDE_OF.items() if sides[side]
    }


def _write(
    provider: Provider, request: Request, out: Path, purpose: Purpose, findings: Findings
) -> tuple[DataFile, Written]:
    path = out / f"{purpose}.jsonl"
    with HashedFile(path) as raw, io.BufferedWriter(raw, 1 << 20) as file:
        try:
            written = provider.write(request, read_rows(out, (SIDE_OF[purpose],)), file)
        except DataError as error:
            for finding in error.findings:
                findings.add(finding)
            findings.raise_errors()
            raise
    made = DataFile(purpose=purpose, path=str(path), sha256=raw.digest, bytes=raw.count, rows=written.rows)
    return made, written


def size_of(files: Files, asked: Eval | None, prompts: PromptsFile) -> Size:
    """How much there is to train on and to ask, as estimates want to know it."""
    file, training = files["training"]
    return Size(
        rows=training.rows,
        validation_rows=files["validation"][1].rows if "validation" in files else 0,
        tokens=training.tokens,
        trained_tokens=training.trained_tokens,
        prompts=2 * asked.generation.repeats(asked.repeat) * len(prompts) if asked else 0,
        bytes=file.bytes,
        prompt_tokens=prompts.tokens if asked else None,
        row_tokens=prompts.row_tokens if asked else None,
    )
