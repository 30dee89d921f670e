"""A row as Fireworks reads it, one JSON object a line."""

from __future__ import annotations

from typing import Any

from ftspec import api, hosted, hostedimages

IMAGES = ("image/png", "image/jpeg", "image/jpg")
IMAGE_URLS = tuple(map(hostedimages.data_url, IMAGES))
"""What images a row of a model that sees may hold: docs.fireworks.ai/fine-tuning/fine-tuning-vlm."""


def line(method: str, example: api.Example) -> dict[str, Any]:
    """The line of one example. Raises Unfit for what Fireworks would refuse."""
    if method == "dpo" and any(map(hostedimages.with_images, example.messages)):
        raise hosted.Unfit("a message holds an image, and Fireworks' dpo takes texts alone", hosted.DROP)
    return hosted.chat_line("Fireworks", method, example, _seen)


def _seen(message: api.Message) -> Any:
    if not hostedimages.with_images(message):
        return message.content
    if message.role not in {"system", "developer", "user"}:
        raise hosted.Unfit(f"an image stands in a message of {message.role}, not of system or user", hosted.DROP)
    return hostedimages.embedded(message, IMAGES)
