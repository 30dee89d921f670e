"""Why a server could not be reached: obstore's error in a user's words, without addresses and what they may hold."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ftspec.common.references import mask

NETWORK = "check the address and the network"
PROXIES = ("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY")


class Cause(NamedTuple):
    """What happened, and what to do about it."""

    reason: str
    hint: str = NETWORK


NO_ISSUER = "put the certificate of who issued it into a file, and name that by SSL_CERT_FILE"
CAUSES = {
    r"InvalidCertificate\(\s*UnknownIssuer": Cause("nobody whom this machine trusts issued its certificate", NO_ISSUER),
    r"InvalidCertificate\(\s*(CaUsed|Bad|Unhandled|Invalid|Unsupported)": Cause(
        "its certificate is none that can be checked", NO_ISSUER
    ),
    r"InvalidCertificate\(\s*NotValidForName": Cause("its certificate is for another name", "check the address"),
    r"InvalidCertificate\(\s*Expired": Cause("its certificate has expired", "tell whoever runs it; check the clock"),
    r"InvalidCertificate\(": Cause("its certificate is not valid"),
    r"InvalidContentType|InvalidMessage|tls handshake eof": Cause(
        "it does not speak TLS there", "write http:// or another port"
    ),
    r"Unable to recognise URL": Cause(
        "this is the address of no store", "write a folder, or s3://, gs:// or az://BUCKET/PREFIX"
    ),
    r"kind: ConnectionRefused": Cause("nobody listens there (connection refused)"),
    r"failed to lookup address|dns error": Cause("the name of its host is not known here"),
    r"kind: (Network|Host)Unreachable": Cause("there is no way to it from here"),
    r"kind: ConnectionReset|kind: BrokenPipe": Cause("the connection was reset"),
    r"IncompleteBody|UnexpectedEof|IncompleteMessage": Cause("the connection broke off", "run again"),
    r"TooManyRedirects": Cause("it sends on and on to other addresses", "check the address"),
    r"ProxyAuthRequired": Cause("the proxy wants a user and a password", "write those that it takes into HTTPS_PROXY"),
    r"unsupported scheme socks": Cause(
        "the proxy of the environment is one for SOCKS, which is not spoken here", "name one for HTTP by HTTPS_PROXY"
    ),
    r"TunnelUnsuccessful|TunnelUnexpectedEof": Cause(
        "the proxy does not let it through", "check HTTPS_PROXY and NO_PROXY"
    ),
    r"MissingContentLength": Cause(
        "the server does not say how large it is", "fetch it by hand, and name the file that you have"
    ),
    r"Got invalid \w+ response|token response body|Header missing from response": Cause(
        "what answers there is no store", "check the address, and the one of the endpoint in the environment"
    ),
    r"RangeNotSupported": Cause(
        "the connection broke off, and the server cannot go on in the middle", "run again, or fetch it by hand"
    ),
    r"kind: Timeout|TimedOut": Cause("no answer in time"),
}
"""By what stands in the text of obstore's error (object_store's and reqwest's own names), the first that fits."""
CREDENTIALS = "AWS_*, GOOGLE_APPLICATION_CREDENTIALS or AZURE_*"
OURS = ("AWS_", "GOOGLE_", "AZURE_")
NO_CREDENTIALS = Cause("there are no credentials here", f"set those of the environment: {CREDENTIALS}")
UNREADABLE = re.compile(r"service account file|RSA key|Invalid Access Key|SAS query")
UNUSABLE = re.compile(r"InvalidHeaderValue|InvalidUri|InvalidPort")
"""Of an address or a key that no request can be made with, at which the client panics."""
STATUS = re.compile(r"status code: (\d{3} [A-Z][A-Za-z -]*)")
CODE = re.compile(r"<Code>([A-Za-z]{3,60})</Code>")
"""The reason in a word, as S3, Google and Azure give it: `ExpiredToken`, `SignatureDoesNotMatch`."""


def is_clients(error: BaseException) -> bool:
    """Whether it is one of obstore's, or of the system: what `cause` is for. A panic is no Exception."""
    from obstore.exceptions import BaseError

    return isinstance(error, BaseError | OSError | ValueError) or type(error).__name__ == "PanicException"


def cause(error: BaseException, url: str = "") -> Cause:
    """The cause of an obstore error; the client's own words, without addresses, where it is none of those known.

    `url` is the one that was asked: also of one with a blank in it nothing is told. Nor is what a server says beyond
    a status and a word: it may repeat the request, with all that lets one in.
    """
    text = str(error)
    if found := known(error):
        return found
    if status := STATUS.search(text):
        said = text[status.end() :].partition("Debug source")[0]
        if "NoSuchBucket" in said or status[1].startswith("404"):
            return Cause("there is no such bucket or container", "check the address")
        code = f" ({word[1]})" if (word := CODE.search(said)) else ""
        if status[1].startswith(("401", "403")):
            return denied(code)
        return Cause(f"the server says {status[1].strip()}{code}", "check the address, or try again later")
    if unusable := UNUSABLE.search(text):
        return Cause(f"no request can be made with what the environment says ({unusable[0]})", _see_to_them())
    text = text.replace(url, "…") if url else text
    told = mask(re.sub(r"\S+://\S+", "…", text.partition("\n")[0]))
    return Cause(told, _see_to_them()) if UNREADABLE.search(text) else Cause(told)


def denied(code: str = "") -> Cause:
    """What to say where a bucket lets nobody in with these credentials."""
    return Cause(f"access was denied{code}", _see_to_them())


def _see_to_them() -> str:
    """What to do about the credentials of the environment. What is pasted there may end with a new line."""
    ours = {name: value for name, value in os.environ.items() if name.startswith(OURS) and value[:1] != "{"}
    if broken := [name for name, value in ours.items() if value != value.strip() or "\n" in value]:
        return f"there is a blank or a new line in {' and '.join(broken)}: set it without"
    return f"see to the credentials in the environment, and to what they may do: {CREDENTIALS}"


def known(error: BaseException) -> Cause | None:
    """Why no server answered, or not to the end; None where one did, or why cannot be told."""
    text = str(error)
    status = STATUS.search(text)
    if re.search(r"169\.254\.|/instance/service-accounts/", text):
        return NO_CREDENTIALS
    if "TokenRequest" in text and status:
        return Cause(f"the credentials were refused: {status[1].strip()}", _see_to_them())
    if status:
        return None
    found = next((cause for pattern, cause in CAUSES.items() if re.search(pattern, text)), None)
    return found._replace(hint=f"{found.hint}{_proxied()}") if found and found.hint == NETWORK else found


def _proxied() -> str:
    """What else may be wrong where the environment names a proxy: that is what was not reached then, perhaps."""
    names = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    return f", and the proxy that {names[0]} names" if names else ""
