"""A row as Fireworks reads it, one JSON object a line."""

from __future__ import annotations

from typing import Any

from ftspec import api, hosted, hostedimages

ROLES = frozenset({"system", "user", "assistant", "tool"})
"""Roles of messages that are sent as they are."""
IMAGES = ("image/png", "image/jpeg", "image/jpg")
IMAGE_URLS = tuple(map(hostedimages.data_url, IMAGES))
"""What images a row of a model that sees may hold: docs.fireworks.ai/fine-tuning/fine-tuning-vlm."""


def line(method: str, example: api.Example) -> dict[str, Any]:
    """The line of one example. Raises Unfit for what Fireworks would refuse."""
    said = [_message(message) for message in example.messages]
    tools = {"tools": example.tools} if example.tools else {}
    if method == "dpo":
        if any(map(hostedimages.with_images, example.messages)):
            raise hosted.Unfit("a message holds an image, and Fireworks' dpo takes texts alone", hosted.DROP)
        return hosted.pair({"messages": said, **tools}, example)
    if said[-1]["role"] != "assistant":
        raise hosted.Unfit("the last message is not the assistant's", hosted.DROP)
    return {"messages": said, **tools}


def _message(message: api.Message) -> dict[str, Any]:
    said = hosted.chat_message(message, weights=True)
    said["role"] = "system" if said["role"] == "developer" else said["role"]
    if said["role"] not in ROLES:
        raise hosted.Unfit(f"Fireworks knows no role '{said['role']}'", f"use one of {', '.join(sorted(ROLES))}")
    if hostedimages.with_images(message):
        if said["role"] not in {"system", "user"}:
            raise hosted.Unfit(f"an image stands in a message of {said['role']}, not of system or user", hosted.DROP)
        said["content"] = hostedimages.embedded(message, IMAGES)
    if said.get("weight") not in {None, 0, 1}:
        raise hosted.Unfit(f"a weight is {said['weight']}, and Fireworks knows 0 and 1", "set it to 0 or 1")
    if said.get("weight") is not None:
        said["weight"] = int(said["weight"])
    return said
