"""ftspec's data engine on Ray: `engine: ray` in a spec runs its cleaning steps on a cluster."""

from __future__ import annotations

from ftspec import api
from ftspec_ray.engine import ray


@api.hookimpl
def ftspec_engines() -> dict[str, api.Component]:
    return {"ray": ray}
