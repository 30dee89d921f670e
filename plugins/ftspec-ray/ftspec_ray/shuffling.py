"""What the cluster holds, and shuffles of it: tasks that split batches by key, and tasks that take a part from each.

Tasks of Ray's core, and not Ray Data's `groupby`: that has one input, and up to seven shuffles stand in a row here, of
which each took it many seconds on a small cluster. What tasks make lies in the object stores of the nodes, on their
disks when it is much. Where a node dies, Ray runs the tasks again whose results are lost; for that, all that the driver
sent is held for as long as what was made of it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ftspec import api, rows
from ftspec_ray import work as workers

if TYPE_CHECKING:
    import pyarrow as pa

PARTS = 16
"""Parts of a shuffle at least; more where there are more cores, or more bytes."""
PART_BYTES = 64 << 20
RUN_BYTES = 32 << 20
"""Batches that one task splits, at least."""
SMALL = 256 << 10
"""Bytes that one task should give to each part at least: Ray keeps what is below 100 kB with the driver."""


class Held(NamedTuple):
    """Batches in the cluster.

    Args:
        batches: references to them.
        sizes: references to their bytes, or these themselves.
        sent: what the driver sent that they were made of: nobody else could make it again.
    """

    batches: list[Any]
    sizes: list[Any]
    sent: list[Any]


def put(items: Iterable[pa.RecordBatch]) -> Held:
    """The batches themselves: copies, for Ray sends all that a slice is of."""
    import ray

    made = [(ray.put(item.take(rows.integers(range(item.num_rows)))), item.nbytes) for item in items]
    batches = [batch for batch, _ in made]
    return Held(batches, [size for _, size in made], batches)


def sent(work: api.Work, items: Iterable[pa.RecordBatch], most: int) -> Held:
    """What the work makes of batches, of which so many are under way at most."""
    import ray

    task, payload = _remote(workers.applied, 2), ray.put(pickle.dumps(work))
    made = Held([], [], [payload])
    waiting: list[Any] = []
    for item in items:
        made.sent.append(ray.put(item))
        batch, size = task.remote(payload, made.sent[-1])
        made.batches.append(batch)
        made.sizes.append(size)
        waiting.append(size)
        if len(waiting) >= most:
            _, waiting = ray.wait(waiting)
    return made


def mapped(work: api.Work, held: Held) -> Held:
    """What the work makes of each batch."""
    import ray

    task, payload = _remote(workers.applied, 2), ray.put(pickle.dumps(work))
    made = [task.remote(payload, batch) for batch in held.batches]
    return Held([batch for batch, _ in made], [size for _, size in made], [payload, *held.sent])


def shuffled(work: api.Work, inputs: Sequence[Held], cores: int) -> Held:
    """What the work makes of each part of the inputs."""
    import ray

    sizes = [_sizes(held) for held in inputs]
    parts = max(PARTS, cores, sum(map(sum, sizes)) // PART_BYTES)
    split, most = _remote(workers.split, parts), max(RUN_BYTES, parts * SMALL)
    cut = [
        [split.remote(parts, *run) for run in _runs(held.batches, each, most)]
        for held, each in zip(inputs, sizes, strict=True)
    ]
    task, payload = _remote(workers.together, 2), ray.put(pickle.dumps(work))
    counts = [len(runs) for runs in cut]
    made = [task.remote(payload, counts, *(run[part] for runs in cut for run in runs)) for part in range(parts)]
    earlier = [each for held in inputs for each in held.sent]
    return Held([batch for batch, _ in made], [size for _, size in made], [payload, *earlier])


def fetched(held: Held) -> Iterator[pa.RecordBatch]:
    for batch in held.batches:
        yield _got(batch)


def unfinished(error: Exception) -> api.FtspecError:
    """What to say where Ray gives up."""
    said = str(error).strip().rpartition("\n")[2]
    return api.FtspecError(
        f"engine 'ray': the cluster could not finish: {said}", "see `ray status`, and run the same command again"
    )


def _remote(function: Any, results: int) -> Any:
    import ray

    return ray.remote(function).options(num_returns=results)


def _sizes(held: Held) -> list[int]:
    """The bytes of each batch: all are there then."""
    return [size if isinstance(size, int) else _got(size) for size in held.sizes]


def _runs(batches: list[Any], sizes: list[int], most: int) -> Iterator[list[Any]]:
    """Batches next to each other, of so many bytes together at most, or one."""
    run: list[Any] = []
    bytes_ = 0
    for batch, size in zip(batches, sizes, strict=True):
        if run and bytes_ + size > most:
            yield run
            run, bytes_ = [], 0
        run.append(batch)
        bytes_ += size
    yield run


def _got(reference: Any) -> Any:
    """Raises what the work raised, or FtspecError where Ray gives up."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, Exception) and not isinstance(cause, ray.exceptions.RayError):
            raise cause from None
        raise unfinished(error) from error
    except ray.exceptions.RayError as error:
        raise unfinished(error) from error
