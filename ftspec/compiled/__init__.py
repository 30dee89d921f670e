"""Loops that the extra `fast` makes machine code of: to read and write JSON lines, for near-duplicates and for what
texts are searched for.

Without it NumPy, Arrow and RE2 do the same where these are used, with the same results.
"""

CODE = [
    f"ftspec.compiled.{name}"
    for name in (
        "characters", "chatkernels", "entitykernels", "hashes", "linekernels", "native", "objects", "scankernels",
        "setkernels", "wordkernels",
    )
]  # fmt: skip
"""What a component is made of that uses them."""
