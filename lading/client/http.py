"""HTTP to one lading server: sessions, who we are, retries, problems turned into exceptions. The only user of aiohttp's
requests."""

from __future__ import annotations

import uuid
from contextlib import aclosing, asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from .. import wire
from ..model import errors
from .retry import retry_after, retrying

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from .credentials import Credentials

T = TypeVar("T")

REDIRECTS = frozenset((301, 302, 303, 307, 308))
BY_STATUS: dict[int, type[errors.CatalogError]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.InvalidRequest,
    409: errors.Conflict,
    413: errors.TooLarge,
    422: errors.InvalidRequest,
    429: errors.Throttled,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
    507: errors.QuotaExceeded,
}


class Unsendable(errors.InvalidRequest):
    """What no JSON can hold: nothing was sent."""


class _Problem(msgspec.Struct):
    """RFC 9457, with lading's members."""

    title: str = ""
    detail: str = ""
    code: str = ""
    retryable: bool = False
    details: dict[str, Any] = {}
    request_id: str = ""


class Http:
    """Use after `open()`; `close()` when done. Safe for many tasks of one event loop at a time."""

    def __init__(self, credentials: Credentials, *, timeout: float, connections: int, tries: int) -> None:
        self.credentials = credentials
        self.tries = tries
        self.timeout = timeout
        self._connections = connections
        self._base = URL(credentials.url)
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # stored bytes must arrive as they are stored, whatever a Content-Encoding says
                headers={"Accept-Encoding": "identity", "User-Agent": "lading"},
                read_bufsize=1 << 20,
            )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: msgspec.Struct | None = None,
        params: Mapping[str, object] | None = None,
        once: bool | str = False,
        wait: float | None = None,
    ) -> T:
        """The decoded answer. `once` marks a mutation: its key, of the caller's or made here, lets the server know a
        retry for what it is.

        Raises the CatalogError of the server's answer; Unavailable when it can't be reached within the tries.
        """
        headers = {"Accept": "application/json"}
        if once:
            headers["Idempotency-Key"] = once if isinstance(once, str) else uuid.uuid4().hex
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            try:
                data = msgspec.json.encode(body)
            except (UnicodeEncodeError, OverflowError):
                raise Unsendable("a name or text is not valid UTF-8, or a number is too large") from None

        async def attempt() -> bytes:
            async with self.stream(method, path, params=params, headers=headers, data=data, wait=wait) as response:
                return await response.read()

        raw = await retrying(attempt, self.tries)
        try:
            return None if answer is type(None) else _decoder(cast("Any", answer)).decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise errors.CatalogError(
                f"{self._base} did not answer as lading does ({error}): check the address"
            ) from None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        data: object = None,
        wait: float | None = None,
        elsewhere: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response with a status below 300, its body unread; one attempt. `elsewhere` lets a redirect lead to another
        host.

        Raises as `call` does, for faults while the body is read too.
        """
        try:
            query = urlencode({k: _text(v) for k, v in (params or {}).items() if v is not None}, doseq=True)
        except UnicodeEncodeError:
            raise Unsendable("a name is not valid UTF-8") from None
        url = URL(f"{self.credentials.url}{path}{'?' if query else ''}{query}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, connect=60, sock_read=wait or self.timeout)
        try:
            response = await self._follow(method, url, dict(headers or {}), data, timeout, elsewhere)
            try:
                if response.status >= 300:
                    raise await _refusal(response)
                yield response
            finally:
                response.close()  # a body read to its end has given its connection back already
        except aiohttp.ClientSSLError as error:
            distrust = errors.Unavailable(f"no trust in {url.origin()}: {error}")
            distrust.retryable = False
            raise distrust from None
        except (TimeoutError, aiohttp.ClientError, ConnectionError) as error:
            why = str(error) or type(error).__name__
            raise errors.Unavailable(f"no answer from {url.origin()}: {why}") from None

    async def body(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes | memoryview, None]:
        """What a response of `stream` holds, in pieces to keep; raises as `stream` does."""
        size = response.content_length or 0
        transport = wire.bare(response.connection and response.connection.transport) if size >= wire.WORTH else None
        if transport is None:
            while piece := await response.content.readany():
                yield piece
            return
        async with aclosing(wire.body(transport, response.content, size, patience=self.timeout)) as pieces:
            async for large in pieces:
                yield large

    async def _follow(
        self,
        method: str,
        url: URL,
        headers: dict[str, str],
        data: object,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's several limits, and not of this call alone
        elsewhere: bool,
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the client is not open: use `async with Client() as c:`")
        for _ in range(5):
            home = url.origin() == self._base.origin()
            own = {"Authorization": f"Bearer {self.credentials.token}"} if home and self.credentials.token else {}
            response = await self._session.request(
                method, url, headers=headers | own, data=data, allow_redirects=False, timeout=timeout
            )
            if response.status not in REDIRECTS:
                return response
            target = url.join(URL(response.headers.get("Location", ""), encoded=True))
            response.release()
            if target.scheme not in ("http", "https") or not target.host:
                break
            if method not in ("GET", "HEAD") or not (elsewhere or target.origin() == self._base.origin()):
                raise errors.InvalidRequest(
                    f"{url.origin()} sends us to {target.origin()}: if you trust it, log in there"
                )
            url = target
        raise errors.CatalogError(f"{self._base} redirects without end: check the address")


def _text(value: object) -> str | list[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


@cache
def _decoder(answer: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(answer)


async def _refusal(response: aiohttp.ClientResponse) -> errors.CatalogError:
    """The exception that an answer of 3xx, 4xx or 5xx stands for."""
    raw = b""
    while len(raw) < 1 << 20 and (part := await response.content.readany()):
        raw += part
    try:
        problem = msgspec.json.decode(raw, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = _Problem()
    where = response.url.origin()
    message = problem.detail or problem.title or f"{where} answered {response.status} {response.reason}"
    if response.status == 401 and not problem.code:
        message = f"{where} does not accept the token: run `lading login {where}`"
    kind = errors.BY_CODE.get(problem.code) or BY_STATUS.get(response.status, errors.CatalogError)
    error = kind(message)
    error.details = dict(problem.details)
    if problem.code:
        error.retryable = problem.retryable
    if problem.request_id:
        error.details["request_id"] = problem.request_id
        if response.status == 500:
            error.message += f" ({problem.request_id})"
    if wish := retry_after(response.headers.get("Retry-After")):
        error.details["retry_after"] = wish
    return error
