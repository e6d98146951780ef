"""HTTP failures as SourceUnavailable, each with one line that says what to do. No line contains a secret."""

import os
import ssl

import aiohttp
from yarl import URL

from goodwatt.model.source import Reason, SourceUnavailable

_CHECK_PATH = "check the url's path"


def redacted_url(url: URL) -> str:
    """The URL without user, password, query and fragment, any of which may be secret."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


def source_unavailable(source: str, reason: Reason, detail: str) -> SourceUnavailable:
    """The exception to raise, with its detail prefixed by the source's name."""
    return SourceUnavailable(reason, f"{source}: {detail}")


def page_too_large(source: str, url: URL, limit: int) -> SourceUnavailable:
    """TOO_LARGE: the page exceeds the size limit in bytes."""
    detail = f"{redacted_url(url)} serves more than {limit // 1024**2} MiB; is it the metrics page?"
    return source_unavailable(source, Reason.TOO_LARGE, detail)


def truncated_response(source: str, url: URL) -> SourceUnavailable:
    """UNREACHABLE: the connection closed before the end of the page."""
    return source_unavailable(
        source, Reason.UNREACHABLE, f"{redacted_url(url)} closed the connection in the middle of the response"
    )


def timed_out(source: str, url: URL, seconds: float) -> SourceUnavailable:
    """TIMEOUT: the response did not arrive in full within `seconds`."""
    detail = f"{redacted_url(url)} did not respond in full within {seconds:g} s; is it overloaded? see timeout_seconds"
    return source_unavailable(source, Reason.TIMEOUT, detail)


def access_denied(source: str, url: URL, status: int, logged_in: bool) -> SourceUnavailable:
    """AUTH_REFUSED, for HTTP 401 and 403. `logged_in`: whether credentials were sent."""
    remedy = "check the credentials of this server" if logged_in else "give bearer_token_file or basic_auth"
    return source_unavailable(
        source, Reason.AUTH_REFUSED, f"{redacted_url(url)} denied access with HTTP {status}; {remedy}"
    )


def unexpected_status(source: str, url: URL, status: int, hint: str) -> SourceUnavailable:
    """HTTP_ERROR, for a status other than 200. `hint` replaces generic advice, except for a 404 at an API's path."""
    generic = _CHECK_PATH if status < 500 else "see the server's own log"
    remedy = _no_such_page(url, hint) if status == 404 else hint or generic
    return source_unavailable(source, Reason.HTTP_ERROR, f"{redacted_url(url)} returned HTTP {status}; {remedy}")


def _no_such_page(url: URL, hint: str) -> str:
    if is_api_path(url.path):
        return f"that is the path of the API, not of the metrics page; write url: {redacted_url(url.origin())}"
    proxied = "if it has no metrics page, as Ollama and LM Studio, measure it through goodwatt's proxy (docs/proxy.md)"
    return f"{hint or _CHECK_PATH}; {proxied}"


def is_api_path(path: str) -> bool:
    """Whether a path is the base of an OpenAI-style API, which clients are configured with, such as /v1."""
    return path.rstrip("/").endswith("/v1")


def not_a_metrics_page(source: str, url: URL, body: str, content_type: str) -> SourceUnavailable:
    """NOT_METRICS, for a body without a single sample; says what the body looks like."""
    start = body.lstrip()[:1]
    if not start:
        what = "an empty page; if the server has just started, retry soon"
    elif start == "<" or "html" in content_type:
        what = "an HTML page, not metrics; check the url's path, usually /metrics"
    elif start in "{[" or "json" in content_type:
        what = "JSON, not metrics; check the url's path (TensorRT-LLM serves metrics at /prometheus/metrics)"
    else:
        what = "something other than Prometheus metrics; check the url's path, usually /metrics"
    return source_unavailable(source, Reason.NOT_METRICS, f"{redacted_url(url)} serves {what}")


def connection_error(source: str, url: URL, error: Exception) -> SourceUnavailable:
    """Translate an aiohttp, OS or TLS error into a reason and a line for the operator."""
    at = redacted_url(url)
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return source_unavailable(source, Reason.TLS, _tls(at, error))
    if isinstance(error, aiohttp.ClientPayloadError):
        return truncated_response(source, url)
    if isinstance(error, aiohttp.ClientResponseError):
        return source_unavailable(
            source, Reason.NOT_METRICS, f"{at} does not speak HTTP; check the url's port and scheme"
        )
    return source_unavailable(source, Reason.UNREACHABLE, _no_connection(at, error))


def _no_connection(at: str, error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"{at}: the host name does not resolve; check the url"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return f"{at} closed the connection without a response; see the server's own log"
    if isinstance(error, OSError) and error.errno:
        return f"cannot reach {at}: {os.strerror(error.errno)}; is the server running?"
    return f"cannot reach {at} ({type(error).__name__}); check the url"


def _tls(at: str, error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    why = getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or "the handshake failed"
    if why in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return f"{at}: the server does not speak TLS here; write http:// in its url"
    remedy = "set tls.ca_file or tls.server_name" if isinstance(cause, ssl.SSLCertVerificationError) else "see tls"
    return f"{at}: TLS failed: {str(why).lower().replace('_', ' ').rstrip('.')}; {remedy}"
