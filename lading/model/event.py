"""Events: what was done, as it is done; read as a stream, or sent to a URL."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from .people import AuditRow

_Action = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9._-]{0,62}\*?$")]
Actions = Annotated[list[_Action], Meta(max_length=100)]


class Events(Struct, omit_defaults=True):
    """What was done since a cursor, in order, nothing left out and nothing twice; `next` is the cursor to go on
    from."""

    items: list[AuditRow]
    next: str


class NewHook(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """POST /v1/hooks -> Hook. Events of these `actions` (all without; `file.*` for all that begin so), with a target at
    or below `under`, are sent to `url` from now on."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/@]+(/\S*)?$", max_length=1000)]
    actions: Actions = []
    under: str = "/"


class Hook(Struct, omit_defaults=True):
    """A webhook. `secret` is told once, when it is made: deliveries are signed with it. `failures` in a row, and the
    last `error`; then `next_try`. Microseconds."""

    id: int
    url: str
    actions: list[str] = []
    under: str = "/"
    user: str = ""
    delivered: int = 0
    at: int | None = None
    failures: int = 0
    error: str | None = None
    next_try: int | None = None
    created: int = 0
    secret: str | None = None


class Delivery(Struct, omit_defaults=True):
    """What is POSTed to a webhook: `X-Lading-Signature: sha256=HEX` is the HMAC of `X-Lading-Timestamp`, a dot and the
    body. Answer 2xx to have the next; the same `delivery` may come again."""

    hook: int
    delivery: str
    events: list[AuditRow]
