"""State in a bucket that two machines share: one is killed and the other goes on, both run at once; one job.

The buckets are those of test_buckets.py, the tuner is aimock. A machine is a checkout and a cache of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from servers import buckets
from servers.aimock import Aimock
from servers.commands import Commands
from servers.fixtures import KEY
from servers.proxy import OPENAI, Proxy
from test_killed import ASKS, spec

STORES = {"s3": buckets.moto_s3, "gs": buckets.fake_gcs, "az": buckets.azurite}


class Site(NamedTuple):
    """What the machines share, and a process for each: two that give up a claim soon, two that wait as users do."""

    scheme: str
    quick: list[Commands]
    patient: list[Commands]

    def store(self, name: str) -> str:
        return f"{self.scheme}://data/{name}"


@pytest.fixture(scope="module", params=STORES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if request.param == "az" and (reason := buckets.missing_azurite()):
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    folder = tmp_path_factory.mktemp("machines")
    files = buckets.certificates(folder / "tls")
    with STORES[request.param](files) as bucket:
        told = {**bucket.environment, "SSL_CERT_FILE": files.authority, "OPENAI_API_KEY": KEY, "NO_COLOR": "1"}
        started = []
        for name, grace in (("a", 0.6), ("b", 0.6), ("c", 120.0), ("d", 120.0)):
            (own := folder / name).mkdir()
            started.append(Commands(own, grace, **told, XDG_CACHE_HOME=str(own / "cache"), TMPDIR=str(own)))
        yield Site(request.param, started[:2], started[2:])
        for one in started:
            one.stop()


@pytest.fixture
def proxy(aimock: Aimock, proxied: Callable[..., Proxy]) -> Proxy:
    aimock.reset()
    aimock.answer("3")
    return proxied(aimock.url, OPENAI)


def checkouts(folder: Path, proxy: Proxy) -> list[Path]:
    return [spec(folder / name, proxy) for name in ("one", "two")]


@pytest.mark.parametrize("kills", [2, pytest.param(7, marks=pytest.mark.slow)])
def test_killed_at_any_instant_and_gone_on_with_by_the_other(
    site: Site, aimock: Aimock, proxied: Callable[..., Proxy], proxy: Proxy, tmp_path: Path, kills: int
) -> None:
    for name in (f"first-{kills}", f"second-{kills}"):  # the first is slower
        begun = time.monotonic()
        whole = ("run", "spec.yaml", "-q", "--store", site.store(name))
        assert site.quick[0].run(*whole, folder=checkouts(tmp_path / name, proxy)[0])[0] == 0
    took, killed = time.monotonic() - begun, 0
    for kill in range(kills):
        aimock.reset()
        aimock.answer("3")
        name = f"killed-{kill}-of-{kills}"
        folders = checkouts(tmp_path / name, proxied(aimock.url, OPENAI))
        arguments = ("run", "spec.yaml", "-q", "--store", site.store(name))
        victim = site.quick[0].start(*arguments, folder=folders[0])
        time.sleep(took * (kill + 0.5) / kills)
        with contextlib.suppress(ProcessLookupError):  # the last may have come to its end
            os.kill(victim, signal.SIGKILL)
        killed += site.quick[0].finish()[0] == -signal.SIGKILL
        code, said = site.quick[1].run(*arguments, folder=folders[1])
        if code and ASKS in said:
            assert not aimock.jobs()
            code, said = site.quick[1].run(*arguments, "--resubmit", folder=folders[1])
        assert code == 0, said
        assert len(aimock.jobs()) == 1 and "Traceback" not in said, said
    assert killed


def test_two_machines_that_run_at_once_make_one_job(site: Site, aimock: Aimock, proxy: Proxy, tmp_path: Path) -> None:
    both = list(zip(site.patient, checkouts(tmp_path, proxy), strict=True))
    for one, folder in both:
        one.start("run", "spec.yaml", "-q", "--store", site.store("race"), folder=folder)
    for one, _ in both:
        code, said = one.finish()
        assert code == 0, said
    assert len(aimock.jobs()) == 1
    code, said = site.quick[0].run("runs", "--store", site.store("race"), folder=tmp_path / "two")
    assert code == 0 and "hosted" in said, said


def test_what_one_machine_has_done_the_other_finds(site: Site, aimock: Aimock, proxy: Proxy, tmp_path: Path) -> None:
    store = site.store("found")
    (one, here), (two, there) = zip(site.patient, checkouts(tmp_path, proxy), strict=True)
    assert one.run("run", "spec.yaml", "-q", "--store", store, folder=here)[0] == 0
    shutil.rmtree(one.folder / "cache")  # as of a CI's runner
    code, said = two.run("status", "--store", store, folder=there)
    assert code == 0 and "brings it here" in said, said
    code, said = two.run("report", "--format", "markdown", "--store", store, folder=there)
    assert code == 0 and said.startswith("## "), said
    assert "COMPARED" in two.run("compare", "spec.yaml", "--store", store, folder=there)[1]
    code, said = two.run("run", "spec.yaml", "-q", "--store", store, folder=there)
    assert code == 0 and "nothing had to be done again" in said, said
