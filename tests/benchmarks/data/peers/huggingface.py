"""The job with Hugging Face datasets: load_dataset, map and filter, one process, no cache from before.

Differs: as plain_python.py, whose functions it maps; rows and signatures go through its Arrow cache.
"""

import hashlib
import sys
import tempfile

import job
from datasets import disable_progress_bars, load_dataset
from datasketch import MinHash, MinHashLSH

disable_progress_bars()


def clean(row):
    messages = [{**message, "content": job.clean(message["content"])} for message in row["messages"]]
    return {"messages": messages}


def fits(row):
    return job.fits([message["content"] for message in row["messages"]])


def digest(row):
    whole = "\n".join(message["content"] for message in row["messages"])
    return {"digest": hashlib.blake2b(whole.encode(), digest_size=16).digest()}


def sign(row):
    signature = MinHash(num_perm=job.PERMUTATIONS)
    signature.update_batch(job.shingles("\n".join(message["content"] for message in row["messages"])))
    return {"signature": signature.hashvalues}


SCHEME = MinHash(num_perm=job.PERMUTATIONS).scheme
seen: set[bytes] = set()
index = MinHashLSH(threshold=job.THRESHOLD, num_perm=job.PERMUTATIONS)


def new(row):
    if row["digest"] in seen:
        return False
    seen.add(row["digest"])
    return True


def unlike(row, number):
    signature = MinHash(num_perm=job.PERMUTATIONS, hashvalues=row["signature"], scheme=SCHEME)
    if index.query(signature):
        return False
    index.insert(number, signature)
    return True


with tempfile.TemporaryDirectory() as cache:
    rows = load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=cache)
    rows = rows.map(clean).filter(fits)
    rows = rows.map(digest).filter(new, load_from_cache_file=False).remove_columns("digest")
    rows = rows.map(sign).filter(unlike, with_indices=True, load_from_cache_file=False).remove_columns("signature")
    rows.to_json(sys.argv[2], force_ascii=False)
