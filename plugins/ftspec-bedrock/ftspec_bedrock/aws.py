"""boto3's clients, each call made once, and what its errors mean."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

from ftspec import api, hosted

HINTS = hosted.Hints(
    key="check your AWS credentials: `aws sts get-caller-identity` says whose they are (option `profile`)",
    access="grant bedrock:*ModelCustomizationJob*, iam:PassRole for `role` and access to the bucket; "
    "ask for access to the model in Bedrock's console",
    quota="raise the quota in AWS Service Quotas, or wait until other jobs have ended",
    request="see Bedrock's words above; the region may not tune this model (its page lists models by region)",
)
KEY_CODES = {"UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "ExpiredToken"}
KEY_CODES |= {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId", "MissingAuthenticationToken"}
SLOW_CODES = {"ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown", "ModelNotReadyException"}
UNSENT = {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}
MANY = 32


class Aws:
    """Clients by service, made when one is first asked for.

    Args:
        options: region, profile, keys (perhaps as `${secret:NAME}`), timeout in seconds, and an address for all
            services in place of AWS's own.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str) -> Any:
        """The client of "bedrock", "bedrock-runtime" or "s3"."""
        with self._lock:
            if service not in self._clients:
                with calling():
                    self._clients[service] = self._make(service)
            return self._clients[service]

    def delete(self, operation: str, **what: str) -> None:
        """Call one of Bedrock's deletions; what is gone is left alone."""
        with suppress(api.NotFound), calling():
            getattr(self.client("bedrock"), operation)(**what)

    def _make(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        keys = {name: api.resolve(self.options[name]) or None for name in KEYS}
        session = boto3.session.Session(
            aws_access_key_id=keys["access_key_id"],
            aws_secret_access_key=keys["secret_access_key"],
            aws_session_token=keys["session_token"],
            profile_name=self.options["profile"] or None,
            region_name=self.options["region"],
        )
        timeout = self.options["timeout"]
        config = Config(
            connect_timeout=min(10.0, timeout),
            read_timeout=timeout,
            retries={"total_max_attempts": 1},  # ftspec repeats what may be repeated
            max_pool_connections=MANY,
            s3={"addressing_style": "path"} if self.options["base_url"] else {},
        )
        return session.client(service, endpoint_url=self.options["base_url"] or None, config=config)


KEYS = ("access_key_id", "secret_access_key", "session_token")


@contextmanager
def calling() -> Iterator[None]:
    """Translate what boto3 raises."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    connection = (boto.HTTPClientError, boto.ConnectionError, boto.MetadataRetrievalError)
    damaged = (boto.IncompleteReadError, boto.ChecksumError, boto.FlexibleChecksumError)

    try:
        yield
    except boto.ClientError as fault:
        raise _refused(fault.response) from fault
    except (*connection, *damaged) as fault:
        name = type(fault).__name__
        if name == "ProxyConnectionError" and "//socks" in str(fault):
            raise hosted.no_connection(str(fault)) from fault
        if name in UNSENT:
            raise api.Transient(f"no answer: {fault}") from fault
        raise api.Ambiguous(f"no answer: {name}: {fault}") from fault
    except boto.ParamValidationError as fault:
        raise api.Rejected(f"not what Bedrock takes: {fault}", HINTS.request) from fault
    except boto.BotoCoreError as fault:  # all others are of this machine: its credentials, its configuration
        raise api.Unauthorized(f"AWS's client cannot make the call: {fault}", HINTS.key) from fault
    except OSError as fault:
        raise api.Ambiguous(f"no answer: {type(fault).__name__}: {fault}") from fault
    except (ResponseParserError, ValueError, TypeError, AttributeError) as fault:
        raise hosted.unreadable(fault) from fault


def _refused(response: Mapping[str, Any]) -> api.ProviderError:
    said, meta = response.get("Error", {}), response.get("ResponseMetadata", {})
    code, status = str(said.get("Code", "")), int(meta.get("HTTPStatusCode") or 0)
    message = str(said.get("Message") or code or "no reason given")
    if code in SLOW_CODES:
        status = 429
    if code in KEY_CODES:
        status = 401
    if code == "ResourceNotFoundException":
        status = 404
    if code == "ServiceQuotaExceededException":
        return api.Rejected(f"{message} ({code})", HINTS.quota)
    if status < 400:  # an answer that boto3 could not read as its model says
        return hosted.unreadable(message)
    after = hosted.retry_after(SimpleNamespace(headers=meta.get("HTTPHeaders", {})))
    return hosted.error(status, message, HINTS, code=code, retry_after=after)
