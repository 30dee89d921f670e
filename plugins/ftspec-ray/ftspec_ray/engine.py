"""The engine `ray`: the same steps through Ray Data, on this machine or on a cluster.

The driver reads sources and numbers rows, as with any engine. Batches go out in windows, each one a Ray Data pipeline
(`map_batches`) that keeps their order; the next window is under way while the results of one are taken. Reductions
that compare equal keys only run after a shuffle by key, and so does every step of near-duplicates: see shuffling.py.
What a dead node had is computed again elsewhere: Ray tries a task again, and the driver's own store holds every input.
"""

from __future__ import annotations

import os
import pickle
import socket
import weakref
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from ftspec import api
from ftspec_ray import shuffling
from ftspec_ray import work as workers

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW = 16
"""Batches per core in a window: enough that starting its pipeline costs little, few enough for memory."""

PATIENCE = 10.0
"""Seconds that a cluster may take to answer a connection."""

STARTS = 3
"""How often a cluster of its own is started: Ray gives a node half a minute, and a busy machine takes longer."""
SLOW = {"RAY_agent_register_timeout_ms": "300000"}
"""What the parts of a node are given to find each other, for the same reason."""


@api.engine(dependencies=["ray>=2.50"], install="pip install ./plugins/ftspec-ray")
def ray(*, address: str = "", cpus: Annotated[int, Meta(ge=0)] = 0) -> api.Engine:
    """Run on Ray: `ray: {address: auto}` joins the cluster that this machine belongs to.

    Rows that are kept, and every file that is written, are those of the default engine. Every node needs the same
    versions of ftspec and its plugins, and files that a cleaning step names at the same paths.

    Args:
        address: of the cluster, as Ray takes it (`auto`, `ray://host:10001`, `host:6379`); a cluster of this machine
            alone, for as long as the data step runs, where empty.
        cpus: how many cores such a cluster of its own has; all where 0.
    """
    return Ray(address, cpus)


class Ray:
    """An engine that is connected when it is first asked for something."""

    def __init__(self, address: str, cpus: int) -> None:
        self.address, self.cpus = address, cpus
        self._cores = 0

    def map(self, work: api.Work, items: Iterable[Any]) -> Iterator[Any]:
        """Results in the items' order; an exception of `work` is raised where its result would stand."""
        from concurrent.futures import ThreadPoolExecutor

        waiting = iter(items)
        first = list(islice(waiting, 1))
        if not first:
            return
        self._refuse_secrets(work)
        size = self._connected() * WINDOW
        payload, rest = pickle.dumps(work), chain(first, waiting)
        with ThreadPoolExecutor(1, thread_name_prefix="ftspec-ray") as ahead:
            window = list(islice(rest, size))
            running = ahead.submit(_mapped, payload, window)
            while window:
                window = list(islice(rest, size))
                done, running = running, ahead.submit(_mapped, payload, window)
                yield from map(workers.unpacked, done.result())

    def reduce(self, work: api.Work, items: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows of equal key together, in the order of their places, through a shuffle."""
        self._refuse_secrets(work)
        cores = self._connected()
        yield from shuffling.fetched(shuffling.shuffled(workers.InOrder(work), [shuffling.put(items)], cores))

    def hold(self, work: api.Work, items: Any) -> shuffling.Held:
        self._refuse_secrets(work)
        cores = self._connected()
        if isinstance(items, shuffling.Held):
            return shuffling.mapped(work, items)
        return shuffling.sent(work, items, cores * WINDOW)

    def shuffle(self, work: api.Work, *held: shuffling.Held) -> shuffling.Held:
        self._refuse_secrets(work)
        return shuffling.shuffled(work, held, self._connected())

    def fetch(self, held: shuffling.Held) -> Iterator[pa.RecordBatch]:
        return shuffling.fetched(held)

    def _refuse_secrets(self, work: api.Work) -> None:
        """Workers of a cluster that was there before have an environment of their own, without the secret or with
        another; what Ray is told to set there, it shows to whoever may look at the cluster. Raises FtspecError."""
        names = sorted(getattr(work, "secrets", ()))
        if self.address and names:
            raise api.FtspecError(
                f"engine 'ray' hands no secret to the cluster at '{self.address}', and a step needs {', '.join(names)}",
                "leave `address` out for a cluster of this machine alone, or use the default engine",
            )

    def _connected(self) -> int:
        """Connect where that has not happened; returns the cluster's cores. Raises FtspecError."""
        if not self._cores:
            self._cores = max(1, int(_connect(self.address, self.cpus)))
            # There is no hook for the end of the data step; the engine goes when it is over.
            weakref.finalize(self, _disconnect)
        return self._cores


def _connect(address: str, cpus: int) -> float:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    for name, value in ({} if address else SLOW).items():
        os.environ.setdefault(name, value)
    import logging

    import ray
    import ray.data

    _begin(address, cpus)
    for name in ("ray", "ray.data"):  # they talk about each pipeline
        logging.getLogger(name).setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    return float(ray.cluster_resources().get("CPU", 1))


def _begin(address: str, cpus: int) -> None:
    """Join the cluster, or start one. Raises FtspecError."""
    import ray

    where = f"join a cluster at '{address}'" if address else "start a cluster of this machine"
    hint = "see `ray status` on that machine, or leave `address` out for a cluster of this machine alone"
    if not address:
        hint = "run the same command again when the machine is less busy, or leave `engine` out: the rows are the same"
    if reason := _unreachable(address):
        raise api.FtspecError(f"engine 'ray' cannot {where}: {reason}", hint)
    told = {name: value for name, value in os.environ.items() if name.startswith("FTSPEC_")}
    own = {} if address else {"num_cpus": cpus or None, "include_dashboard": False}
    for left in reversed(range(1 if address else STARTS)):
        try:
            ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": told},
                ignore_reinit_error=True,
                **own,
            )
            return
        except Exception as error:
            said = str(error).strip().partition("\n")[0]
            if left and "timed out" in said:
                ray.shutdown()
                continue
            if "AuthToken" in f"{error} {error.__cause__} {error.__context__}":
                said, hint = (
                    "it wants its token",
                    "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, see `ray get-auth-token`",
                )
            raise api.FtspecError(f"engine 'ray' cannot {where}: {said}", hint) from error


def _unreachable(address: str) -> str:
    """Why nobody listens there; Ray itself tries for minutes, and then ends the process."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdigit():
        return ""
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except OSError as error:
        return str(error)
    return ""


def _disconnect() -> None:
    import ray

    if ray.is_initialized():
        ray.shutdown()


def _mapped(work: bytes, window: list[Any]) -> list[bytes]:
    """A window's results, packed, in order."""
    import ray

    if not window:
        return []
    blocks = ray.data.from_arrow_refs([ray.put(workers.packed_item(item)) for item in window])
    done = blocks.map_batches(workers.mapped(work), batch_format="pyarrow", batch_size=None)
    return _results(done)


def _results(done: Any) -> list[bytes]:
    """Raises FtspecError where Ray gives up."""
    import ray

    try:
        tables = done.iter_batches(batch_format="pyarrow", batch_size=None)
        return [result for table in tables for result in table.column("result").to_pylist()]
    except ray.exceptions.RayError as error:
        raise shuffling.unfinished(error) from error
