"""Messages as Gemini's `contents`: rows of a file, prompts, answers."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from ftspec import api, hosted, hostedimages

ROLES = {"user": "user", "assistant": "model"}
IMAGES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
IMAGE_URLS = ("gs://", "https://", "http://")
MOST_IMAGES = 30
"""Of a row, and what images: docs.cloud.google.com/vertex-ai/generative-ai/docs/models/tune_gemini/image_tune."""


def line(method: str, example: api.Example) -> dict[str, Any]:
    """The line of one example. Raises Unfit for what Vertex AI would refuse."""
    if example.tools:
        raise hosted.Unfit("the row has tools, which this plugin cannot write for Vertex AI", hosted.DROP)
    if any(message.role == "assistant" and message.weight == 0 for message in example.messages):
        raise hosted.Unfit("an assistant message has weight 0, and Vertex AI trains on every one", hosted.DROP)
    said = system_and_turns(example.messages)
    if method == "dpo" and any(map(hostedimages.with_images, example.messages)):
        raise hosted.Unfit("a message holds an image, and preference tuning takes texts alone", hosted.DROP)
    if method == "dpo":
        sides = ((1, hosted.only_answer(example.chosen)), (0, hosted.only_answer(example.rejected)))
        return {**said, "completions": [{"score": score, "completion": _turn(answer)} for score, answer in sides]}
    if said["contents"][-1]["role"] != "model":
        raise hosted.Unfit("the last message is not the assistant's", hosted.DROP)
    return said


def system_and_turns(messages: Sequence[api.Message], *, asked: bool = False) -> dict[str, Any]:
    """`systemInstruction`, where there is one, and `contents`; those that are `asked` may hold images themselves."""
    system = [hosted.text_of(message) for message in messages if message.role in {"system", "developer"}]
    turns = [_turn(message, asked) for message in messages if message.role not in {"system", "developer"}]
    if not turns:
        raise hosted.Unfit("there is nothing but a system message", hosted.DROP)
    instruction = {"role": "system", "parts": [{"text": "\n\n".join(system)}]}
    return {**({"systemInstruction": instruction} if system else {}), "contents": turns}


def _turn(message: api.Message, asked: bool = False) -> dict[str, Any]:
    if message.role not in ROLES or message.tool_calls:
        raise hosted.Unfit("only texts of user and assistant can be sent, and no tool calls", hosted.DROP)
    if message.role == "user" and hostedimages.with_images(message):
        said = hostedimages.parts_of(message)
        return {"role": "user", "parts": [{"text": p} if isinstance(p, str) else _image(p, asked) for p in said]}
    text = hosted.text_of(message)
    if not text:
        raise hosted.Unfit("a message is empty", hosted.DROP)
    return {"role": ROLES[message.role], "parts": [{"text": text}]}


def _image(image: hostedimages.Image, asked: bool) -> dict[str, Any]:
    """A file by its address; rows to learn from have no other way, as far as Google says."""
    if image.mime not in IMAGES:
        kind = f"is {image.mime}" if image.mime else "does not tell its type by the end of its address"
        raise hosted.Unfit(f"an image {kind}, and Vertex AI reads {', '.join(IMAGES)}", "convert or rename it")
    if image.data is None:
        return {"fileData": {"mimeType": image.mime, "fileUri": image.url}}
    if not asked:
        hint = "put it into a bucket, and write its gs:// address"
        raise hosted.Unfit("an image stands in the row, and Vertex AI tunes on images at an address", hint)
    return {"inlineData": {"mimeType": image.mime, "data": base64.b64encode(image.data).decode()}}
