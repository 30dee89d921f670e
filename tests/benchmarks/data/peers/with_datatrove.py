"""The job with datatrove 0.10: its formatters, filters and four stages of MinHash (14 bands of 8), one task a stage.

Differs: it works on one text a row, so the messages are joined (not counted); words are parted at white space, which is
the cheapest tokenizer it can be given; exact duplicates go with the near ones, not before; no verification.
"""

import re
import sys
import tempfile

import job
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import LambdaFilter
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.formatters.base import BaseFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.word_tokenizers import WordTokenizer


class SplitTokenizer(WordTokenizer):
    def word_tokenize(self, text):
        return text.split()

    def sent_tokenize(self, text):
        return text.splitlines()

    def span_tokenize(self, text):
        return [match.span() for match in re.finditer(r"\S+", text)]


class Rest(BaseFormatter):
    """What datatrove has no formatter for: white space, cards, accounts, phone numbers."""

    name = "rest"

    def format(self, text):
        text = job.BLANKS.sub(" ", text).strip()
        for pattern, placeholder in job.PERSONAL[1:3] + job.PERSONAL[4:]:
            text = pattern.sub(placeholder, text)
        return text


def run(*pipeline):
    LocalPipelineExecutor(list(pipeline), tasks=1, workers=1, logging_dir=f"{place}/logs/{len(done)}").run()
    done.append(pipeline)


done: list = []
with tempfile.TemporaryDirectory() as place:
    source, made = sys.argv[1].rpartition("/")[::2], f"{place}/cleaned"
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    run(
        JsonlReader(source[0], glob_pattern=source[1], compression=None),
        Rest(),
        FTFYFormatter(normalization="NFC"),
        LambdaFilter(lambda document: job.fits([document.text])),
        PIIFormatter(),
        JsonlWriter(made, compression=None),
        MinhashDedupSignature(f"{place}/signatures", config, SplitTokenizer()),
    )
    run_buckets = LocalPipelineExecutor(
        [MinhashDedupBuckets(f"{place}/signatures", f"{place}/buckets", config=config)],
        tasks=config.num_buckets,
        workers=1,
        logging_dir=f"{place}/logs/buckets",
    )
    run_buckets.run()
    run(MinhashDedupCluster(f"{place}/buckets", f"{place}/remove", config=config))
    kept = JsonlWriter(sys.argv[2] + ".folder", compression=None)
    run(JsonlReader(made, compression=None), MinhashDedupFilter(f"{place}/remove"), kept)
