"""Images in messages, for plugins of hosted tuners: `from ftspec import hostedimages`. Stands on `hosted`."""

from __future__ import annotations

import binascii
import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ftspec import api, hosted

TYPES = {name: f"image/{name}" for name in ("png", "jpeg", "webp", "heic", "heif", "gif")} | {"jpg": "image/jpeg"}
"""By the end of an address; Python's own table depends on the machine."""
DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+);base64,", re.IGNORECASE)


def data_url(mime: str) -> str:
    """How the data: URL of an image of that type begins."""
    return f"data:{mime};base64,"


class Image(msgspec.Struct, frozen=True):
    """An image of a message: its address, its MIME type ("" where that does not tell), its bytes in a data: URL."""

    url: str
    mime: str
    data: bytes | None


def parts_of(message: api.Message) -> list[str | Image]:
    """A message's texts and images, in order. Raises Unfit for other parts, and for what is no image."""
    parts = [message.content] if isinstance(message.content, str) else message.content or []
    return [part if isinstance(part, str) else _part(part) for part in parts]


def _part(part: Mapping[str, Any]) -> str | Image:
    kind = part.get("type")
    if kind in {None, "text"}:
        return str(part.get("text", ""))
    inner = part.get("image_url")
    url = inner.get("url") if isinstance(inner, Mapping) else None
    if kind != "image_url" or not isinstance(url, str):
        raise hosted.Unfit(f"a message holds {kind}, and only texts and images as image_url can be sent", hosted.DROP)
    return _in_row(url) if url[:5].lower() == "data:" else _at_address(url)


def _at_address(url: str) -> Image:
    try:
        path = urlsplit(url).path
    except ValueError as fault:
        raise hosted.Unfit(f"an image's address is none: {fault}", "write one that a browser opens") from fault
    return Image(url, TYPES.get(path.rpartition(".")[2].lower(), ""), None)


def _in_row(url: str) -> Image:
    """The head as services compare it: in small letters."""
    head = DATA_URL.match(url)
    try:
        if head and (data := binascii.a2b_base64(url[head.end() :], strict_mode=True)):
            return Image(head[0].lower() + url[head.end() :], head[1].lower(), data)
    except ValueError:
        pass
    raise hosted.Unfit("an image's data: URL is no base64 behind its type", "write data:image/png;base64,...")


def with_images(message: api.Message) -> bool:
    """Whether it has a part that is no text."""
    parts = [] if isinstance(message.content, str) else message.content or []
    return any(not isinstance(part, str) and part.get("type") not in {None, "text"} for part in parts)


def embedded(message: api.Message, kinds: Collection[str], most: int | None = None) -> list[dict[str, Any]]:
    """The parts of a content in OpenAI's shape, where each image is a base64 data: URL; `detail` is left out.

    Raises Unfit for images at other addresses, of other MIME types than `kinds`, or of more than `most` bytes."""
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": _embedded(part, kinds, most)}}
        for part in parts_of(message)
    ]


def _embedded(image: Image, kinds: Collection[str], most: int | None) -> str:
    if image.data is None:
        raise hosted.Unfit("an image is at an address, and must be in the row", "write it as data:image/png;base64,...")
    if image.mime not in kinds:
        raise hosted.Unfit(f"an image is {image.mime}, and only {', '.join(kinds)} can be sent", "convert it")
    if most is not None and len(image.data) > most:
        message = f"an image has {len(image.data):,} bytes, and at most {most:,} can be sent"
        raise hosted.Unfit(message, "make it smaller")
    return image.url
