"""Users, groups, VOs, tokens; who did what; aliases; the server itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from catalog.db import now
from doors.http.routes import Call, Route
from lading import __version__
from lading.model.api import Alias, Info
from lading.model.outcome import Page
from lading.model.people import (
    AuditRow,
    GroupInfo,
    GroupSpec,
    Me,
    NewToken,
    TokenInfo,
    TokenSpec,
    UserChange,
    UserInfo,
    UserSpec,
    VOInfo,
    VOSpec,
)  # fmt: skip

_Limit = Annotated[int, Meta(ge=1, le=10_000)]


class PageQuery(Struct, forbid_unknown_fields=True):
    cursor: str | None = None
    limit: _Limit = 1000


class TokensQuery(Struct, forbid_unknown_fields=True):
    user: str | None = None


class AliasQuery(Struct, forbid_unknown_fields=True):
    prefix: str


class AuditQuery(Struct, forbid_unknown_fields=True):
    """`since` is microseconds since the epoch."""

    user: str | None = None
    action: str | None = None
    since: Annotated[int, Meta(ge=0, le=2**62)] = 0
    cursor: str | None = None
    limit: _Limit = 1000


async def me(call: Call[None]) -> Me:
    return await call.services.access.me(call.caller)


async def users(call: Call[None, PageQuery]) -> Page[UserInfo]:
    return await call.services.people.users(call.caller, cursor=call.query.cursor, limit=call.query.limit)


async def user(call: Call[None]) -> UserInfo:
    return await call.services.people.user(call.caller, call.params["name"])


async def add_user(call: Call[UserSpec]) -> UserInfo:
    return await call.services.people.add_user(call.caller, call.body)


async def change_user(call: Call[UserChange]) -> UserInfo:
    return await call.services.people.change_user(call.caller, call.params["name"], call.body)


async def remove_user(call: Call[None]) -> None:
    await call.services.people.remove_principal(call.caller, "u", call.params["name"])


async def groups(call: Call[None, PageQuery]) -> Page[GroupInfo]:
    return await call.services.people.groups(call.caller, cursor=call.query.cursor, limit=call.query.limit)


async def add_group(call: Call[GroupSpec]) -> GroupInfo:
    return await call.services.people.add_group(call.caller, call.body)


async def remove_group(call: Call[None]) -> None:
    await call.services.people.remove_principal(call.caller, "g", call.params["name"])


async def vos(call: Call[None]) -> list[VOInfo]:
    return await call.services.people.vos(call.caller)


async def set_vo(call: Call[VOSpec]) -> VOInfo:
    return await call.services.people.set_vo(call.caller, call.body)


async def remove_vo(call: Call[None]) -> None:
    await call.services.people.remove_vo(call.caller, call.params["name"])


async def tokens(call: Call[None, TokensQuery]) -> list[TokenInfo]:
    return await call.services.access.tokens(call.caller, call.query.user)


async def add_token(call: Call[TokenSpec]) -> NewToken:
    return await call.services.access.make_token(call.caller, call.body)


async def remove_token(call: Call[None]) -> None:
    await call.services.access.remove_token(call.caller, call.params["id"])


async def aliases(call: Call[None]) -> list[Alias]:
    return await call.services.names.aliases(call.caller)


async def set_alias(call: Call[Alias]) -> Alias:
    return await call.services.names.set_alias(call.caller, call.body)


async def remove_alias(call: Call[None, AliasQuery]) -> None:
    await call.services.names.remove_alias(call.caller, call.query.prefix)


async def audit(call: Call[None, AuditQuery]) -> Page[AuditRow]:
    query = call.query
    return await call.services.access.audit(
        call.caller, user=query.user, action=query.action, since=query.since, cursor=query.cursor, limit=query.limit
    )


async def info(call: Call[None]) -> Info:
    return Info(call.services.config.name, __version__, call.services.schema_version, now())


ROUTES = [
    Route("GET", "/v1/info", info, "open", "The server: version, schema, clock, limits", answer=Info, tag="Server"),
    Route("GET", "/v1/me", me, "user", "Who the server takes you for", answer=Me, tag="People"),
    Route("GET", "/v1/users", users, "user", "Users", query=PageQuery, answer=Page[UserInfo], tag="People"),
    Route("POST", "/v1/users", add_user, "admin", "Add a user", body=UserSpec, answer=UserInfo, status=201, tag="People"),
    Route("GET", "/v1/users/{name}", user, "user", "One user", answer=UserInfo, tag="People"),
    Route("PATCH", "/v1/users/{name}", change_user, "admin", "Change a user", body=UserChange, answer=UserInfo, tag="People"),
    Route("DELETE", "/v1/users/{name}", remove_user, "admin", "Remove a user who owns nothing", status=204, tag="People"),
    Route("GET", "/v1/groups", groups, "user", "Groups", query=PageQuery, answer=Page[GroupInfo], tag="People"),
    Route("POST", "/v1/groups", add_group, "admin", "Add a group", body=GroupSpec, answer=GroupInfo, status=201, tag="People"),
    Route("DELETE", "/v1/groups/{name}", remove_group, "admin", "Remove a group that owns nothing", status=204, tag="People"),
    Route("GET", "/v1/vos", vos, "user", "Virtual organisations", answer=list[VOInfo], tag="People"),
    Route("POST", "/v1/vos", set_vo, "admin", "Make a VO, or change its administrators", body=VOSpec, answer=VOInfo, tag="People"),
    Route("DELETE", "/v1/vos/{name}", remove_vo, "admin", "Forget a VO; its files stay", status=204, tag="People"),
    Route("GET", "/v1/tokens", tokens, "user", "Tokens", query=TokensQuery, answer=list[TokenInfo], tag="People"),
    Route("POST", "/v1/tokens", add_token, "user", "Make a token; it is shown this once", body=TokenSpec, answer=NewToken, status=201, tag="People"),
    Route("DELETE", "/v1/tokens/{id}", remove_token, "user", "Withdraw a token", status=204, tag="People"),
    Route("GET", "/v1/aliases", aliases, "user", "Aliases of path prefixes", answer=list[Alias], tag="Names"),
    Route("POST", "/v1/aliases", set_alias, "admin", "Let a prefix stand for another for ever", body=Alias, answer=Alias, tag="Names"),
    Route("DELETE", "/v1/aliases", remove_alias, "admin", "Take an alias away", query=AliasQuery, status=204, tag="Names"),
    Route("GET", "/v1/audit", audit, "user", "Who did what, newest first", query=AuditQuery, answer=Page[AuditRow], tag="Server"),
]  # fmt: skip
