"""A row as Together reads it, one JSON object a line."""

from __future__ import annotations

from typing import Any

from ftspec import api, hosted, hostedimages

ROLES = frozenset({"system", "user", "assistant", "tool"})
"""Roles of messages that are sent as they are."""
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
    said = [_message(message, model) for message in example.messages]
    tools = {"tools": example.tools} if example.tools else {}
    if method == "dpo":
        return hosted.pair({"messages": said, **tools}, example)
    if said[-1]["role"] != "assistant":
        raise hosted.Unfit("the last message is not the assistant's", hosted.DROP)
    weights = {message.get("weight") for message in said} - {None, 0, 1}
    if weights:
        raise hosted.Unfit(f"a weight is {weights.pop()}, and Together knows 0 and 1", "set it to 0 or 1")
    return {"messages": said, **tools}


def _message(message: api.Message, model: str) -> dict[str, Any]:
    said = hosted.chat_message(message, weights=True)
    if said["role"] == "developer":
        said["role"] = "system"
    if said["role"] not in ROLES:
        raise hosted.Unfit(f"Together knows no role '{said['role']}'", f"use one of {', '.join(sorted(ROLES))}")
    if hostedimages.with_images(message):
        said["content"] = _seen(message, model)
    if "weight" in said:
        said["weight"] = int(said["weight"]) if said["weight"] in (0, 1) else said["weight"]
    return said


def _seen(message: api.Message, model: str) -> list[dict[str, Any]]:
    if model not in SEEING:
        hint = f"drop such rows, or tune one that sees: {', '.join(SEEING)}"
        raise hosted.Unfit("a message holds an image, and Together tunes this model on texts alone", hint)
    if message.role != "user":
        raise hosted.Unfit(f"an image stands in a message of {message.role}, not of the user", hosted.DROP)
    return hostedimages.embedded(message, IMAGES, MOST_IMAGE_BYTES)
