"""A line that names a fact: figures about plans and runs, one below the other."""

from __future__ import annotations

NAMES = 14
"""Columns that names of steps, parts and facts take at the least."""


def fact(name: str, text: str) -> str:
    return f"  {name:<{NAMES}} {text}"
