"""Credentials and TLS for requests to a server: headers, tokens, certificates. Secrets never appear in messages."""

import base64
import ssl
from pathlib import Path

from goodwatt import __version__
from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import ServerSection, TlsSection

_LARGEST_SECRET = 65_536
# OpenMetrics is left out: prometheus_client serves it to any client that lists it, whatever the order.
_ACCEPT = "text/plain;version=0.0.4, */*;q=0.1"

_FileStamps = tuple[tuple[int, int, int], ...]


class ServerTrust:
    """The TLS context for an https server. Loaded at first use, reloaded when a certificate file changes."""

    def __init__(self, source: str, tls: TlsSection) -> None:
        self._source = source
        self._tls = tls
        self._stamp: _FileStamps | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """The current context. Raises SourceUnavailable(TLS) if a certificate file is unusable."""
        tls = self._tls
        try:
            stamp = _stamp(tls)
            if self._context is None or stamp != self._stamp:
                self._context, self._stamp = _context(tls), stamp
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not a PEM certificate"
            files = ", ".join(f"{key} {path}" for key, path in _files(tls))
            detail = f"{self._source}: cannot use tls {files}: {reason}; give readable PEM files"
            raise SourceUnavailable(Reason.TLS, detail) from None
        return self._context


class ClientCredentials:
    """Headers and TLS of one configured server. Files are read per request, so rotated secrets apply immediately."""

    def __init__(self, source: str, section: ServerSection) -> None:
        self._source = source
        self._section = section
        self._trust = ServerTrust(source, section.tls)

    def headers(self) -> dict[str, str]:
        """Request headers. Raises SourceUnavailable(CREDENTIALS) if a token or password file is unreadable."""
        section = self._section
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "gzip", "User-Agent": f"goodwatt/{__version__}"}
        if section.bearer_token_file is not None:
            token = self._secret("bearer_token_file", section.bearer_token_file)
            headers["Authorization"] = f"Bearer {token}"
        if section.basic_auth is not None:
            password = self._secret("basic_auth.password_file", section.basic_auth.password_file)
            pair = f"{section.basic_auth.username}:{password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        own = {name.title() for name in section.headers}
        return {name: value for name, value in headers.items() if name not in own} | section.headers

    def context(self) -> ssl.SSLContext:
        """The TLS context for https. Raises SourceUnavailable(TLS) if a certificate file is unusable."""
        return self._trust.context()

    def _secret(self, key: str, path: Path) -> str:
        try:
            secret = _read_secret(path)
        except OSError as error:
            why = f"{error.strerror or 'cannot be read'}; check the path and its permissions"
        except ValueError as error:
            why = str(error)
        else:
            return secret
        raise SourceUnavailable(Reason.CREDENTIALS, f"{self._source}: {key} {path}: {why}")


def _read_secret(path: Path) -> str:
    """The file's text, stripped. Pipes and devices are rejected because reading one could block."""
    if path.exists() and not path.is_file():
        raise ValueError("is not a regular file; point it at a file with only the secret")
    with path.open("rb") as file:
        content = file.read(_LARGEST_SECRET + 1)
    if len(content) > _LARGEST_SECRET:
        raise ValueError("is larger than 64 KiB; point it at a file with only the secret")
    try:
        secret = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        secret = ""
    if not secret or not secret.isprintable():
        raise ValueError("is empty or has more than one line; it must contain only the secret")
    return secret


def _files(tls: TlsSection) -> list[tuple[str, Path]]:
    named = {"ca_file": tls.ca_file, "cert_file": tls.cert_file, "key_file": tls.key_file}
    return [(key, path) for key, path in named.items() if path is not None]


def _stamp(tls: TlsSection) -> _FileStamps:
    return tuple((s.st_mtime_ns, s.st_size, s.st_ino) for s in (path.stat() for _, path in _files(tls)))


def _context(tls: TlsSection) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file is not None:  # an empty password keeps OpenSSL from prompting on the terminal
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    return context
