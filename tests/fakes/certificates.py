"""Certificates made by openssl for one test run: a CA, and a server and client certificate it signed."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """PEM files. The server certificate is for `engine.test` and 127.0.0.1."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path

    def server_context(self, *, ask_client: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server, self.server_key)
        if ask_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context


def make_certificates(folder: Path, names: str = "DNS:engine.test,IP:127.0.0.1") -> Certificates:
    """Create the files. Needs the openssl command; raises CalledProcessError or FileNotFoundError."""
    made = Certificates(*(folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")))
    ca_key = folder / "ca.key"
    _openssl(*_NEW, "-keyout", ca_key, "-out", made.ca, "-subj", "/CN=goodwatt test authority")
    for cert, key, name in ((made.server, made.server_key, "engine"), (made.client, made.client_key, "client")):
        signed = ("-CA", made.ca, "-CAkey", ca_key, "-addext", f"subjectAltName={names}")
        _openssl(*_NEW, "-keyout", key, "-out", cert, "-subj", f"/CN={name}", *signed, "-addext", _LEAF)
    return made


def encrypt_key(key: Path, encrypted: Path) -> None:
    _openssl("ec", "-in", key, "-out", encrypted, "-aes256", "-passout", "pass:secret")


_NEW = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2")
_LEAF = "basicConstraints=critical,CA:FALSE"


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
