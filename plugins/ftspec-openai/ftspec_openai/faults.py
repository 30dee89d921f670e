"""What servers of this shape refuse, and what a user can do about it: two tables, of calls and of jobs that failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ftspec import api, hosted

SLOW = "the service asks to slow down"


class Refusal(msgspec.Struct, frozen=True):
    """How a refused call is told: `code` and `text` are regular expressions for the error's code and message."""

    code: str
    text: str
    kind: Literal["rejected", "transient"]
    hint: str


REFUSALS = (
    Refusal(
        r"daily_rate_limit_exceeded",
        r"daily (rate )?limit",
        "rejected",
        "this is the limit of jobs per day, which waiting a minute does not lift: run the same command again tomorrow, "
        "or have the limit raised; nothing was made",
    ),
    Refusal(
        r"training_not_available",
        r"fine-?tuning is (not|no longer) available",
        "rejected",
        "this organisation may not create fine-tuning jobs any more; `ftspec port` writes the spec for another tuner",
    ),
    Refusal(
        r"insufficient_quota|billing_.*|exceeded_.*quota.*|.*hard_limit.*",
        r"exceeded your current quota|billing hard limit",
        "rejected",
        "the account has no credit left: see its billing page, then run again; nothing was made",
    ),
    Refusal(
        r"invalid_api_key|account_deactivated|token_expired",
        r"incorrect api key",
        "rejected",
        "check the environment variable that holds the key; the key itself is shown nowhere",
    ),
    Refusal(
        r"moderation.*|content_policy_violation|unsafe.*",
        r"moderation|usage polic|unsafe",
        "rejected",
        "the service's moderation refused the data: find such rows with its moderation endpoint, and drop them in "
        "`cleaning`",
    ),
    Refusal(
        r"file_not_ready",
        r"not ready|still being processed",
        "transient",
        "the service is still processing the file",
    ),
    Refusal(
        r"model_not_available|model_not_found|invalid_model|deploymentnotfound",
        r"model .*(does not exist|not available for fine-?tuning|not supported)",
        "rejected",
        "check `model` against the service's list of models, and that this key may use it",
    ),
    Refusal(
        r"invalid_training_file|invalid_validation_file|invalid_file.*|unsupported_file.*",
        r"invalid (training|validation)? ?file|too few examples|at least 10 examples",
        "rejected",
        "the service does not take the data file: its message says why; mend the rows in `cleaning` or at their source",
    ),
    Refusal(
        r"rate_limit_exceeded|slow_down|too_many_requests",
        r"rate limit|too many (active )?(fine-?tun|jobs|requests)",
        "transient",
        SLOW,
    ),
)
"""In this order: the first that fits counts, by code before text."""

HINTS = hosted.Hints(
    key="check the environment variable that holds the key; the key itself is shown nowhere",
    access="this key may not do that: check the permissions of the key and of its project",
    quota="the account has no credit left: see its billing page, then run again; nothing was made",
    request="what the service says is above: change the spec or the data",
)
MISSING = "check `base_url`, and that what is asked for exists for this key"


class Ending(msgspec.Struct, frozen=True):
    """How a job that failed is explained: a regular expression for its error's code and message."""

    text: str
    hint: str


ENDINGS = (
    Ending(
        r"special token|disallowed token|<\|[a-z_]+\|>",
        "a row holds one of the model's control tokens, such as <|endoftext|>: remove it in `cleaning`",
    ),
    Ending(
        r"moderation|unsafe|usage polic|safety",
        "the service's moderation refused the data or the finished model: find such rows with its moderation endpoint, "
        "drop them in `cleaning`, and run `ftspec run --again tuning`",
    ),
    Ending(
        r"quota|billing|credit",
        "the account has no credit left: see its billing page, then `ftspec run --again tuning`",
    ),
    Ending(
        r"invalid_(training|validation)_file|invalid file|examples|json|format|token limit|too long",
        "the service does not take the data: mend the rows that it names, then run again",
    ),
    Ending(
        r"server_error|internal|timeout|unavailable",
        "a fault at the service: `ftspec run --again tuning` makes a new job; ask its support whether this is billed",
    ),
)


def of_status(what: str, status: int, body: Any, *, wait: float | None) -> api.ProviderError:
    """The error that an HTTP status and its body mean.

    Args:
        what: what the call was to do.
        body: the `error` object, or whatever came instead.
        wait: seconds that the server asked for.
    """
    if isinstance(body, str) and hosted.page_of(body) is not None:
        return hosted.error(status, body, HINTS, retry_after=wait)
    code, text = _said(body)
    message = f"could not {what}: {text or 'no reason given'}"
    if status == 401:
        # The services quote a part of the key that they refuse.
        return hosted.error(status, f"could not {what}: the API key was refused", HINTS, code=code)
    told = f"{message} ({status}{', ' + code if code else ''})"
    refused = api.NotFound if status in hosted.GONE else api.Rejected
    refusal = _refusal(code, text) if status < 500 and status not in {408, 409} else None
    if refusal and refusal.kind == "rejected":
        return refused(told, refusal.hint)
    if refusal or status == 429:
        return api.Transient(told, refusal.hint if refusal else SLOW, retry_after=wait)
    if status == 404:
        return refused(told, MISSING)
    return hosted.error(status, message, HINTS, code=code, retry_after=wait)


def of_job(code: str, text: str) -> str:
    """What a user can do about a job that failed; "" where we do not know."""
    said = f"{code} {text}"
    return next((ending.hint for ending in ENDINGS if re.search(ending.text, said, re.IGNORECASE)), "")


def _refusal(code: str, text: str) -> Refusal | None:
    by_code = (one for one in REFUSALS if code and re.fullmatch(one.code, code, re.IGNORECASE))
    by_text = (one for one in REFUSALS if text and re.search(one.text, text, re.IGNORECASE))
    return next(by_code, None) or next(by_text, None)


def _said(body: Any) -> tuple[str, str]:
    """(code, message) of an error's body, whatever its shape; at most some hundred characters of it."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            code = inner.get("code") or inner.get("type") or ""
            return str(code)[:80], str(inner.get("message") or inner.get("detail") or "")[:500]
        return "", str(inner)[:500]
    return "", ("" if body is None else " ".join(str(body).split())[:200])
