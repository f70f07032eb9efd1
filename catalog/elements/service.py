"""The registry of storage elements, and the open plug-ins behind them."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.access.rights import require_admin
from catalog.db import Database, Transaction
from lading.model import lfn
from lading.model.element import (
    ElementChange,
    ElementInfo,
    ElementSpec,
    ElementState,
    ElementType,
    Medium,
    Scrub,
    TypeOption,
)
from lading.model.errors import Conflict, InvalidRequest, NotFound, Unavailable
from storage_plugins import registry
from storage_plugins.errors import InvalidOptions, PluginMissing
from storage_plugins.options import options_of
from storage_plugins.powers import powers

from .expression import parse
from .layout import check_layout, check_pfn
from .opened import OpenElements, OperationCounts
from .secrets import SecretBox
from .store import FIELDS, ElementsStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import asyncpg

    from catalog.db import Connection
    from lading.model.principal import Caller
    from storage_plugins.base import Element as StorageElement

_AGE = 5.0  # seconds after which the registry is read again, should a NOTIFY have been lost
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_CODE = re.compile(r"[A-Z]{2}")
_MAX_DAYS = 36_500
_MAX_COST = 1_000_000  # the order of sources has 27 bits for it


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """An element as the catalogue uses it: one row of the registry, read a moment ago."""

    id: int
    name: str
    type: str
    site: str | None
    country: str | None
    medium: str
    state: str
    can_read: bool
    can_write: bool
    can_delete: bool
    layout: str
    prefix: str
    strip: str
    cost: int
    tags: Sequence[str]
    max_bytes: int | None
    max_connections: int | None
    max_rate: int | None
    scrub_days: int
    options: dict[str, Any]
    secrets: bytes | None
    placeholder: bool
    mtime: int
    fault: str | None
    fault_reads: bool
    next_try: int | None

    @property
    def readable(self) -> bool:
        return self.can_read and self.state != "off"

    @property
    def writable(self) -> bool:
        return self.can_write and self.state == "active" and self.fault is None

    @property
    def deletable(self) -> bool:
        return self.can_delete and self.state in ("active", "drain") and self.fault is None

    def why_not(self, what: str) -> str:
        """Why the element can't be read / written / deleted from, for people."""
        if self.state == "off":
            return f"element '{self.name}' is off"
        if self.fault is not None:
            return f"element '{self.name}' is out until it answers again: {self.fault}"
        if self.state == "active" or what == "read":
            return f"element '{self.name}' is closed to {what}"
        return f"element '{self.name}' is {self.state}"


