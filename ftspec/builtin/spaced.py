"""Where a word ends, also in scripts without spaces: a number may stand right behind a word of theirs."""

SPACED = r"[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]"
"""A letter or digit of a script that parts words by spaces: not of Thai, Lao, Burmese, Khmer, Kana, Han and Hangul."""
