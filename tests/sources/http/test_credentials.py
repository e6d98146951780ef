import base64
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from goodwatt.model.source import Reason, SourceUnavailable
from goodwatt.settings.sources import BasicAuthSection, TlsSection
from tests.fakes.certificates import Certificates, encrypt_key, make_certificates
from tests.fakes.http_server import Reply, page, serving
from tests.sources.engine.test_source import VLLM, failure, read, reading_from


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


async def test_bearer_token_is_read_again(tmp_path: Path) -> None:
    """A rotated token is used at the next read."""
    token = tmp_path / "token"
    async with serving(page(VLLM)) as server, reading_from(server.url, bearer_token_file=token) as source:
        for text in ("one\n", "two\n"):
            token.write_text(text)
            await source.read()
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer one", "Bearer two"]


async def test_plain_http_loads_no_ca_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TLS context is created at the first https request, so an http server never costs the CA store."""
    contexts: list[object] = []
    monkeypatch.setattr(ssl, "create_default_context", contexts.append)
    async with serving(page(VLLM)) as server, reading_from(server.url) as source:
        await source.read()
    async with reading_from("https://127.0.0.1:1"):
        pass
    assert contexts == []


async def test_basic_auth(tmp_path: Path) -> None:
    """User name and password are sent as HTTP basic authentication."""
    (tmp_path / "pw").write_text("pä:ss\n")
    async with serving(page(VLLM)) as server:
        await read(server, basic_auth=BasicAuthSection(username="u", password_file=tmp_path / "pw"))
    scheme, _, pair = server.requests[0].headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(pair).decode() == "u:pä:ss"


async def test_wrong_token(tmp_path: Path) -> None:
    """A rejected token is reported without showing it."""
    (tmp_path / "token").write_text("hunter2")
    async with serving(Reply(status=401)) as server:
        reason, detail = await failure(server.url, bearer_token_file=tmp_path / "token")
    assert reason is Reason.AUTH_REFUSED
    assert detail.endswith("denied access with HTTP 401; check the credentials of this server")


def _missing(folder: Path) -> Path:
    return folder / "absent"


def _directory(folder: Path) -> Path:
    return folder


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def _written(content: bytes) -> Any:
    def write(folder: Path) -> Path:
        (folder / "file").write_bytes(content)
        return folder / "file"

    return write


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, "No such file or directory; check the path and its permissions"),
        (_directory, "is not a regular file; point it at a file with only the secret"),
        (_pipe, "is not a regular file; point it at a file with only the secret"),
        (_written(b" \n"), "is empty or has more than one line; it must contain only the secret"),
        (_written(b"hunter2\nhunter3"), "is empty or has more than one line; it must contain only the secret"),
        (_written(b"\xff\xfehunter2"), "is empty or has more than one line; it must contain only the secret"),
        (_written(b"hunter2" * 10_000), "is larger than 64 KiB; point it at a file with only the secret"),
    ],
)
async def test_unusable_secret(tmp_path: Path, make: Any, words: str) -> None:
    """An unusable token or password file is named with the reason, without its content."""
    path = make(tmp_path)
    async with serving(page(VLLM)) as server:
        token = await failure(server.url, bearer_token_file=path)
        password = await failure(server.url, basic_auth=BasicAuthSection(username="u", password_file=path))
        assert not server.requests
    assert token == (Reason.CREDENTIALS, f"server/a: bearer_token_file {path}: {words}")
    assert password == (Reason.CREDENTIALS, f"server/a: basic_auth.password_file {path}: {words}")


async def test_tls_with_a_custom_ca(certificates: Certificates) -> None:
    """A server whose CA is configured is read over https."""
    async with serving(page(VLLM), certificates.server_context()) as server:
        assert (await read(server, tls=TlsSection(ca_file=certificates.ca))).engine == "vllm"


async def test_tls_server_name(certificates: Certificates) -> None:
    """The expected certificate name can be configured."""
    async with serving(page(VLLM), certificates.server_context()) as server:
        assert (await read(server, tls=TlsSection(ca_file=certificates.ca, server_name="engine.test"))).engine == "vllm"
        reason, detail = await failure(server.url, tls=TlsSection(ca_file=certificates.ca, server_name="other.test"))
    assert reason is Reason.TLS
    assert detail.endswith("; set tls.ca_file or tls.server_name")


async def test_tls_unknown_ca(certificates: Certificates) -> None:
    """An unknown CA is rejected unless verification is disabled."""
    async with serving(page(VLLM), certificates.server_context()) as server:
        reason, detail = await failure(server.url)
        assert (await read(server, tls=TlsSection(insecure_skip_verify=True))).engine == "vllm"
    assert reason is Reason.TLS
    assert detail == (
        f"server/a: {server.url}/metrics: TLS failed: unable to get local issuer certificate; "
        "set tls.ca_file or tls.server_name"
    )


async def test_tls_client_certificate(certificates: Certificates) -> None:
    """A server that requires a client certificate gets it; without one the failure is TLS or connection."""
    mine = TlsSection(ca_file=certificates.ca, cert_file=certificates.client, key_file=certificates.client_key)
    async with serving(page(VLLM), certificates.server_context(ask_client=True)) as server:
        assert (await read(server, tls=mine)).engine == "vllm"
        reason, _ = await failure(server.url, tls=TlsSection(ca_file=certificates.ca))
    assert reason in (Reason.TLS, Reason.UNREACHABLE)


async def test_https_url_of_an_http_server() -> None:
    """An https URL of a plain HTTP server gets advice to use http://."""
    async with serving(page(VLLM)) as server:
        reason, detail = await failure(server.url.replace("http:", "https:"))
    assert reason is Reason.TLS
    assert detail.endswith("/metrics: the server does not speak TLS here; write http:// in its url")


async def test_http_url_of_an_https_server(certificates: Certificates) -> None:
    """An http URL of a TLS server gives a message, not an exception."""
    async with serving(page(VLLM), certificates.server_context()) as server:
        reason, _ = await failure(server.url.replace("https:", "http:"))
    assert reason in (Reason.UNREACHABLE, Reason.NOT_METRICS)


async def test_unusable_certificate_file(certificates: Certificates, tmp_path: Path) -> None:
    """A missing, wrong or encrypted PEM file is named, never prompts, and is read again once fixed."""
    url = "https://127.0.0.1:1"
    absent, wrong, locked = tmp_path / "absent.pem", tmp_path / "wrong.pem", tmp_path / "locked.key"
    wrong.write_text("no certificate")
    encrypt_key(certificates.client_key, locked)
    for tls, named in (
        (TlsSection(ca_file=absent), f"ca_file {absent}: No such file or directory"),
        (TlsSection(ca_file=wrong), f"ca_file {wrong}: "),
        (TlsSection(cert_file=certificates.client, key_file=locked), f"key_file {locked}: "),
    ):
        reason, detail = await failure(url, tls=tls)
        assert reason is Reason.TLS
        assert named in detail
        assert detail.endswith("; give readable PEM files")
    async with (
        serving(page(VLLM), certificates.server_context()) as server,
        reading_from(server.url, tls=TlsSection(ca_file=wrong)) as source,
    ):
        with pytest.raises(SourceUnavailable, match="give readable PEM files"):
            await source.read()
        wrong.write_bytes(certificates.ca.read_bytes())
        assert (await source.read()).engine == "vllm"
        assert (await source.read()).engine == "vllm"
