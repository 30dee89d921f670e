"""A chat completions server that answers every question with its last message, after a while: for benchmarks.

Run as `python echo_server.py PORT SECONDS`. One process on uvloop and httptools: about 0.1 ms of CPU per call, so that
what asks it is the bottleneck. `GET /calls` says how many questions were answered.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httptools
import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"


class Server:
    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop, self.seconds, self.calls = loop, seconds, 0


class Connection(asyncio.Protocol):
    """One connection; a client that pipelines is none of ours."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self.body.append(part)

    def on_message_complete(self) -> None:
        body, self.body = b"".join(self.body), []
        if self.parser.get_method() == b"GET":
            self.say({"calls": self.server.calls})
        else:
            self.server.loop.call_later(self.server.seconds, self.answer, body)

    def answer(self, body: bytes) -> None:
        asked = json.loads(body)
        self.server.calls += 1
        self.say(
            {
                "id": f"chatcmpl-{self.server.calls}",
                "object": "chat.completion",
                "created": 1,
                "model": asked["model"],
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": asked["messages"][-1]["content"]},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 8, "completion_tokens": 8, "total_tokens": 16},
            }
        )

    def say(self, said: dict[str, Any]) -> None:
        data = json.dumps(said).encode()
        if not self.transport.is_closing():
            self.transport.write(HEAD % (len(data), data))


def main(port: int, seconds: float) -> None:
    loop = uvloop.new_event_loop()
    server = Server(loop, seconds)
    loop.run_until_complete(loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=1024))
    loop.run_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
