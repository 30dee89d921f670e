"""The job with Polars, as somebody who knows it would write it: expressions, ftfy on the hits only, rensa for MinHash.

Differs: the lists of messages are exploded and gathered again; a near-duplicate is what shares one of 16 bands of 8,
neither verified nor grouped; no ledger, no cache.
"""

import sys

import ftfy
import job
import polars as pl
from rensa import RMinHash

MOJIBAKE = r"[ÂÃâåäãð][\x{80}-\x{bf}€‚ƒ„…†‡ˆ‰Š‹Œ‘’“”•–—˜™š›œžŸ ]"
PERSONAL = [(pattern.pattern, placeholder) for pattern, placeholder in job.PERSONAL]


def mended(texts: pl.Series) -> pl.Series:
    hits = texts.str.contains(MOJIBAKE)
    if not hits.any():
        return texts
    places = hits.arg_true()
    return texts.scatter(places, [ftfy.fix_text(text) for text in texts.gather(places)])


def bands(whole: pl.Series) -> pl.Series:
    found = []
    for text in whole:
        words = text.lower().split()
        signature = RMinHash(num_perm=128, seed=1)
        signature.update([" ".join(words[at : at + 5]) for at in range(max(len(words) - 4, 1))])
        values = signature.digest()
        found.append([hash(tuple(values[at : at + 8])) for at in range(0, 128, 8)])
    return pl.Series(found, dtype=pl.List(pl.Int64))


content = pl.col("content").str.normalize("NFC").str.replace_all(r"[ \t\u00a0\u3000]+", " ").str.strip_chars()
messages = (
    pl.read_ndjson(sys.argv[1], schema={"messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String}))})
    .with_row_index("row")
    .explode("messages")
    .unnest("messages")
    .with_columns(content)
)
messages = messages.with_columns(mended(messages["content"]))
personal = pl.col("content")
for pattern, placeholder in PERSONAL:
    personal = personal.str.replace_all(pattern, placeholder)
rows = (
    messages.with_columns(personal)
    .group_by("row", maintain_order=True)
    .agg(
        pl.struct("role", "content").alias("messages"),
        pl.col("content").str.len_chars().min().alias("least"),
        pl.col("content").str.len_chars().sum().alias("length"),
        pl.col("content").str.join("\n").alias("whole"),
    )
    .filter((pl.col("least") > 0) & pl.col("length").is_between(job.LEAST, job.MOST))
    .unique("whole", keep="first", maintain_order=True)
)
keys = rows.select("row", bands(rows["whole"]).alias("band")).with_columns(pl.int_ranges(0, 16).alias("at"))
first = keys.explode("band", "at").with_columns(pl.col("row").min().over("at", "band").alias("first"))
alike = first.filter(pl.col("first") < pl.col("row")).select("row").unique()
rows.join(alike, on="row", how="anti", maintain_order="left").select("messages").write_ndjson(sys.argv[2])
