"""A row as Together reads it, one JSON object a line."""

from __future__ import annotations

from functools import partial
from typing import Any

from ftspec import api, hosted, hostedimages

IMAGES = ("image/png", "image/jpeg", "image/webp")
IMAGE_URLS = tuple(map(hostedimages.data_url, IMAGES))
MOST_IMAGES = 10
MOST_IMAGE_BYTES = 10 * 1024 * 1024
SEEING = (
    "Qwen/Qwen3-VL-8B-Instruct",
    "Qwen/Qwen3-VL-30B-A3B-Instruct",
    "Qwen/Qwen3-VL-235B-A22B-Instruct",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct-VLM",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct-VLM",
    "google/gemma-3-4b-it-VLM",
    "google/gemma-3-12b-it-VLM",
    "google/gemma-3-27b-it-VLM",
)
"""Models that learn from images, and what images: docs.together.ai/docs/fine-tuning/vision."""


def line(method: str, example: api.Example, model: str = "") -> dict[str, Any]:
    """The line of one example. Raises Unfit for what Together would refuse."""
    return hosted.chat_line("Together", method, example, partial(_seen, model))


def _seen(model: str, message: api.Message) -> Any:
    if not hostedimages.with_images(message):
        return message.content
    if model not in SEEING:
        hint = f"drop such rows, or tune one that sees: {', '.join(SEEING)}"
        raise hosted.Unfit("a message holds an image, and Together tunes this model on texts alone", hint)
    if message.role != "user":
        raise hosted.Unfit(f"an image stands in a message of {message.role}, not of the user", hosted.DROP)
    return hostedimages.embedded(message, IMAGES, MOST_IMAGE_BYTES)
