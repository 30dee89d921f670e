"""How long the Hugging Face hub is waited for, and what the user is told meanwhile."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from ftspec.common.errors import FtspecError
from ftspec.common.figures import duration, seconds

LOG = "ftspec.hub"
"""The log that is told what a user should see while the hub is waited for; the command line shows it as notes."""
VARIABLE = "FTSPEC_HUB_PATIENCE"
PATIENCE = 120.0
"""Seconds of failures in a row after which the hub is given up; VARIABLE sets it, as 300 or 5m."""
FIRST = 20.0
"""The same where it has not answered at all yet: a machine without a network learns that soon."""
LIMITED = 900.0
"""The same where it says that it is asked too often, which waiting helps."""
DOUBLINGS = 10
"""After so many attempts the next one is as far away as ever."""
LONGEST = 15.0
"""Seconds between two attempts, at the most, unless the hub says how long."""
SILENCES = (5.0, 20.0, 50.0)
"""Seconds without a byte after which that is told."""
RESUMED = 1.0
"""Seconds after which the client goes on with a body that broke off."""
GONE = 30.0
"""Seconds for which a hub that was given up is not asked again."""
UNKNOWN_ISSUER = "nobody whom this machine trusts issued its certificate"
REASONS = {
    "CERTIFICATE_VERIFY_FAILED": UNKNOWN_ISSUER,
    "Name or service not known|name resolution|nodename nor|No address associated": "its name is not known here",
    "refused": "connection refused",
    "reset|Broken pipe": "the connection was reset",
    "unreachable": "there is no way to it from here",
    "timed out|Timeout": "no answer in time",
    "peer closed|disconnected|incomplete": "the connection broke off",
    "ProxyError": "the proxy does not let it through",
}
"""By what stands in the error's name and text, the first that fits."""
HINT = "check the network, and HF_ENDPOINT if another hub is meant; then run the same command again"
CERTIFICATE = "put the certificate of who issued it into a file, and name that by SSL_CERT_FILE"


class Away(FtspecError):
    """The hub was given up. `reason` says why it cannot be reached."""

    def __init__(self, reason: str, hint: str = HINT) -> None:
        super().__init__(f"the hub does not answer: {reason}", hint)
        self.reason = reason


def reason(error: BaseException) -> str:
    """Why a request failed, in a user's words, without an address."""
    said = f"{type(error).__name__} {error}"
    return next((told for known, told in REASONS.items() if re.search(known, said)), type(error).__name__)


class _Silence:
    """Somebody waits for a byte: since when, of whom, and how often that was told."""

    def __init__(self, host: str) -> None:
        self.since, self.host, self.told = time.monotonic(), host, 0


def allowed() -> float:
    """Seconds for which the hub may fail. Raises FtspecError where the environment says something else."""
    try:
        return seconds(said) if (said := os.environ.get(VARIABLE, "").strip()) else PATIENCE
    except ValueError as error:
        raise FtspecError(f"{VARIABLE} in the environment: {error}", "correct it, or take it away") from None


class Waiting:
    """What this process knows of the hub: since when it has not answered, and who waits for a byte of it.

    Raises FtspecError, see `allowed`.
    """

    def __init__(self) -> None:
        self._allowed = allowed()
        self._lock = threading.Lock()
        self._answered = self._told = False
        self._since: float | None = None
        self._attempts = 0
        self._given_up: tuple[float, Away] | None = None
        self._silent: dict[int, _Silence] = {}

    def check(self) -> None:
        """Raises Away where the hub has just been given up: whoever asks next need not find out anew."""
        if self._given_up and time.monotonic() < self._given_up[0]:
            raise self._given_up[1]

    def well(self) -> None:
        """It answered."""
        with self._lock:
            if self._told:
                tell("the hub answers again")
            self._answered, self._told, self._since, self._attempts = True, False, None, 0

    def failed(self, why: str, host: str, began: float, after: float | None = None, *, limited: bool = False) -> float:
        """It did not; returns seconds until the next attempt. Raises Away.

        `began` is when it was asked, by time.monotonic(); `after` the seconds that it says to wait.
        """
        with self._lock:
            now = time.monotonic()
            self._since = began if self._since is None else self._since
            self._attempts += 1
            left = self._since + self._patience(limited) - now
            doubled = 2.0 ** min(self._attempts - 1, DOUBLINGS)
            wait = min(doubled, LONGEST, max(left, 0)) if after is None else after
            if left <= 0 or wait > left or why == UNKNOWN_ISSUER:
                self._give_up(now, f"{why} at {host}", self._hint(why, wait if 0 < left < wait else 0))
            self._told = True
        tell(
            f"the hub does not answer ({why} at {host}): attempt {self._attempts}, the next in {wait:.0f} s, "
            f"given up in {duration(left)}"
        )
        return wait

    def _give_up(self, now: float, why: str, hint: str) -> NoReturn:
        """Raises Away, and to everybody who asks within GONE seconds."""
        since, times = self._since or now, self._attempts
        away = Away(f"{why}, {times} times in {duration(now - since)}" if times > 1 else why, hint)
        self._given_up, self._since, self._attempts, self._told = (now + GONE, away), None, 0, False
        raise away

    def _hint(self, why: str, asked: float) -> str:
        if why == UNKNOWN_ISSUER:
            return CERTIFICATE
        return f"it asks to be left alone for {duration(asked)}: run again then" if asked > RESUMED else HINT

    def _patience(self, limited: bool) -> float:
        if limited:
            return max(LIMITED, self._allowed)
        return self._allowed if self._answered else min(FIRST, self._allowed)

    @contextmanager
    def silence(self, host: str) -> Iterator[None]:
        """Within it somebody waits for a byte."""
        key = threading.get_ident()
        self._silent[key] = _Silence(host)
        try:
            yield
        finally:
            self._silent.pop(key, None)

    def watch(self) -> None:
        """Tell of silences, for as long as the process lives."""
        while True:
            time.sleep(1)
            self.look()

    def look(self) -> None:
        """Tell of silences that have become long."""
        for silence in list(self._silent.values()):
            lasted = time.monotonic() - silence.since
            if silence.told < len(SILENCES) and lasted >= SILENCES[silence.told]:
                silence.told += 1
                tell(f"the hub has sent nothing for {duration(lasted)} ({silence.host})")


def tell(message: str) -> None:
    """A note for the user, from code that has no `Progress`."""
    import logging

    logging.getLogger(LOG).warning("%s", message)
