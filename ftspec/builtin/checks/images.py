"""The check of images in messages: whether the tuner takes any, and where they may stand."""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ftspec import api, rows

if TYPE_CHECKING:
    import pyarrow as pa

PART = "image_url"
KINDS = (PART, "input_image", "image")
"""Types of parts that are images: of chat completions, of OpenAI's Responses, of others'."""
DATA = "data:image/"
SHOWN = 60
ADDRESSES = ("https://", "http://", "gs://", DATA)
COLUMNS = ("messages", "chosen", "rejected")
HINT = "drop such rows, or tune where images are taken: docs/sources.md says where"
Found = tuple[int, str, str]
"""(row, message, hint)."""


@api.check
def images(*, tuner: api.Tuner) -> api.Check:
    """Refuse images where the tuner takes none; where it does, hold them to what it takes.

    Images are parts of a content: `{type: image_url, image_url: {url: ...}}`, with an http or https address or a base64
    data: URL (or gs://, where the tuner reads it), in what a model is asked and never in what it answers. Nobody looks
    at what is at an address. This check always runs; name it to give it a waiver.
    """
    most = tuner.images()
    known = tuple(start.lower() for start in tuner.image_urls())

    def measure(batch: pa.RecordBatch) -> list[Found]:
        numbers = batch.column(rows.ROW)
        seen: dict[int, list[Found]] = {}
        counts: dict[int, int] = {}
        for name in COLUMNS:
            if name not in batch.schema.names:
                continue
            for row, role, part in _images(batch.column(name), numbers):
                counts[row] = counts.get(row, 0) + 1
                seen.setdefault(row, []).extend((row, said, hint) for said, hint in _faults(role, part, most, known))
        for row, count in counts.items():
            if most and count > most:
                seen[row].append((row, f"{count} images, and the tuner takes at most {most} in a row", "take fewer"))
        return [each for found in seen.values() for each in dict.fromkeys(found)]

    def judge(measured: Iterable[list[Found]]) -> Iterator[api.Finding]:
        for found in measured:
            yield from (api.Finding(message=message, hint=hint, row=row) for row, message, hint in found)

    return api.Check(measure, judge)


def _images(messages: pa.Array, numbers: pa.Array) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """(row, role, part) of every image; rows without parts cost nothing."""
    import pyarrow.compute as pc

    if messages.type != rows.messages_type():
        return
    fields = rows.children(messages)
    parts = fields["parts"]
    if parts.null_count == len(parts):
        return
    perhaps = pc.coalesce(pc.match_substring(parts, "image"), rows.scalar(False))
    of_rows = numbers.take(rows.parents(messages))
    columns = (of_rows, fields["role"], parts)
    for row, role, text in zip(*(column.filter(perhaps).to_pylist() for column in columns), strict=True):
        for part in msgspec.json.decode(text):
            if isinstance(part, Mapping) and part.get("type") in KINDS:
                yield row, role or "", part


def _faults(role: str, part: Mapping[str, Any], most: int | None, known: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if most == 0:
        yield "a message holds an image, and the tuner takes none with this model and method", HINT
        return
    if role == "assistant":
        yield "an answer holds an image: tuners learn answers of text alone", "drop such rows"
    if part["type"] != PART:
        hint = "write it as {type: image_url, image_url: {url: ...}}"
        yield f"an image is a part of type '{part['type']}', which chats do not have", hint
        return
    inner = part.get(PART)
    url = inner.get("url") if isinstance(inner, Mapping) else None
    head = _head(url) if isinstance(url, str) else ""
    if not isinstance(url, str) or not head.startswith(ADDRESSES):
        hint = f"write one that begins with {' or '.join(map(repr, known or ADDRESSES))}"
        yield f"an image's address begins with none of {', '.join(ADDRESSES)}", hint
    elif known and not head.startswith(known):
        written = head.rstrip(",") if head.startswith(DATA) else head.partition("//")[0] + "//"
        hint = f"write one that begins with {' or '.join(map(repr, known))}"
        yield f"an image's address begins with {written[:SHOWN]}, and the tuner reads no such", hint
    elif head.startswith(DATA) and not _is_base64(head, url[len(head) :]):
        yield "an image's data: URL is no base64 behind its type", "write {url: 'data:image/png;base64,...'}"


def _head(url: str) -> str:
    """What is looked at in small letters: of a data: URL what stands up to its comma, of an address all."""
    return (url[: url.find(",") + 1 or None] if url[: len(DATA)].lower() == DATA else url).lower()


def _is_base64(head: str, data: str) -> bool:
    try:
        return head.endswith(";base64,") and bool(binascii.a2b_base64(data, strict_mode=True))
    except ValueError:
        return False


COMPONENTS: dict[str, api.Component] = {images.name: images}
