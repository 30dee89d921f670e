"""Texts that are nearly the same: words, shingles, MinHash, and the exact comparison. Pure functions over arrays."""

from ftspec.builtin import compiled

CODE = [
    f"ftspec.builtin.near.{name}"
    for name in ("crowds", "groups", "join", "keys", "minhash", "sets", "spread", "spreadwork", "texts", "words")
] + compiled.CODE
"""What a component is made of that compares texts."""
