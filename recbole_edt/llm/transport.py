"""POST requests to a server that may be slow, overloaded or broken: attempts and back-off."""

import email.utils
import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_FIRST_WAIT, _LONGEST_WAIT, _LONGEST_RETRY_AFTER = 0.5, 30.0, 600.0
LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine."""

_LARGEST_BODY = 64 << 20
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class RejectedError(ValueError):
    """A parsed body that is not in the expected form; the text is the reason's name."""


class UnsupportedError(RejectedError):
    """The server cannot do what is asked: trying again is no use."""


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes
    ----------
    value : object
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

    value: Any = None
    failure: str | None = None
    message: str = ""
    status: int | None = None
    retries: int = 0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would carry the key along to wherever a server sends it."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass
class Transport:
    """Sends JSON to one server.

    Attributes
    ----------
    base_url : str
        Such as ``http://localhost:8000/v1``.
    key : str or None
        Sent as a bearer token, and cut out of every message.
    timeout : float
        Seconds for one attempt as a whole.
    retries : int
        Attempts after the first.
    sleep, uniform, clock : callable
        For tests: waiting, jitter in [a, b], seconds since the epoch.
    """

    base_url: str
    key: str | None = field(repr=False)
    timeout: float
    retries: int
    sleep: Callable[[float], Any] | None = None
    uniform: Callable[[float, float], float] = random.uniform
    clock: Callable[[], float] = time.time
    _stopped: threading.Event = field(default_factory=threading.Event, repr=False)

    def __post_init__(self) -> None:
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if urlsplit(self.base_url).hostname in LOOPBACK:
            # A proxy in the environment is no way to this machine.
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def stop(self) -> None:
        """Let running requests end at their next attempt."""
        self._stopped.set()

    def restart(self) -> None:
        """Take back `stop`."""
        self._stopped.clear()

    def address(self, path: str) -> str:
        """Return a URL that is safe to show: without query and credentials."""
        parts = urlsplit(self._url(path))
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, host, parts.path, "", ""))

    def _url(self, path: str) -> str:
        parts = urlsplit(self.base_url)
        return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path, fragment=""))

    def post(self, path: str, body: Mapping[str, Any], parse: Callable[[Any], Any]) -> Outcome:
        """Send `body` and parse the answer, trying again where that may help.

        Tried again: no connection, a cut one, a timeout, status 408, 409, 425, 429 and 5xx, and
        a 200 whose body is not JSON or is refused by `parse` (by `RejectedError`). The waits
        double from half a second to 30 seconds, with jitter; ``Retry-After`` is
        honoured up to ten minutes. Any other status fails at once.
        """
        data = json.dumps(body).encode()
        outcome = Outcome(failure="stopped")
        for attempt in range(self.retries + 1):
            if self._stopped.is_set():
                break
            outcome, wait = self._attempt(path, data, parse, attempt)
            if outcome.failure is None or wait is None or attempt == self.retries:
                break
            self._wait(wait)
        return outcome

    def _wait(self, seconds: float) -> None:
        if self.sleep is not None:
            self.sleep(seconds)
        else:
            self._stopped.wait(seconds)

    def _attempt(
        self, path: str, data: bytes, parse: Callable[[Any], Any], attempt: int
    ) -> tuple[Outcome, float | None]:
        """Return the outcome of one attempt and the seconds to wait; None: do not try again."""
        ceiling = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)
        wait = self.uniform(ceiling / 2, ceiling)

        def failed(failure: str, message: str, status: int | None = None) -> Outcome:
            return Outcome(None, failure, self._clean(message), status, attempt)

        try:
            body = self._send(path, data)
        except urllib.error.HTTPError as error:
            with error:
                text = self._error_text(error)
            outcome = failed(f"http_{error.code}", f"HTTP {error.code} {text}", error.code)
            again = error.code in _RETRIED
            return outcome, max(wait, self._retry_after(error.headers)) if again else None
        except TimeoutError:
            return failed("timeout", f"no answer within {self.timeout:g} s"), wait
        except urllib.error.URLError as error:
            if isinstance(error.reason, TimeoutError):
                return failed("timeout", f"no connection within {self.timeout:g} s"), wait
            return failed("connection", str(error.reason)), wait
        except (http.client.HTTPException, OSError) as error:
            return failed("cut_connection", f"{type(error).__name__}: {error}"), wait
        try:
            return Outcome(parse(json.loads(body)), status=200, retries=attempt), None
        except UnsupportedError as error:
            return failed(str(error), "HTTP 200", 200), None
        except RejectedError as error:
            return failed(str(error), f"HTTP 200 with {str(error).replace('_', ' ')}", 200), wait
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return failed("bad_json", "HTTP 200 with a body that is not JSON", 200), wait

    def _send(self, path: str, data: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self._url(path), data, headers, method="POST")
        deadline = time.monotonic() + self.timeout
        body = bytearray()
        with self._opener.open(request, timeout=self.timeout) as response:
            # urllib's timeout is per read: a server that drips would never run into it.
            while block := response.read1(1 << 16):
                body += block
                if time.monotonic() > deadline:
                    raise TimeoutError
                if len(body) > _LARGEST_BODY:
                    raise http.client.HTTPException("an endless body")
            if response.length:
                raise http.client.IncompleteRead(bytes(body[:0]), response.length)
        return bytes(body)

    def _retry_after(self, headers: Any) -> float:
        value = str(headers.get("Retry-After", "")).strip()
        try:
            seconds = float(value)
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - self.clock()
            except (ValueError, TypeError, OverflowError):
                return 0.0
        # The comparison also turns away "nan".
        return min(seconds, _LONGEST_RETRY_AFTER) if seconds > 0 else 0.0

    def _error_text(self, error: urllib.error.HTTPError) -> str:
        """Return what the server says is wrong, except where it may quote the key."""
        if error.code in (401, 403):
            return "the key is missing or refused"
        try:
            body = json.loads(error.read(1 << 16))
            problem = body.get("error", body.get("detail", ""))
            text = problem.get("message", "") if isinstance(problem, dict) else problem
            return str(text)
        except (ValueError, AttributeError, OSError, http.client.HTTPException):
            return str(error.reason)

    def _clean(self, message: str) -> str:
        line = " ".join(message.split())
        if self.key:
            line = line.replace(self.key, "***")
        return line[:300]
