"""Every test starts from the same surroundings, whatever the shell that runs it has set."""

from __future__ import annotations

import gc
import importlib
import os
import signal
from collections import Counter
from collections.abc import Iterator

import fenced
import pytest
from hypothesis import HealthCheck, settings
from servers.fixtures import _aimock, aimock, proxied

from ftspec.compiled import native, objects

__all__ = ["_aimock", "aimock", "proxied"]

# How long an example takes says how busy the machine is.
settings.register_profile("ftspec", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ftspec")

# A script's `&` and `nohup` ignore signals, and whoever is started would not heed those that tests send.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

LONGEST = (
    "test_training.py", "test_killed.py", "test_provider.py", "test_ray.py", "test_hub.py", "test_hub_away.py",
    "test_survival.py", "test_every_step.py", "test_blocks.py", "test_passes.py", "test_web.py",
)  # fmt: skip
"""Files that take a minute or so with few tests: begun last, they would be waited for at the end of the run."""

SHELL = ("FTSPEC_STORE", "FTSPEC_DISABLE_PLUGINS", "FTSPEC_TRACE_PLUGINS", "NO_COLOR", "FORCE_COLOR")


class Heap:
    """What is there between two files stays to the end, so that no collection in the next one looks at it.

    A process that runs all files holds a million objects (all test modules, PyTorch, botocore, Ray), and the data step
    collects after every reduction: the tests of small jobs took ten times as long here as by themselves.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        gc.disable()
        try:
            return (yield)
        finally:
            gc.enable()
            self.freeze()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        if nextitem is not None and nextitem.path != item.path:
            self.freeze()

    @staticmethod
    def freeze() -> None:
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, then those of the most tests (see TESTS in the Makefile)."""
    tests = Counter(item.path for item in items)
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (rank.get(item.path.name, len(LONGEST)), -tests[item.path]))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Heap())  # hooks of this file itself are for the tests beside it only


@pytest.fixture(autouse=True, scope="session")
def _charts_are_drawn_here() -> None:
    """A process for each of some hundred reports would take a second each."""
    importlib.import_module("vl_convert")


@pytest.fixture(autouse=True)
def _plain_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SHELL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.devnull)  # no tables of the user's own


@pytest.fixture(scope="session")
def code() -> bytes:
    """The kernels' object code: to compile them takes seconds."""
    pytest.importorskip("numba")
    return objects.compiled()


@pytest.fixture(scope="session")
def compiled(code: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[native.Native]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "compiled", lambda: code)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("objects")))
        engine = objects.engine(compiles=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "_at", fenced.at)
        yield fenced.Fenced(engine)


@pytest.fixture(scope="module", params=["machine code", "without"])
def kernels(request: pytest.FixtureRequest) -> Iterator[native.Native | None]:
    """What does the work where machine code may, in tests that ask for it: all is the same with and without."""
    made = None
    if request.param == "machine code":
        pytest.importorskip("numba")
        made = request.getfixturevalue("compiled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "loaded", lambda more=0, compiles=True: made)
        yield made
