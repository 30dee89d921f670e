"""The job in plain Python: json, unicodedata, ftfy, re, a set of hashes, datasketch. One process.

Differs: a near-duplicate is what LSH calls one, neither verified nor grouped; no ledger, no cache.
"""

import hashlib
import json
import sys
from pathlib import Path

import job
from datasketch import MinHash, MinHashLSH

seen: set[bytes] = set()
index = MinHashLSH(threshold=job.THRESHOLD, num_perm=job.PERMUTATIONS)
with Path(sys.argv[1]).open(encoding="utf-8") as read, Path(sys.argv[2]).open("w", encoding="utf-8") as written:
    for number, line in enumerate(read):
        row = json.loads(line)
        for message in row["messages"]:
            message["content"] = job.clean(message["content"])
        texts = [message["content"] for message in row["messages"]]
        whole = "\n".join(texts)
        digest = hashlib.blake2b(whole.encode(), digest_size=16).digest()
        if not job.fits(texts) or digest in seen:
            continue
        seen.add(digest)
        signature = MinHash(num_perm=job.PERMUTATIONS)
        signature.update_batch(job.shingles(whole))
        if index.query(signature):
            continue
        index.insert(number, signature)
        written.write(json.dumps(row, ensure_ascii=False) + "\n")
