"""The small language of `filter`: grammar (text to tree), meaning (what fits together), running (tree over a batch).

What its parts come to there are `values`; what functions make of them is in `calls`.
"""
