"""What the service knows, on disk."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Refusal(Exception):
    """The service says no: an HTTP status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class State:
    """What the service knows, one JSON file per thing, replaced whole."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lock = threading.RLock()
        for folder in ("files", "jobs", "deployments"):
            (home / folder).mkdir(parents=True, exist_ok=True)

    def save(self, name: str, value: Json) -> None:
        path = self.home / f"{name}.json"
        staged = path.with_suffix(".new")
        staged.write_text(json.dumps(value))
        staged.replace(path)

    def load(self, name: str) -> Json | None:
        path = self.home / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def remove(self, name: str) -> None:
        (self.home / f"{name}.json").unlink(missing_ok=True)

    def all(self, folder: str) -> list[Json]:
        things = [json.loads(path.read_text()) for path in (self.home / folder).glob("*.json")]
        return sorted(things, key=lambda thing: (thing["created_at"], thing["id"]))

    def count(self, call: str) -> None:
        calls = self.load("calls") or {}
        calls[call] = calls.get(call, 0) + 1
        self.save("calls", calls)

    def fault(self, call: str, orders: str) -> str:
        """The fault that this call is to meet, "" for none; each order is spent after so many times."""
        spent = self.load("faults") or {}
        for order in filter(None, orders.split(",")):
            wanted, kind, times = order.split(":")
            if wanted in (call, "any") and spent.get(order, 0) < int(times):
                spent[order] = spent.get(order, 0) + 1
                self.save("faults", spent)
                return kind
        return ""
