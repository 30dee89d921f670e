"""Why the hub does not give a dataset: what its library raises in a user's words, without what it quotes."""

from __future__ import annotations

from typing import NamedTuple

from ftspec import api

CREDENTIALS = "Invalid credentials"
"""Begins what the hub says of a token that is none; it has no code for that."""
HOW = "`token: ${secret:HF_TOKEN}`"


class Cause(NamedTuple):
    """What happened, and what to do about it."""

    reason: str
    hint: str


def cause(error: BaseException, dataset: str) -> Cause | None:
    """The cause of an error that was raised while `dataset` was looked up or read; None where it is not known.

    `datasets` wraps what `huggingface_hub` raises, so the error is looked at with all that it came from.
    """
    return next((found for one in api.chained(error) if (found := _one(one, dataset))), None)


def away(error: BaseException) -> Cause | None:
    """Why the hub is not reached any more; None where that is not what happened."""
    for one in api.chained(error):
        if isinstance(one, api.hubclient.Away):
            return Cause(one.reason, one.hint)
        if any(kind.__name__ == "TransportError" for kind in type(one).__mro__):  # httpx's, under whichever name
            return Cause(api.hubclient.reason(one), api.hubclient.HINT)
    return None


def _one(error: BaseException, dataset: str) -> Cause | None:
    from huggingface_hub import errors

    missing = type(error).__name__ == "DatasetNotFoundError"  # of `datasets`, which takes a second to import
    if isinstance(error, errors.GatedRepoError) or (missing and "gated" in str(error).replace(dataset, "")):
        return Cause(
            f"'{dataset}' is gated, and the hub does not open it to you",
            f"accept its terms on its page of the hub, and give a token of that account: {HOW}",
        )
    if missing or isinstance(error, errors.RepositoryNotFoundError):
        return Cause(
            f"the hub has no dataset '{dataset}', or it is not yours to see",
            f"check id and revision; a private one needs a token: {HOW}",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return Cause(f"'{dataset}' has none of that name", "name a branch, a tag or a commit that is there")
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        return _answered(error.response.status_code, CREDENTIALS in (error.server_message or ""))
    if any(kind.__name__ == "ArrowException" for kind in type(error).__mro__):
        return Cause(
            f"one of its files cannot be read ({type(error).__name__})",
            "see whether it is whole on the hub, or on the mirror that HF_ENDPOINT names",
        )
    return None


def _answered(status: int, credentials: bool) -> Cause | None:
    """The cause by the status of an answer."""
    if status == 401 and credentials:
        return Cause(
            "the hub does not know the token (401)",
            "make a new one in your account's settings there, for what `token` names, or HF_TOKEN where there is none",
        )
    if status in (401, 403):
        return Cause(f"the hub refuses ({status})", f"give a token that may read it: {HOW}")
    if status == 429:
        return Cause(
            "the hub lets nobody ask that often (429)",
            f"wait and run again; with a token it lets you ask more: {HOW}",
        )
    return Cause(f"the hub fails ({status})", "run again later") if status >= 500 else None
