"""POST requests to a server that may be slow, overloaded or broken: httpx with tenacity."""

import email.utils
import json
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx
import tenacity

from recbole_edt.errors import UserError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine."""

_LONGEST_RETRY_AFTER = 600.0
_LARGEST_BODY, _LARGEST_ERROR = 64 << 20, 1 << 16
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
# 0.5, 1, 2 ... 30 s, less up to half at random.
_BACKOFF = tenacity.wait_exponential(multiplier=0.25, max=15) + tenacity.wait_random_exponential(
    multiplier=0.25, max=15
)

T = TypeVar("T")


class RejectedError(ValueError):
    """A parsed body that is not in the expected form; the text is the reason's name."""


class UnsupportedError(RejectedError):
    """The server cannot do what is asked: trying again is no use."""


class _AttemptError(Exception):
    """One attempt failed; `retry_after` is the least wait in seconds, None: do not try again."""

    def __init__(
        self,
        failure: str,
        message: str,
        status: int | None = None,
        retry_after: float | None = 0.0,
    ):
        super().__init__(message)
        self.failure, self.status, self.retry_after = failure, status, retry_after


@dataclass(frozen=True)
class RequestResult(Generic[T]):
    """What became of a request, all its attempts together.

    Attributes
    ----------
    value : object or None
        What the parser made of the body; None on failure.
    failure : str or None
        ``timeout``, ``connection``, ``http_429`` ..., ``bad_json``, or the parser's reason.
    message : str
        The last error in words, in one line and without the key.
    status : int or None
        HTTP status of the last attempt, None when there was none.
    retries : int
        Attempts beyond the first.
    """

    value: T | None = None
    failure: str | None = None
    message: str = ""
    status: int | None = None
    retries: int = 0


