"""The small language of `filter`: grammar (text to tree), meaning (what fits together), running (tree over a batch)."""
