"""Who is asking: tokens in, principals out; and the names of principals."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from typing import TYPE_CHECKING

from catalog.db import Database, Transaction, now
from lading.model.errors import Forbidden, InvalidRequest, NotFound, Unauthenticated
from lading.model.lfn import parse
from lading.model.outcome import Page
from lading.model.people import AuditRow, Me, NewToken, TokenInfo, TokenSpec
from lading.model.principal import SYSTEM, Caller, Principal

from .rights import Rights
from .store import PeopleStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.db import Connection

_PREFIX = "ldg_"  # lets secret scanners recognise a leaked token
_SCOPES = ("read", "write", "admin")
_MAX_LIFE = 10 * 365 * 86400
_USE_NOTED = 60_000_000  # a token's use is written at most once a minute


class AccessService:
    """Authentication and principals. What it remembers is dropped by `forget()`, which a NOTIFY from any process
    calls."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._store = PeopleStore()
        self.rights = Rights()
        self._known: dict[bytes, tuple[Principal, int, int]] = {}
        self._names: dict[int, str] | None = None

    def forget(self) -> None:
        """Drop every remembered principal and name: people have changed."""
        self._known = {}
        self._names = None

    # ── principals ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def authenticate(self, token: str) -> Principal:
        """The principal a token stands for. Raises Unauthenticated; the message never repeats the token."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        memory = self._known  # as of now: should `forget()` come while we look, what we find goes with the old one
        known = memory.get(digest)
        at = now()
        if known is not None and at < known[1] and at < known[2]:
            return known[0]
        if not token.startswith(_PREFIX):
            raise Unauthenticated("this is no lading token: get one with 'lading token add', then 'lading login'")
        async with self._db.read() as connection:
            row = await self._store.use_token(connection, digest, at)
            if row is None:
                memory.pop(digest, None)
                raise Unauthenticated(
                    "the token is unknown, withdrawn or expired: get a new one with 'lading token add',"
                    " then 'lading login'"
                )
            principal = await self.principal(connection, row["user_id"], row["scopes"])
        if len(memory) > 100_000:
            memory.clear()
        memory[digest] = (principal, row["expires"], at + _USE_NOTED)
        return principal

    async def principal(self, connection: Connection, user_id: int, scopes: Iterable[str] = _SCOPES) -> Principal:
        """A user as a principal. Raises Unauthenticated when there is none or it was disabled."""
        row = await self._store.principal(connection, user_id)
        if row is None or row["disabled"]:
            raise Unauthenticated("this user was disabled or removed: ask an administrator")
        pairs = tuple((s.partition(":")[0], s.partition(":")[2] or "/") for s in scopes)
        return Principal(row["id"], row["name"], tuple(row["groups"]), row["admin"], frozenset(row["vos"]), pairs)

    async def me(self, caller: Caller) -> Me:
        who = caller.principal
        async with self._db.read() as connection:
            names = await self.names(connection)
        scopes = [s if top == "/" else f"{s}:{top}" for s, top in who.scopes]
        return Me(who.name, [names[g] for g in who.groups if g in names], who.admin, sorted(who.vos), scopes)

    async def names(self, connection: Connection) -> dict[int, str]:
        """id -> name of every user and group; 0 is nobody."""
        if self._names is not None:
            return self._names
        memory = self._known
        names = {0: "nobody", **await self._store.all_names(connection)}
        if memory is self._known:  # no `forget()` meanwhile
            self._names = names
        return names

    async def ids(self, connection: Connection, kind: str, names: Sequence[str]) -> dict[str, int]:
        """name -> id of users ('u') or groups ('g'). Raises NotFound naming the first that does not exist."""
        found = await self._store.ids(connection, kind, names)
        for name in names:
            if name not in found:
                word = "user" if kind == "u" else "group"
                raise NotFound(f"there is no {word} '{name}': see 'lading {word} ls'", name=name)
        return found

    # ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def make_token(self, caller: Caller, spec: TokenSpec) -> NewToken:
        """A new token, for oneself or (administrators) for anybody, never with wider scopes than the caller's own.

        Raises InvalidRequest (scope, life), Forbidden, NotFound (the user). Not idempotent without an Idempotency-Key,
        with which the answer is not replayed: the token is stored nowhere.
        """
        who = caller.principal
        scopes = [_scope(s) for s in spec.scopes]
        if not scopes or not 1 <= spec.seconds <= _MAX_LIFE:
            raise InvalidRequest(f"a token needs at least one scope and a life of 1 to {_MAX_LIFE} seconds")
        user = spec.user or who.name
        if user != who.name and not who.superuser:
            raise Forbidden("only an administrator makes tokens for somebody else", user=user)
        for scope in scopes:
            word, _, top = scope.partition(":")
            if not who.superuser and not who.scoped(word, top or "/"):
                raise Forbidden(f"your own token has no scope '{scope}', so it can't give it", scope=scope)
        secret = _PREFIX + secrets.token_urlsafe(32)

        async def work(tx: Transaction) -> NewToken:
            user_id = (await self.ids(tx.connection, "u", [user]))[user]
            info = NewToken(
                str(uuid.uuid4()),
                user,
                scopes,
                spec.name,
                tx.at,
                tx.at + spec.seconds * 1_000_000,
                token=secret,
            )
            digest = hashlib.sha256(secret.encode()).digest()
            await self._store.add_token(
                tx.connection, info.id, digest, user_id, info.name, scopes, info.created, info.expires
            )
            tx.audit([user], token=info.id, scopes=scopes)
            return info

        plain = Caller(who, caller.origin, caller.request_id)  # an idempotency record would keep the secret
        return await self._db.change(plain, "token.add", work)

    async def tokens(self, caller: Caller, user: str | None = None) -> list[TokenInfo]:
        """The tokens of `user` (administrators: of anybody, or of all)."""
        who = caller.principal
        if not who.superuser and user not in (None, who.name):
            raise Forbidden("only an administrator sees other people's tokens")
        async with self._db.read() as connection:
            user_id = (await self.ids(connection, "u", [user]))[user] if user else None if who.superuser else who.id
            rows = await self._store.tokens(connection, user_id)
        return [TokenInfo(**dict(r)) for r in rows]

    async def remove_token(self, caller: Caller, token_id: str) -> None:
        """Withdraw a token, one's own or (administrators) anybody's. Raises NotFound."""
        try:
            wanted = str(uuid.UUID(token_id))
        except ValueError:
            raise InvalidRequest(f"'{token_id[:40]}' is not a token id: see 'lading token ls'") from None
        who = caller.principal

        async def work(tx: Transaction) -> None:
            user = await self._store.remove_token(tx.connection, wanted, None if who.superuser else who.id)
            if user is None:
                raise NotFound("there is no such token of yours", id=wanted)
            tx.audit([user], token=wanted)
            tx.notices.add("people")

        await self._db.change(caller, "token.remove", work)
        self.forget()

    async def system_token(self, user: str, scopes: Sequence[str], seconds: int, name: str) -> str:
        """A token made by the server itself (`lading-server run`, a locked-out administrator)."""
        return (await self.make_token(SYSTEM, TokenSpec(user, list(scopes), seconds, name))).token

    # ── audit ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def audit(
        self,
        caller: Caller,
        *,
        user: str | None,
        action: str | None,
        since: int,
        cursor: str | None,
        limit: int,
    ) -> Page[AuditRow]:
        """What was done, newest first. Administrators see all, others what they did themselves."""
        who = caller.principal
        if not who.superuser and user not in (None, who.name):
            raise Forbidden("only an administrator sees what other people did")
        try:
            before = int(cursor) if cursor else 2**62
        except ValueError:
            raise InvalidRequest("the cursor is not one of ours") from None
        async with self._db.read() as connection:
            user_id = (await self.ids(connection, "u", [user]))[user] if user else None if who.superuser else who.id
            rows = await self._store.audit(connection, before, user_id, action, since, limit)
        items = [AuditRow(**dict(r)) for r in rows]
        return Page(items, str(items[-1].id) if len(items) == limit else None)


def _scope(text: str) -> str:
    word, colon, top = text.partition(":")
    if word not in _SCOPES or (colon and not top):
        raise InvalidRequest(
            f"'{text[:80]}' is not a scope: use read, write or admin, or one of them narrowed as in read:/biomed"
        )
    top = parse(top) if top else "/"
    return word if top == "/" else f"{word}:{top}"