class ElementsService:
    """Reads are answered from memory; every change tells the other processes."""

    def __init__(self, database: Database, secrets: SecretBox) -> None:
        self._db = database
        self._secrets = secrets
        self._store = ElementsStore()
        self._by_name: dict[str, Element] = {}
        self._by_id: dict[int, Element] = {}
        self._at = 0.0
        self._opened = OpenElements()

    # ── for other slices ─────────────────────────────────────────────────────────────────────────────────────────────

    async def ready(self, connection: Connection) -> None:
        """Have the registry at hand."""
        if time.monotonic() - self._at > _AGE:
            elements = [_element(row) for row in await self._store.all(connection)]
            self._by_name = {e.name: e for e in elements}
            self._by_id = {e.id: e for e in elements}
            self._at = time.monotonic()

    def forget(self) -> None:
        self._at = 0.0

    def named(self, name: str) -> Element:
        """Raises NotFound."""
        element = self._by_name.get(name)
        if element is None:
            raise NotFound(f"there is no storage element '{name[:80]}': see 'lading se ls'", element=name)
        return element

    def by_id(self, element_id: int) -> Element | None:
        return self._by_id.get(element_id)

    @property
    def generation(self) -> object:
        """Another object each time the registry was read again: what was worked out from it is of that reading."""
        return self._by_id

    def every(self) -> Iterable[Element]:
        return self._by_name.values()

    async def matching(self, connection: Connection, text: str) -> list[Element]:
        """The elements that an expression chooses, by name. Raises InvalidRequest for what is none (see expression.py).

        Free space is what the catalogue leaves of `max_bytes`: without that there is no end of it.
        """
        expression = parse(text)
        await self.ready(connection)
        free: dict[int, float] = {}
        if expression.asks_free:
            usage = await self._store.usage(connection)
            free = {e.id: e.max_bytes - usage.get(e.id, (0, 0))[1] for e in self.every() if e.max_bytes is not None}
        return expression.select(self.every(), free)

    async def load(self) -> None:
        """`ready()` for who holds no connection."""
        if time.monotonic() - self._at > _AGE:
            async with self._db.read() as connection:
                await self.ready(connection)

    async def storage(self, element: Element, *, out: bool = False) -> StorageElement:
        """The open plug-in of an element, shared by all, with retries, its limits and counts. Raises InvalidRequest
        (options), Unavailable (extra missing; it can't be read now, unless `out`: see breaker.py)."""
        if element.fault_reads and not out:
            raise Unavailable(element.why_not("read"), element=element.name)
        return self._opened.current(element) or self._opened.open(
            element, {**element.options, **self._secrets.open(element.secrets)}
        )

    def counts(self) -> Mapping[tuple[str, str], OperationCounts]:
        """What was done with elements in this process, by (element, operation)."""
        return self._opened.counts

    @property
    def opened(self) -> OpenElements:
        return self._opened

    def out(self) -> dict[str, bool]:
        """Whether each element is out, for it failed too often."""
        return {e.name: e.fault is not None for e in self.every()}

    async def copies(self, connection: Connection, element: Element) -> int:
        """How many copies the catalogue has on the element."""
        return (await self._store.usage_of(connection, element.id))[0]

    async def used_bytes(self, connection: Connection, element: Element) -> int:
        """What the catalogue has on the element, exactly."""
        return (await self._store.usage_of(connection, element.id))[1]

    async def url_base(self, element: Element) -> str | None:
        """What a PFN is appended to for a URL that clients may reach themselves; None when only the server can."""
        if element.placeholder or not element.readable:
            return None
        try:
            return getattr(await self.storage(element, out=True), "url_base", None)
        except (InvalidRequest, Unavailable):
            return None

    async def aclose(self) -> None:
        """Close every open plug-in."""
        await self._opened.aclose()

    # ── for operators ────────────────────────────────────────────────────────────────────────────────────────────────

    async def every_info(self, caller: Caller, match: str = "") -> list[ElementInfo]:
        """Every element, or those that an expression chooses, with its exact usage. Options are shown to
        administrators, secrets to nobody. Raises InvalidRequest."""
        async with self._db.read(wide=True) as connection:
            rows = await self._store.all(connection)
            usage = await self._store.usage(connection)
            if match:
                chosen = {e.id for e in await self.matching(connection, match)}
                rows = [row for row in rows if row["id"] in chosen]
        return [self._info(caller, row, usage.get(row["id"], (0, 0))) for row in rows]

    async def show(self, caller: Caller, name: str) -> ElementInfo:
        """One element, with its powers. Raises NotFound."""
        async with self._db.read(wide=True) as connection:
            for row in await self._store.all(connection):
                if row["name"] == name:
                    info = self._info(caller, row, await self._store.usage_of(connection, row["id"]))
                    scrub = await self._store.scrub(connection, row["id"])
                    if scrub is not None:
                        info.scrub = Scrub(scrub["request_id"], scrub["looked"], scrub["began"], scrub["ended"])
                    break
            else:
                raise NotFound(f"there is no storage element '{name[:80]}': see 'lading se ls'", element=name)
        if not info.placeholder:
            try:
                info.powers = powers(await self.storage(_element(row), out=True))
            except (InvalidRequest, Unavailable) as error:
                info.fault = error.message
        return info

    async def add(self, caller: Caller, spec: ElementSpec) -> ElementInfo:
        """Add an element to the running server. Raises InvalidRequest (type, options), Conflict (the name is taken)."""
        require_admin(caller.principal)
        if not _NAME.fullmatch(spec.name):
            raise InvalidRequest(
                "an element's name has letters, digits and _ . - only, at most 63", element=spec.name[:80]
            )
        values = self._values(_as_dict(spec))
        if spec.state is ElementState.ACTIVE:
            await self._prepare(spec)

        async def work(tx: Transaction) -> None:
            if await self._store.add(tx.connection, values, tx.at) is None:
                raise Conflict(
                    f"there is a storage element '{spec.name}' already: change it with 'lading se set'",
                    element=spec.name,
                )
            self._changed(tx, spec.name, {"type": spec.type})

        await self._db.change(caller, "element.add", work)
        return await self.show(caller, spec.name)

    async def change(self, caller: Caller, name: str, change: ElementChange) -> ElementInfo:
        """Change an element; safe to repeat. Raises NotFound, InvalidRequest."""
        require_admin(caller.principal)
        wished = {f: v for f in change.__struct_fields__ if (v := getattr(change, f)) is not None}

        async def work(tx: Transaction) -> None:
            row = await self._store.lock(tx.connection, name)
            if row is None:
                raise NotFound(f"there is no storage element '{name[:80]}': see 'lading se ls'", element=name)
            now = {f: row[f] for f in FIELDS if f != "secrets"}
            options = {**row["options"], **self._secrets.open(row["secrets"]), **wished.get("options", {})}
            if now["prefix"] != wished.get("prefix", now["prefix"]) and await self._store.busy(
                tx.connection, row["id"]
            ):
                raise Conflict(
                    "the prefix is part of where replicas are: it can't change while there are any", element=name
                )
            now.update(wished, options={k: v for k, v in options.items() if v is not None})
            await self._store.set(tx.connection, row["id"], self._values(now), max(tx.at, row["mtime"] + 1))
            self._changed(tx, name, {k: str(v) for k, v in wished.items() if k != "options"})

        await self._db.change(caller, "element.set", work)
        return await self.show(caller, name)

    async def remove(self, caller: Caller, name: str) -> None:
        """Take an unused element out. Raises NotFound, and Conflict while anything is on it."""
        require_admin(caller.principal)

        async def work(tx: Transaction) -> None:
            row = await self._store.lock(tx.connection, name)
            if row is None:
                raise NotFound(f"there is no storage element '{name[:80]}': see 'lading se ls'", element=name)
            if await self._store.busy(tx.connection, row["id"]):
                raise Conflict(
                    f"there are still replicas on '{name}', if only of files in the trash: 'lading se drain'",
                    element=name,
                )
            await self._store.remove(tx.connection, row["id"])
            self._changed(tx, name, {})

        await self._db.change(caller, "element.remove", work)

    def types(self) -> list[ElementType]:
        """Every installed plug-in."""
        return [
            ElementType(
                p.name,
                p.summary,
                [TypeOption(o.name, o.type, o.description, o.default, o.required, o.secret) for o in p.options],
                p.missing,
            )
            for p in registry.types()
        ]

    async def _prepare(self, spec: ElementSpec) -> None:
        """Make what the storage needs and see it work, before the element is there for all. Raises InvalidRequest."""
        try:
            storage = registry.open(spec.type, spec.options, name=spec.name)
        except PluginMissing as error:
            raise Unavailable(error.message) from error
        try:
            report = await storage.probe(prepare=True, write=spec.can_write)
        finally:
            await storage.aclose()
        if not report.ok:
            raise InvalidRequest(
                f"'{spec.name}' does not work: {report.error}. Mend it, or add it with state 'off'", element=spec.name
            )

    def _changed(self, tx: Transaction, name: str, details: dict[str, Any]) -> None:
        tx.audit([name], **details)
        tx.notices.add("elements")
        tx.after.append(self.forget)

    def _values(self, given: dict[str, Any]) -> dict[str, Any]:
        """Columns of a row: checked, options split into open and secret ones."""
        if given["country"] and not _CODE.fullmatch(given["country"]):
            raise InvalidRequest(
                "a country is two capital letters (ISO 3166): FR, JP, ...", country=given["country"][:20]
            )
        if not 0 <= given["cost"] <= _MAX_COST:
            raise InvalidRequest(f"cost is a number from 0 to {_MAX_COST}", cost=given["cost"])
        for limit, least, most in (("max_bytes", 0, 2**63), ("max_connections", 1, 2**31), ("max_rate", 1, 2**63)):
            if given[limit] is not None and not least <= given[limit] < most:
                raise InvalidRequest(f"{limit} is a number from {least}, or absent for no limit", value=given[limit])
        if not 0 <= given["scrub_days"] <= _MAX_DAYS:
            raise InvalidRequest(
                f"scrub_days is a number from 1 to {_MAX_DAYS}, or 0 for never", value=given["scrub_days"]
            )
        check_layout(given["layout"])
        if given["prefix"]:
            check_pfn(given["prefix"])
        if given["strip"]:
            given["strip"] = lfn.parse(given["strip"])
        options = given["options"]
        try:
            registry.validate(given["type"], options)
            hidden = {o.name for o in options_of(registry.find(given["type"]).config) if o.secret}
        except PluginMissing as error:
            raise Unavailable(error.message) from error
        except InvalidOptions as error:
            raise InvalidRequest(error.message) from error
        secret = {k: v for k, v in options.items() if k in hidden}
        values = {f: given.get(f) for f in FIELDS}
        values["options"] = {k: v for k, v in options.items() if k not in hidden}
        values["secrets"] = self._secrets.seal(secret)
        for word in ("medium", "state"):
            values[word] = getattr(values[word], "value", values[word])
        return values

    def _info(self, caller: Caller, row: asyncpg.Record, usage: tuple[int, int]) -> ElementInfo:
        values = {f: row[f] for f in FIELDS if f != "secrets"}
        values.update(medium=Medium(row["medium"]), state=ElementState(row["state"]))
        info = ElementInfo(
            **values,
            replicas=usage[0],
            bytes=usage[1],
            placeholder=row["placeholder"],
            out_since=row["fault_at"],
            fault=row["fault"] and (row["fault"] if caller.principal.superuser else "it does not answer"),
            ctime=row["ctime"],
            mtime=row["mtime"],
        )
        if caller.principal.superuser:
            info.secrets = sorted(self._secrets.open(row["secrets"])) if row["secrets"] else []
        else:
            info.options = {}
        return info


def _as_dict(spec: ElementSpec) -> dict[str, Any]:
    return {f: getattr(spec, f) for f in spec.__struct_fields__}


def _element(row: asyncpg.Record) -> Element:
    return Element(**{f: row[f] for f in Element.__slots__})
