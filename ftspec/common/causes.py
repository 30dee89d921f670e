"""Why a server could not be reached: obstore's error in a user's words, without addresses and what they may hold."""

from __future__ import annotations

import re
from typing import NamedTuple

from ftspec.common.references import mask


class Cause(NamedTuple):
    """What happened, and what to do about it."""

    reason: str
    hint: str = "check the address and the network"


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
    r"TunnelUnsuccessful|TunnelUnexpectedEof": Cause(
        "the proxy does not let it through", "check HTTPS_PROXY and NO_PROXY"
    ),
    r"MissingContentLength": Cause(
        "the server does not say how large it is", "fetch it by hand, and name the file that you have"
    ),
    r"RangeNotSupported": Cause(
        "the connection broke off, and the server cannot go on in the middle", "run again, or fetch it by hand"
    ),
    r"kind: Timeout|TimedOut": Cause("no answer in time"),
}
"""By what stands in the text of obstore's error (object_store's and reqwest's own names), the first that fits."""
NO_CREDENTIALS = Cause(
    "there are no credentials here", "set those of the environment: AWS_*, GOOGLE_APPLICATION_CREDENTIALS or AZURE_*"
)
STATUS = re.compile(r"status code: (\d{3} [A-Z][A-Za-z -]*)")


def cause(error: BaseException, url: str = "") -> Cause:
    """The cause of an obstore error; the client's own words, without addresses, where it is none of those known.

    `url` is the one that was asked: also of one with a blank in it nothing is told.
    """
    text = str(error)
    if found := known(error):
        return found
    if "NoSuchBucket" in text or "status code: 404" in text:
        return Cause("there is no such bucket or container", "check the address")
    if status := STATUS.search(text):
        return Cause(f"the server says {status[1].strip()}", "check the address, or try again later")
    text = text.replace(url, "…") if url else text
    return Cause(mask(re.sub(r"\S+://\S+", "…", text.partition("\n")[0])))


def known(error: BaseException) -> Cause | None:
    """Why no server answered, or not to the end; None where one did, or why cannot be told."""
    text = str(error)
    if re.search(r"TokenRequest|169\.254\.|/instance/service-accounts/", text):
        return NO_CREDENTIALS
    if STATUS.search(text):
        return None
    return next((cause for pattern, cause in CAUSES.items() if re.search(pattern, text)), None)
