"""Where a word ends, also in scripts without spaces: a number may stand right behind a word of theirs."""

SPACED = (
    r"(?=\w)[\0-\u0dff\u0f00-\u0fff\u10a0-\u177f\u1800-\u303f\u3100-\u33ff\ua000-\uabff\ud7b0-\ud7ff\ufb00-\U0010ffff]"
)
"""A letter or digit of a script that parts words by spaces: not of Thai, Lao, Burmese, Khmer, Kana, Han and Hangul.

Python looks at each character below U+10000 of a set to compile it, and all those that are left out are more: as
`[^\\W\\u0e00-\\u0eff...]` this takes twice as long in each pattern, which is more than to import two modules of ftspec.
"""
