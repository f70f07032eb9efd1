"""Calls of Girder's REST API: logged in, answered in JSON, their errors typed.

Girder takes whoever comes with a token that has expired for nobody, and hides from nobody what is private: it says "not
found". So what is not there counts only where `logged_in` is sure.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec
from aiohttp import encode_basic_auth
from yarl import URL

from .base import NONE
from .errors import Denied, NoSpace, StorageError, Transient
from .http_errors import refused
from .http_session import HttpSession
from .paths import shown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping

    from aiohttp import ClientResponse

    from .girder import GirderOptions
    from .http_session import Body

Doc = dict[str, Any]
_ANY = range(200, 600)
_DONE = range(200, 300)
_LONGEST = 1 << 26  # bytes of an answer
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}


class Missing(StorageError):
    """Girder knows nothing of that id or path, or hides it from us. Never leaves the plug-in."""


_KINDS: tuple[tuple[type[StorageError], re.Pattern[str]], ...] = (  # what is meant by a 400
    (Missing, re.compile("^(Path|Collection|User|Child resource) not found|^Invalid ([a-z]+ id|ObjectId)\\b")),
    (NoSpace, re.compile("quota|insufficient free space")),
    (Transient, re.compile("client sent offset")),
)


class GirderApi:
    def __init__(self, options: GirderOptions) -> None:
        self.http = HttpSession(options)
        self._options = options
        self._token = options.token
        self._logging_in = asyncio.Lock()
        self._identify()

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] = NONE,
        *,
        pfn: str | None = None,
        body: Callable[[], Body] | None = None,
        values: Doc | None = None,
        patient: bool = False,
    ) -> Any:
        """The answer to `method` of `path`. `body` makes what is sent, anew for each try; `values` is sent as JSON.

        Raises Missing, Denied, NoSpace, Transient, and StorageError for what Girder will not do.
        """
        if query:
            path += "?" + urlencode(query, quote_via=quote)
        async with self.request(
            method, path, accept=_DONE, pfn=pfn, body=body, values=values, patient=patient
        ) as response:
            return await _answer(response)

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        *,
        accept: Collection[int],
        pfn: str | None = None,
        headers: dict[str, str] | None = None,
        body: Callable[[], Body] | None = None,
        values: Doc | None = None,
        patient: bool = False,
        follow: bool = False,
    ) -> AsyncGenerator[ClientResponse, None]:
        """The response, when its status is one of `accept`. A token that is not taken is renewed once."""
        for renewing in (True, False):
            token = await self._logged_in()
            data = body() if body else msgspec.json.encode(values) if values is not None else None
            async with self.http.request(
                method,
                self._url(path),
                accept=_ANY,
                pfn=pfn,
                headers={**(headers or {}), **(_JSON if values is not None else {})},
                data=data,
                patient=patient,
                follow=follow,
            ) as response:
                if response.status == 401 and renewing and await self.renew(token):
                    continue
                if response.status not in accept:
                    raise await _refusal(method, response, pfn)
                yield response
                return

    async def lookup(self, path: str) -> Doc | None:
        """What is at a path of Girder's; None for nothing, and for what is hidden from us."""
        try:
            found: Doc = await self.call("GET", "resource/lookup", {"path": path})
        except Missing:
            return None
        return found

    async def logged_in(self) -> bool:
        """Whether Girder takes us for who we are, now."""
        return self._anonymous or await self.call("GET", "token/current") is not None

    async def renew(self, token: str | None) -> bool:
        """A new token in place of `token`; False when there is nothing to make one of. Raises Denied."""
        async with self._logging_in:
            if self._token == token:
                if self._anonymous or self._options.token is not None:
                    return False
                self._token = await self._login()
                self._identify()
            return True

    @property
    def token(self) -> str | None:
        return self._token

    @property
    def _anonymous(self) -> bool:
        options = self._options
        return options.api_key is None and options.token is None and options.username is None

    async def _logged_in(self) -> str | None:
        if self._token is None:
            await self.renew(None)
        return self._token

    async def _login(self) -> str:
        options = self._options
        if options.api_key is not None:  # in the body, for the server's log has every query
            method, path, headers = "POST", "api_key/token", _FORM
            data = urlencode({"key": options.api_key}).encode()
        else:
            login = encode_basic_auth(options.username or "", options.password or "", "utf-8")
            method, path, headers, data = "GET", "user/authentication", {"Authorization": login}, b""
        async with self.http.request(
            method, self._url(path), accept=_ANY, headers=headers, data=data or None, follow=False
        ) as response:
            if response.status in (400, 401, 403):
                raise Denied("Girder does not take the api_key" if options.api_key else "Girder does not let us log in")
            if response.status not in _DONE:
                raise await _refusal(method, response, None)
            answer = await _answer(response)
        try:
            return str(answer["authToken"]["token"])
        except (TypeError, KeyError):
            raise StorageError("the server makes no token: is it the right URL?") from None

    def _identify(self) -> None:
        """Show the token, to Girder's own server alone."""
        self.http.identity.headers = {"Girder-Token": self._token} if self._token else {}

    def _url(self, path: str) -> URL:
        return URL(str(self.http.base) + path, encoded=True)


async def _answer(response: ClientResponse) -> Any:
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > _LONGEST:
            raise StorageError("the server's answer has no end")
    try:
        return msgspec.json.decode(raw or b"null")
    except msgspec.DecodeError:
        raise StorageError("the server's answer is none of Girder's: is it the right URL?") from None


async def _refusal(method: str, response: ClientResponse, pfn: str | None) -> StorageError:
    """The error for an answer that is not what was wanted."""
    told = refused(method, response.status, response.headers, pfn=pfn)
    if response.status in (404, 405, 410, 412):  # never Girder's own: of a server that is none, or a proxy before it
        return StorageError(f"{told.message}: is it the right URL?", pfn=pfn)
    try:
        words = str((await _answer(response))["message"])
    except (StorageError, TypeError, KeyError):
        return told
    message = f"Girder says: {shown(words)}"
    if isinstance(told, Transient):
        return Transient(message, pfn=pfn, retry_after=told.retry_after)
    if response.status != 400:
        return type(told)(message, pfn=pfn)
    kind = next((kind for kind, pattern in _KINDS if pattern.search(words)), StorageError)
    return kind(message, pfn=pfn)
