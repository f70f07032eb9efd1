"""The way to PostgreSQL: pools, transactions, codecs, faults. No query of the catalogue's stands here."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import msgspec

from lading.model.errors import Conflict, InvalidRequest, Unavailable
from lading.model.outcome import Outcomes

if TYPE_CHECKING:
    from lading.model.principal import Caller

T = TypeVar("T")
if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

# The bulk statements join an array of 1,000 keys with huge tables: without these a young, never analysed table makes
# the planner hash and scan (58 against 11 ms measured). Statements over whole trees go through the other pool.
_BULK = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "random_page_cost": "1.1",
}
_COMMON = {
    "jit": "off",
    "application_name": "lading",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "60000",
}

_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_FULL = (asyncpg.DiskFullError, asyncpg.OutOfMemoryError, asyncpg.InsufficientResourcesError)


class LostRace(Exception):
    """Another transaction was first: run this one again on what it left."""


_AGAIN = (LostRace, asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.UniqueViolationError)


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class _Session(asyncpg.Connection):
    def get_reset_query(self) -> str:
        # Nothing of ours outlives a transaction; the default costs a round trip per release (15 -> 19.5 k req/s).
        return ""


@dataclass(slots=True)
class Transaction:
    """A change under way. `audit()` at least once; the rows are written with the change itself."""

    connection: Connection
    caller: Caller
    action: str
    at: int
    attempt: int = 0
    audits: list[tuple[str, int, list[str], dict[str, Any]]] = field(default_factory=list)
    after: list[Callable[[], None]] = field(default_factory=list)
    notices: set[str] = field(default_factory=set)

    def audit(
        self, targets: Iterable[str], *, count: int | None = None, action: str | None = None, **details: Any
    ) -> None:
        """Note what this change touches; an empty list of targets notes nothing."""
        names = list(targets)
        if names or count:
            self.audits.append((action or self.action, len(names) if count is None else count, names, details))


class Database:
    """Two pools on one PostgreSQL: `bulk` for statements keyed by arrays, `wide` for those over whole trees."""

    def __init__(self, dsn: str, *, size: int = 10) -> None:
        self.dsn = dsn
        self._size = size
        self._bulk: asyncpg.Pool[asyncpg.Record] | None = None
        self._wide: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Connect both pools. Raises Unavailable when PostgreSQL does not answer; may be called again then."""
        async with self._opening:
            if self._bulk is None:
                self._bulk = await self._pool(
                    self._size, {**_COMMON, **_BULK, "statement_timeout": "120000", "lock_timeout": "30000"}
                )
            if self._wide is None:
                self._wide = await self._pool(
                    max(2, self._size // 2),
                    {**_COMMON, "statement_timeout": "600000", "lock_timeout": "30000"},
                )

    async def _pool(self, size: int, settings: dict[str, str]) -> asyncpg.Pool[asyncpg.Record]:
        async with faults():
            return await asyncpg.create_pool(
                self.dsn,
                min_size=1,
                max_size=size,
                max_queries=10**9,  # 50,000 by default, and then every prepared statement is lost
                max_inactive_connection_lifetime=0,
                connection_class=_Session,
                server_settings=settings,
                init=_codecs,
                timeout=10,
                command_timeout=None,
            )

    def pools(self) -> dict[str, tuple[int, int]]:
        """(connections, idle ones) of each pool that is open."""
        pools = {"bulk": self._bulk, "wide": self._wide}
        return {name: (p.get_size(), p.get_idle_size()) for name, p in pools.items() if p is not None}

    async def close(self) -> None:
        for pool in (self._bulk, self._wide):
            if pool is not None:
                try:
                    await asyncio.wait_for(pool.close(), 5)
                except (TimeoutError, *_AWAY):
                    pool.terminate()
        self._bulk = self._wide = None

    @contextlib.asynccontextmanager
    async def read(self, *, wide: bool = False) -> AsyncIterator[Connection]:
        """A connection for single statements. Raises Unavailable when the database is away or full."""
        pool = self._wide if wide else self._bulk
        if pool is None:
            await self.open()
            pool = self._wide if wide else self._bulk
            assert pool is not None
        async with faults(), pool.acquire(timeout=20) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """One read-only transaction over several statements (a cursor over a large result)."""
        async with (
            self.read(wide=True) as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def change(
        self,
        caller: Caller,
        action: str,
        work: Callable[[Transaction], Awaitable[T]],
        *,
        dry_run: bool = False,
        wide: bool = False,
    ) -> T:
        """Run `work` in one transaction, with its audit rows and its idempotency key, and return what it returns.

        `work` runs again from the start after a deadlock or a lost race, so it keeps no state outside the transaction.
        With `dry_run` everything is done and then rolled back. Raises Replayed when the caller's key has taken effect
        already, Conflict when it was used for another request, Unavailable when the database is away.
        """
        for attempt in range(5):
            try:
                async with self.read(wide=wide) as connection:
                    return await self._change(connection, caller, action, work, dry_run, attempt)
            except _AGAIN:
                if attempt == 4:
                    raise
                await asyncio.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    async def _change(
        self,
        connection: Connection,
        caller: Caller,
        action: str,
        work: Callable[[Transaction], Awaitable[T]],
        dry_run: bool,
        attempt: int,
    ) -> T:
        transaction = connection.transaction()
        await transaction.start()
        try:
            tx = Transaction(connection, caller, action, now(), attempt)
            if caller.idempotency and not dry_run:
                await _claim(connection, caller)
            result = await work(tx)
            if isinstance(result, Outcomes):
                result.dry_run = dry_run
            if not dry_run:
                await _record(tx, result)
        except BaseException:
            if not connection.is_closed():
                await transaction.rollback()
            raise
        if dry_run:
            await transaction.rollback()
        else:
            await transaction.commit()
            for call in tx.after:
                call()
        return result

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[Connection]:
        """A connection of its own, outside a transaction and without time limits, for what takes minutes (an index).

        Closing it ends what runs on it. Raises Unavailable.
        """
        async with faults():
            settings = {**_COMMON, "statement_timeout": "0", "lock_timeout": "0"}
            connection = await asyncpg.connect(self.dsn, timeout=10, server_settings=settings)
            try:
                await _codecs(connection)
                yield connection
            finally:
                connection.terminate()

    async def listen(self, channel: str, heard: Callable[[str | None], None]) -> None:
        """Call `heard(payload)` for every NOTIFY, and `heard(None)` after each reconnection. Runs until cancelled."""
        while True:
            try:
                connection = await asyncpg.connect(
                    self.dsn, timeout=10, server_settings={"application_name": "lading listen"}
                )
                try:
                    await connection.add_listener(channel, lambda _c, _p, _ch, payload: heard(str(payload)))
                    heard(None)
                    while not connection.is_closed():
                        await asyncio.sleep(1)
                        await connection.execute("select 1")  # notices a dead peer
                finally:
                    await connection.close(timeout=2)
            except (*_AWAY, asyncpg.PostgresError, TimeoutError):
                await asyncio.sleep(1)


class Replayed(Exception):
    """The call took effect before, under the same idempotency key: `body` is the JSON it answered."""

    def __init__(self, body: bytes) -> None:
        super().__init__("replayed")
        self.body = body


_CLAIM = """insert into idempotency(user_id, key, fingerprint, body, at) values ($1, $2, $3, '', $4)
on conflict (user_id, key) do nothing returning 1"""
_CLAIMED = "select fingerprint, body from idempotency where user_id = $1 and key = $2"
_ANSWER = "update idempotency set body = $3 where user_id = $1 and key = $2"
_AUDIT = """insert into audit(at, user_id, action, count, targets, details, origin, request_id)
select $1, $2, a, n, (select coalesce(array_agg(x), '{}') from jsonb_array_elements_text(t -> 't') x), d, $7, $8
  from unnest($3::text[], $4::int[], $5::jsonb[], $6::jsonb[]) u(a, n, t, d)"""


async def _claim(connection: Connection, caller: Caller) -> None:
    assert caller.idempotency is not None
    key, fingerprint = caller.idempotency
    user = caller.principal.id
    if await connection.fetchval(_CLAIM, user, key, fingerprint, now()):
        return
    row = await connection.fetchrow(_CLAIMED, user, key)
    if row is None or row["fingerprint"] != fingerprint:
        raise Conflict("this Idempotency-Key was used for another request: choose a new one", key=key)
    raise Replayed(row["body"])


async def _record(tx: Transaction, result: object) -> None:
    connection, caller = tx.connection, tx.caller
    if tx.audits:
        actions, counts, targets, details = zip(*tx.audits, strict=True)
        await connection.execute(
            _AUDIT,
            tx.at,
            caller.principal.id,
            list(actions),
            list(counts),
            [{"t": t} for t in targets],  # a bare list would be taken for another dimension of the array
            list(details),
            caller.origin,
            caller.request_id,
        )
    if caller.idempotency:
        await connection.execute(_ANSWER, caller.principal.id, caller.idempotency[0], msgspec.json.encode(result))
    for notice in sorted(tx.notices):
        await connection.execute("select pg_notify('lading', $1)", notice)


async def _codecs(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda v: b"\x01" + msgspec.json.encode(v),
        decoder=lambda b: msgspec.json.decode(b[1:]),
    )


@contextlib.asynccontextmanager
async def faults() -> AsyncIterator[None]:
    """Turn the driver's faults into ours: away, overloaded and full are Unavailable; the rest passes through."""
    try:
        yield
    except _FULL as error:
        raise Unavailable(
            "the database has no room left: free disk space, then try again", reason=type(error).__name__
        ) from error
    except asyncpg.QueryCanceledError as error:
        raise Unavailable("the database took too long over this: ask for less at once, or try again later") from error
    except asyncpg.LockNotAvailableError as error:
        raise Unavailable("others are at work on this for long, such as a freeze: try again in a moment") from error
    except asyncpg.DataError as error:
        raise InvalidRequest(f"the database can't hold a value of this request: {error}") from error
    except TimeoutError as error:
        raise Unavailable("all database connections are busy: try again in a moment") from error
    except _AWAY as error:
        raise Unavailable("the database does not answer: try again in a moment", reason=type(error).__name__) from error
