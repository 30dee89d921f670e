"""Texts that are nearly the same: words, shingles, MinHash, and the exact comparison. Pure functions over arrays."""

from ftspec import compiled

ROOMS = (
    "crowds", "duplicates", "groups", "join", "keys", "minhash", "sets", "spread", "spreadwork", "texts", "words",
)  # fmt: skip
CODE = [f"ftspec.builtin.near.{name}" for name in ROOMS] + compiled.CODE
"""What a component is made of that compares texts."""
