"""Google's clients, each call made once, what their errors mean, and objects in Cloud Storage."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ftspec import api, hosted

HINTS = hosted.Hints(
    key="sign in with `gcloud auth application-default login`, or set the provider's option `access_token`",
    access="grant roles/aiplatform.user, and roles/storage.objectAdmin on the bucket, and enable the Vertex AI API",
    quota="raise the quota of concurrent tuning jobs in the console, or wait until others have ended",
    request="see Google's words above; its page on tuning lists models and regions",
)
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Google:
    """Makes clients; a token is resolved when the first call is made, and kept nowhere else."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self._genai: Any = None
        self._session: Any = None

    def credentials(self) -> Any:
        """The given token, or what Google's own search finds."""
        import google.auth
        from google.oauth2.credentials import Credentials

        token = hosted.key(self.options["access_token"])
        if token:
            return Credentials(token=token)  # type: ignore[no-untyped-call]
        with calling():
            return google.auth.default(scopes=[SCOPE])[0]

    def genai(self) -> Any:
        """The Gen AI client of the project."""
        if self._genai is None:
            from google import genai
            from google.genai import types

            # Google sends no call on, so that none is followed: neither by httpx nor, in a loop, by aiohttp.
            stays = {"follow_redirects": False, "allow_redirects": False}
            http: dict[str, Any] = {
                "timeout": int(self.options["timeout"] * 1000),
                "retry_options": {"attempts": 1},
                "client_args": stays,
                "async_client_args": stays,
            }
            if self.options["base_url"]:
                http |= {"base_url": self.options["base_url"], "api_version": "v1beta1"}
            with calling():
                self._genai = genai.Client(
                    vertexai=True,
                    project=self.options["project"],
                    location=self.options["location"],
                    credentials=self.credentials(),
                    http_options=types.HttpOptions.model_validate(http),
                )
        return self._genai

    def storage(self, method: str, path: str, **more: Any) -> Any:
        """One call of Cloud Storage's JSON API; its JSON, None for 404."""
        from google.auth.transport.requests import AuthorizedSession

        if self._session is None:
            session: Any = AuthorizedSession
            self._session = session(self.credentials(), max_refresh_attempts=0)
        with calling():
            address = f"{self.options['storage_url']}{path}"
            answer = self._session.request(
                method, address, timeout=self.options["timeout"], allow_redirects=False, **more
            )
            if answer.status_code == 404:
                return None
            if answer.status_code >= 300:
                raise hosted.error(answer.status_code, answer.text, HINTS, retry_after=hosted.retry_after(answer))
        try:
            said = answer.json() if answer.content else {}
        except ValueError as fault:
            raise hosted.unreadable(answer.text) from fault
        if not isinstance(said, Mapping):
            raise hosted.unreadable(answer.text)
        return said

    def size(self, bucket: str, name: str) -> int | None:
        """Bytes of an object, None where there is none."""
        found = self.storage("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")
        return int(found.get("size") or -1) if found else None

    def put(self, bucket: str, name: str, file: Path) -> None:
        """Upload an object whole."""
        with file.open("rb") as content:
            query = {"uploadType": "media", "name": name}
            headers = {"content-type": "application/jsonl"}
            if (
                self.storage("POST", f"/upload/storage/v1/b/{bucket}/o", params=query, data=content, headers=headers)
                is None
            ):
                raise api.Rejected(f"there is no bucket {bucket}", "set the provider's option `gcs` to one of yours")


@contextmanager
def calling() -> Iterator[None]:
    """Translate what Google's libraries raise."""
    import httpx2
    import pydantic
    import requests
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.genai.errors import APIError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SDK calls its own tuning experimental, at every call
            yield
    except APIError as fault:
        message, status = str(fault.message or fault), str(fault.status or "")
        after = hosted.retry_after(fault.response) if hasattr(fault.response, "headers") else None
        raise hosted.error(int(fault.code or 500), message, HINTS, code=status, retry_after=after) from fault
    except TransportError as fault:
        raise hosted.unanswered(fault) from fault
    except GoogleAuthError as fault:
        if fault.retryable or any(isinstance(one, TransportError) for one in api.chained(fault)):
            raise api.Transient(f"Google gives no token for now: {fault}") from fault  # so the call was never sent
        raise api.Unauthorized(f"no Google credentials: {fault}", HINTS.key) from fault
    except (ImportError, requests.exceptions.InvalidSchema, requests.exceptions.InvalidProxyURL) as fault:
        raise hosted.no_connection(str(fault)) from fault
    except (httpx2.HTTPError, requests.RequestException, OSError) as fault:
        raise hosted.unanswered(fault) from fault
    except (pydantic.ValidationError, ValueError, AttributeError, TypeError) as fault:
        raise hosted.unreadable(fault) from fault