@dataclass
class Transport:
    """Sends JSON to one server; a context manager around the requests.

    Redirects are not followed: the key would go along to wherever a server sends it.

    Attributes
    ----------
    base_url : str
        Such as ``http://localhost:8000/v1``, without credentials, query or slash at its end.
    key : str or None
        Sent as a bearer token, and removed from every message.
    timeout : float
        Seconds for one attempt as a whole.
    retries : int
        Attempts after the first.
    sleep : callable, optional
        For tests: waits so many seconds.
    """

    base_url: str
    key: str | None = field(repr=False)
    timeout: float
    retries: int
    sleep: Callable[[float], Any] | None = None
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)

    def __enter__(self) -> "Transport":
        self._stopped.clear()
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            # The size limit is one of bytes on the wire: a small body could unpack to any size.
            "Accept-Encoding": "identity",
        }
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        try:
            self._client = httpx.Client(
                headers=headers,
                timeout=httpx.Timeout(self.timeout, pool=None),
                limits=httpx.Limits(max_connections=None),
                proxy=_proxy_for(self.base_url),
                trust_env=False,
                # The system's certificates, so that those of an organisation count.
                verify=ssl.create_default_context(),
            )
        except (ValueError, ImportError, httpx.InvalidURL):
            scheme = urlsplit(self.base_url).scheme
            raise UserError(f"{scheme}_proxy: not the URL of an HTTP proxy") from None
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._client.close()

    def stop(self) -> None:
        """Let running requests end at their next attempt."""
        self._stopped.set()

    def post(
        self, path: str, body: Mapping[str, Any], parse: Callable[[Any], T]
    ) -> RequestResult[T]:
        """Send `body` and parse the answer, trying again where that may help.

        Tried again: no connection, a cut one, a timeout, status 408, 409, 425, 429 and 5xx, and
        a 200 whose body is not JSON or is refused by `parse` (by `RejectedError`). The waits
        double from half a second to 30 seconds, with jitter; ``Retry-After`` is
        honoured up to ten minutes. Any other status fails at once.
        """
        retrying = tenacity.Retrying(
            sleep=self.sleep or tenacity.sleep_using_event(self._stopped),
            stop=tenacity.stop_after_attempt(self.retries + 1),
            wait=_wait,
            retry=tenacity.retry_if_exception(_may_help),
            reraise=True,
        )
        data = json.dumps(body).encode()
        try:
            value = retrying(self._attempt, path, data, parse)
        except _AttemptError as error:
            retries = retrying.statistics["attempt_number"] - 1
            message = self._cleaned(str(error))
            return RequestResult(None, error.failure, message, error.status, retries)
        return RequestResult(value, status=200, retries=retrying.statistics["attempt_number"] - 1)

    def _attempt(self, path: str, data: bytes, parse: Callable[[Any], T]) -> T:
        if self._stopped.is_set():
            raise _AttemptError("stopped", "stopped", retry_after=None)
        body = self._send(path, data)
        try:
            return parse(json.loads(body))
        except UnsupportedError as error:
            raise _AttemptError(str(error), "HTTP 200", 200, None) from None
        except RejectedError as error:
            message = f"HTTP 200 with {str(error).replace('_', ' ')}"
            raise _AttemptError(str(error), message, 200) from None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            message = "HTTP 200 with a body that is not JSON"
            raise _AttemptError("bad_json", message, 200) from None

    def _send(self, path: str, data: bytes) -> bytes:
        """Return the body of a successful response; `_AttemptError` for every other end."""
        deadline = time.monotonic() + self.timeout
        try:
            with self._client.stream("POST", self.base_url + path, content=data) as response:
                body = _read(response, deadline)
        except httpx.ConnectTimeout:
            raise _AttemptError("timeout", f"no connection within {self.timeout:g} s") from None
        except (httpx.TimeoutException, TimeoutError):
            raise _AttemptError("timeout", f"no answer within {self.timeout:g} s") from None
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise _AttemptError("connection", str(error)) from None
        except httpx.TransportError as error:
            message = f"{type(error).__name__}: {error}"
            raise _AttemptError("cut_connection", message) from None
        if response.is_success:
            return body
        status, message = response.status_code, _error_text(response, body)
        again = _retry_after(response.headers) if status in _RETRIED else None
        raise _AttemptError(f"http_{status}", f"HTTP {status} {message}", status, again)

    def _cleaned(self, message: str) -> str:
        line = " ".join(message.split())
        if self.key:
            line = line.replace(self.key, "***")
        return line[:300]


def _read(response: httpx.Response, deadline: float) -> bytes:
    """Return the body of a response, what there is of it when the response is an error."""
    limit = _LARGEST_BODY if response.is_success else _LARGEST_ERROR
    body = bytearray()
    try:
        for block in response.iter_raw():
            body += block
            # httpx's timeout is per read: a server that drips would never run into it.
            if time.monotonic() > deadline:
                raise TimeoutError
            if len(body) > limit:
                raise httpx.RemoteProtocolError("an endless body")
    except (httpx.TransportError, TimeoutError):
        if response.is_success:
            raise
    return bytes(body)


def _may_help(error: BaseException) -> bool:
    """Whether another attempt may succeed."""
    return isinstance(error, _AttemptError) and error.retry_after is not None


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    least = error.retry_after if isinstance(error, _AttemptError) else 0.0
    return max(_BACKOFF(state), least or 0.0)


def _retry_after(headers: httpx.Headers) -> float:
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    # The comparison also refuses "nan".
    return min(seconds, _LONGEST_RETRY_AFTER) if seconds > 0 else 0.0


def _error_text(response: httpx.Response, body: bytes) -> str:
    """Return what the server reports, except where it may quote the key."""
    if response.status_code in (401, 403):
        return "the key is missing or refused"
    try:
        value = json.loads(body)
        problem = value.get("error", value.get("detail", ""))
        return str(problem.get("message", "") if isinstance(problem, dict) else problem)
    except (ValueError, AttributeError):
        return response.reason_phrase


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL; none for this machine."""
    parts = urlsplit(url)
    if parts.hostname in LOOPBACK or urllib.request.proxy_bypass(parts.netloc):
        return None
    proxy = urllib.request.getproxies().get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"
