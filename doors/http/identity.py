"""THE place where a request becomes a principal.

Each authenticator looks for its own kind of credential (today tokens; X.509 and OIDC come to this list) and the first
that finds one decides.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from lading.model.errors import InvalidRequest, Unauthenticated
from lading.model.principal import Caller, Principal

if TYPE_CHECKING:
    from doors.app import Services

Authenticator = Callable[["web.Request", "Services"], Awaitable["Principal | None"]]
"""The principal a request proves, None when it carries no credential of this kind. Raises Unauthenticated for a bad
one."""

REQUEST_ID = web.RequestKey("request_id", str)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def token(request: web.Request, services: Services) -> Principal | None:
    """`Authorization: Bearer TOKEN`, or Basic with the token as password (curl -u, WebDAV clients)."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, rest = header.partition(" ")
    if scheme != "Bearer":
        if scheme.lower() == "basic":
            return await services.access.authenticate(_password(rest.strip()))
        if scheme.lower() != "bearer":
            return None
    return await services.access.authenticate(rest.strip())


AUTHENTICATORS: tuple[Authenticator, ...] = (token,)

NOBODY = Principal(0, "nobody", scopes=())
"""Who calls an open route: it has no rights at all."""


class Identity:
    """Makes callers. `trusted` are the proxies (addresses or networks) whose X-Forwarded-For is believed."""

    def __init__(self, services: Services, trusted: Sequence[str] = ()) -> None:
        self._services = services
        self._trusted = [ipaddress.ip_network(t, strict=False) for t in trusted]

    async def identify(self, request: web.Request) -> Caller:
        """Who calls, and from where. Raises Unauthenticated."""
        for authenticator in AUTHENTICATORS:
            principal = await authenticator(request, self._services)
            if principal is not None:
                return Caller(principal, self.origin(request), request[REQUEST_ID])
        raise Unauthenticated("this needs a token: send 'Authorization: Bearer TOKEN', or run 'lading login'")

    def anonymous(self, request: web.Request) -> Caller:
        """The caller of an open route."""
        return Caller(NOBODY, self.origin(request), request[REQUEST_ID])

    def origin(self, request: web.Request) -> str:
        """The address the request came from: the last one that no trusted proxy stands behind."""
        origin = request.remote or ""
        if self._trusted and self._trusts(origin):
            for hop in map(str.strip, reversed(request.headers.get("X-Forwarded-For", "").split(","))):
                if not hop:
                    continue
                try:
                    origin = str(ipaddress.ip_address(hop))
                except ValueError:
                    break  # written by the client: what stands before it is no better
                if not self._trusts(origin):
                    break
        return origin

    def _trusts(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


def idempotency(request: web.Request, body: bytes) -> tuple[str, bytes] | None:
    """The call's Idempotency-Key and what it was used for. Raises InvalidRequest for a key that is none."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest("an Idempotency-Key is 1 to 255 printable ASCII characters without spaces")
    target = f"{request.method} {request.path_qs}\n".encode("utf-8", "surrogateescape")
    return key, hashlib.sha256(target + body).digest()


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        raise Unauthenticated("the Basic credentials are garbled: send the token as the password") from None
