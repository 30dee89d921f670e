"""Not the job: orjson reads every row and writes it. The floor that ftspec is measured against."""

import sys
from pathlib import Path

import orjson

with Path(sys.argv[1]).open("rb") as read, Path(sys.argv[2]).open("wb") as written:
    for line in read:
        written.write(orjson.dumps(orjson.loads(line)) + b"\n")
