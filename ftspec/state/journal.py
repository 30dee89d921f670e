"""A run's journal: decisions as immutable, numbered events; and segments for what comes in bulk.

Several processes may write at once, and any of them may be killed at any instant: an event or a segment is there
whole, or it is not there.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from ftspec.common.errors import StoreError
from ftspec.common.records import Event, Record
from ftspec.state.store import Store

R = TypeVar("R", bound=Record)

WRITER = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
"""Who writes, for people; nothing is ever decided by it."""


class Journal:
    """The decisions of one run, in order. Metrics and answers do not belong here: see Segments.

    Args:
        listener: told of every event that this process appends, once it is durable.
    """

    def __init__(self, store: Store, run_id: str, listener: Callable[[Event], None] | None = None) -> None:
        self.store = store
        self.listener = listener
        self.prefix = f"runs/{run_id}/events"
        self._next = 0

    def append(self, kind: str, **data: Any) -> Event:
        """Write one event under the next free number; it is durable when this returns.

        Args:
            kind: what was decided, in snake_case, e.g. "job_submitted".
            data: JSON-able values, without secrets.
        """
        number = self._next or self._last() + 1
        while True:
            event = Event(number=number, at=time.time(), writer=WRITER, kind=kind, data=data)
            if self._put(event):
                self._next = number + 1
                if self.listener:
                    self.listener(event)
                return event
            number += 1

    def events(self) -> list[Event]:
        """Every event, in order."""
        return list(self.walk())

    def walk(self) -> Iterator[Event]:
        """Every event, in order, each read when it is asked for."""
        for stored in self.store.list(self.prefix):
            yield self._read(stored.key)

    def _put(self, event: Event) -> bool:
        """Whether the event has its number. Read back, because a lost first try of our own may be what took it."""
        key, data = f"{self.prefix}/{event.number:08d}", msgspec.json.encode(event)
        return self.store.put_new(key, data) or self.store.get(key) == data

    def _last(self) -> int:
        listed = self.store.list(self.prefix)
        return int(listed[-1].key.rpartition("/")[2]) if listed else 0

    def _read(self, key: str) -> Event:
        return decode(self.store, key, Event)


class Segments:
    """Records in bulk under one name: each `append` is one immutable object, each process writes its own."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.prefix = f"segments/{name}"
        self._writer = secrets.token_hex(6)
        self._count = 0

    def append(self, records: Sequence[Record]) -> None:
        """Write the records as one object; they are durable when this returns. No records, no object."""
        self.append_lines(b"".join(msgspec.json.encode(record) + b"\n" for record in records))

    def append_lines(self, lines: bytes) -> None:
        """The same with records that are JSON lines already."""
        if not lines:
            return
        self._count += 1
        self.store.put(f"{self.prefix}/{time.time_ns():020d}-{self._writer}-{self._count:06d}", lines)

    def drop(self) -> None:
        """Remove every segment of the name."""
        for stored in self.store.list(self.prefix):
            self.store.delete(stored.key)

    def read(self, type: type[R]) -> Iterator[R]:
        """Every record, segment by segment in the order of their times; within one, in the order written."""
        decoder = msgspec.json.Decoder(type)
        for stored in self.store.list(self.prefix):
            with damage(self.store, stored.key):
                yield from decoder.decode_lines(self.store.get(stored.key) or b"")


def decode(store: Store, key: str, type: type[R]) -> R:
    """The record under a key. Raises StoreError when there is none or it cannot be read."""
    with damage(store, key):
        return msgspec.json.decode(store.get(key) or b"", type=type)


@contextmanager
def damage(store: Store, key: str) -> Iterator[None]:
    """Turn a record that cannot be decoded into a StoreError that names the object."""
    try:
        yield
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{store.url}/{key} is damaged: {error}", "restore it from a backup, or remove it and run again"
        ) from error
