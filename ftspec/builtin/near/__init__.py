"""Texts that are nearly the same: words, shingles, MinHash, and the exact comparison. Pure functions over arrays."""
