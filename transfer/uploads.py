"""Bytes on their way in. A row of `upload` is written before the first byte and goes in the transaction that makes the
replica visible; a row that outlives its lease names an object that nobody registered, and the cleaner takes both away.

So a put that is killed at any instant leaves no catalogue entry, and nothing on storage that stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from catalog.access.rights import W
from catalog.db import Database, Transaction, now
from catalog.elements.layout import derived, implied
from catalog.namespace.inheritance import Inheritance
from catalog.namespace.locate import Directory, Found
from catalog.namespace.service import Same, checksums
from catalog.namespace.values import lacks
from lading.model import checksum, lfn
from lading.model.api import NewUpload
from lading.model.errors import CatalogError, Conflict, Forbidden, InvalidRequest, NotFound, QuotaExceeded, Unavailable
from lading.model.file import FileSpec, Registered, ReplicaSpec
from lading.model.guid import canonical, new_guids
from lading.model.metadata import check_metadata
from lading.model.principal import Caller
from storage_plugins import errors
from storage_plugins.errors import ObjectNotFound, StorageError

from .store import TransferStore

if TYPE_CHECKING:
    from catalog.db import Connection
    from catalog.elements.service import Element, ElementsService
    from catalog.namespace.service import NamespaceService
    from catalog.replicas.changes import ReplicaChanges
    from catalog.replicas.register import Registrar

LEASE = 120  # seconds an upload lives without a sign of life
_BEAT = 30


@dataclass(slots=True)
class Ticket:
    """An upload under way. `known` is the file when the LFN exists already, `replaces` when its copy here is no
    good."""

    id: str
    lfn: str
    element: Element
    pfn: str
    guid: str
    stored: bool
    spec: NewUpload
    known: Found | None = None
    there: bool = False
    replaces: bool = False
    orphan: bool = False

    def known_sums(self) -> dict[str, str]:
        """The checksums that the catalogue knows of the file."""
        return checksums(self.known.row["adler32"], self.known.row["csum"]) if self.known else {}


class Uploads:
    def __init__(
        self,
        database: Database,
        names: NamespaceService,
        elements: ElementsService,
        registrar: Registrar,
        changes: ReplicaChanges,
    ) -> None:
        self._db = database
        self._names = names
        self._elements = elements
        self._registrar = registrar
        self._changes = changes
        self._store = TransferStore()
        self._inheritance = Inheritance()

    # ── begin ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self, caller: Caller, spec: NewUpload, *, lease: int = LEASE) -> Ticket:
        """Check everything that can be checked before bytes move, and write the upload's row.

        Raises Forbidden, NotFound (element), Conflict (the LFN has other content), QuotaExceeded, Unavailable (no
        element takes writes). `Ticket.there` means that this element has a good copy already: nothing was written.
        """

        spec.checksums = checked(spec.checksums)

        async def work(tx: Transaction) -> Ticket:
            await self._elements.ready(tx.connection)
            path, known = await self._target(tx, spec)
            if known is None:
                await self._describe(tx, spec, path)
            element = self._choose(spec)
            guid = known.row["guid"] if known else canonical(spec.guid) if spec.guid else new_guids(1)[0]
            pfn, stored = derived(element, guid, path)
            ticket = Ticket(str(uuid.uuid4()), path, element, pfn, guid, stored, spec, known)
            if known:
                await self._look(tx, ticket)
            if ticket.there:
                return ticket
            await self._room(tx.connection, ticket)
            if not ticket.replaces and await self._taken(tx, ticket):
                ticket.pfn = f"{pfn}.~{ticket.id[:8]}"
            if spec.guid and not known:  # now that no upload to the GUID's place can end unseen
                await self._registrar.refuse_taken(tx, guid, path)
            await self._registrar.cancel_deletions(tx, element.id, ticket.pfn)
            row = (
                ticket.id,
                path,
                element.id,
                ticket.pfn,
                guid,
                caller.principal.id,
                {"stored": stored, "replaces": ticket.replaces, "request": msgspec.to_builtins(spec)},
            )
            await self._store.add_upload(tx.connection, *row, tx.at, tx.at + lease * 1_000_000)
            return ticket

        plain = Caller(caller.principal, caller.origin, caller.request_id)  # the key is for the whole put
        return await self._db.change(plain, "upload", work)

    async def _target(self, tx: Transaction, spec: NewUpload) -> tuple[str, Found | None]:
        """(true LFN, the file if it is there). The caller may write it, or add it where it will be."""
        who, names = tx.caller.principal, self._names
        found = (await names.find(tx.connection, tx.caller, [spec.lfn]))[0]
        if isinstance(found, Found):
            row = found.row
            if row["kind"] != 0:
                raise Conflict(f"'{lfn.shown(found.path)}' is a directory", lfn=found.path)
            if (
                not names.rights.entry(who, found.path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"])
                & W
            ):
                raise Forbidden(f"you may not change '{lfn.shown(found.path)}'", lfn=found.path)
            self._same(spec, found)
            return found.path, found
        if not isinstance(found, NotFound):
            raise found
        path = names.locator.true_name(spec.lfn)
        parents = lfn.parents(path)
        above = await names.locator.directories(tx.connection, who, parents)  # through links, so that the place is true
        asked, nearest = next((p, d) for p in reversed(parents) if isinstance(d := above[p], Directory))
        path = nearest.path.rstrip("/") + (path[len(asked) :] if asked != "/" else path)
        if not names.maker.may_add(who, nearest, path):
            raise names.maker.denied(nearest, path)
        return path, None

    async def _describe(self, tx: Transaction, spec: NewUpload, path: str) -> None:
        """Raises InvalidRequest when the new file's metadata would be refused at the end."""
        values = self._names.values
        check_metadata(spec.metadata)
        if spec.metadata:
            await values.current(tx.connection)
        own = values.stored(path, spec.metadata)
        parents = lfn.parents(path)
        if required := values.required(parents[-1]):
            effective = await self._inheritance.effective(tx.connection, parents)
            inherited = next((effective[p] for p in reversed(parents) if p in effective), {})
            if missing := sorted(set(required) - own.keys() - inherited.keys()):
                raise lacks(path, missing)

    @staticmethod
    def _same(spec: NewUpload, found: Found) -> None:
        row = found.row
        if spec.guid and canonical(spec.guid) != row["guid"]:
            raise Conflict(f"'{lfn.shown(found.path)}' exists already, with GUID {row['guid']}", lfn=found.path)
        if spec.size >= 0 and row["size"] is not None and row["size"] != spec.size:
            raise Conflict(
                f"'{lfn.shown(found.path)}' exists already, with {row['size']} bytes, not {spec.size}", lfn=found.path
            )
        known = checksums(row["adler32"], row["csum"])
        for kind, value in spec.checksums.items():
            if known.get(kind, value) != value:
                raise Conflict(f"'{lfn.shown(found.path)}' exists already: its {kind} is {known[kind]}", lfn=found.path)

    def _choose(self, spec: NewUpload) -> Element:
        if spec.se:
            element = self._elements.named(spec.se)
            if not element.writable:
                raise Unavailable(element.why_not("write"), element=element.name)
            return element
        writable = [e for e in self._elements.every() if e.writable and not e.placeholder]
        if not writable:
            raise Unavailable("no storage element takes writes: add one with 'lading se add'")
        return min(writable, key=lambda e: (e.site != spec.site, e.medium == "tape", e.cost, e.id))

    async def _look(self, tx: Transaction, ticket: Ticket) -> None:
        """The file exists: is its copy on this element good, or to be replaced?"""
        assert ticket.known is not None
        replicas = (await self._changes.lock(tx, [ticket.known.row["id"]]))[ticket.known.row["id"]]
        if ticket.element.id in replicas.se:
            ticket.pfn = replicas.pfn(ticket.element)
            state = replicas.states[replicas.se.index(ticket.element.id)]
            ticket.there, ticket.replaces = state == 0, state != 0

    async def _room(self, connection: Connection, ticket: Ticket) -> None:
        element = ticket.element
        if element.max_bytes is None:
            return
        used = await self._elements.used_bytes(connection, element)
        if used + max(ticket.spec.size, 0) > element.max_bytes:
            raise QuotaExceeded(
                f"element '{element.name}' may hold {element.max_bytes} bytes and holds {used}", element=element.name
            )

    async def _taken(self, tx: Transaction, ticket: Ticket) -> bool:
        """Is the place somebody else's? Another upload's under way; or, where the layout follows the LFN, an object's:
        of a file that was renamed, or of nobody known."""
        if await self._store.uploading(tx.connection, ticket.element.id, ticket.pfn):
            return True
        if not ticket.stored:
            return False
        try:
            await (await self._elements.storage(ticket.element)).stat(ticket.pfn)
        except ObjectNotFound:
            return False
        except StorageError as error:
            raise storage_fault(error, ticket.element.name) from error
        return True

    # ── meanwhile ────────────────────────────────────────────────────────────────────────────────────────────────────

    @contextlib.asynccontextmanager
    async def alive(self, ticket: Ticket) -> AsyncIterator[None]:
        """Keep the lease while the block runs."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(_BEAT)
                with contextlib.suppress(CatalogError):
                    async with self._db.read() as connection:
                        await self._store.extend_upload(connection, ticket.id, now() + LEASE * 1_000_000)

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()

    # ── end ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def finish(self, caller: Caller, ticket: Ticket, size: int, sums: dict[str, str]) -> Registered:
        """The bytes are there and verified: register file and replica, forget the upload. One transaction.

        Raises Conflict when somebody else took the LFN with other content meanwhile, Unavailable when the lease was
        lost; the object is then taken away again.
        """
        spec = ticket.spec
        pfn = ticket.pfn if ticket.stored or ticket.pfn != implied(ticket.element, ticket.guid) else None

        async def work(tx: Transaction) -> Registered:
            if await self._store.lock_upload(tx.connection, ticket.id) is None:
                raise Unavailable(
                    "this upload took too long without a sign of life and was given up: put the file again"
                )
            await self._elements.ready(tx.connection)
            replica = ReplicaSpec(ticket.element.name, pfn)
            file = FileSpec(ticket.lfn, size, ticket.guid, sums, [replica], spec.mode, spec.metadata)
            result = await self._registrar.register_in(tx, file)
            if isinstance(result, Conflict) and not spec.guid and not ticket.known:
                # The same file may have been put by another meanwhile, under a GUID of its own.
                file.guid, replica.pfn = None, ticket.pfn
                result = await self._registrar.register_in(tx, file)
            if isinstance(result, CatalogError):
                raise result
            if ticket.replaces and ticket.known:
                await self._mend(tx, ticket)
            ticket.orphan = isinstance(result, Same) and not ticket.replaces
            if not ticket.orphan:
                await self._store.remove_upload(tx.connection, ticket.id)
            tx.audit([ticket.lfn], element=ticket.element.name, size=size)
            return result.value if isinstance(result, Same) else result

        try:
            result = await self._db.change(caller, "put", work)
        except CatalogError as error:
            if not error.retryable:
                await self.abandon(ticket)
            raise
        if ticket.orphan:  # the other put won, with the same bytes
            await self.abandon(ticket)
        return result

    async def _mend(self, tx: Transaction, ticket: Ticket) -> None:
        """The copy that was suspect or lost has good bytes now."""
        assert ticket.known is not None
        replicas = (await self._changes.lock(tx, [ticket.known.row["id"]]))[ticket.known.row["id"]]
        if ticket.element.id in replicas.se:
            replicas.states[replicas.se.index(ticket.element.id)] = 0
            replicas.changed = True
            await self._changes.write(tx, [replicas])

    async def abandon(self, ticket: Ticket) -> None:
        """Give up: let the lease end, so that the cleaner takes object and row. Tries to take them at once."""
        with contextlib.suppress(CatalogError, StorageError):
            async with self._db.read() as connection, connection.transaction():
                if await self._store.lock_upload(connection, ticket.id) is None:
                    return  # the cleaner was here: the place may be another's by now
                if not ticket.replaces:
                    with contextlib.suppress(ObjectNotFound):
                        await (await self._elements.storage(ticket.element)).remove(ticket.pfn)
                await self._store.remove_upload(connection, ticket.id)

    # ── uploads by clients that write to the element themselves ───────────────────────────────────────────────────────

    async def resume(self, caller: Caller, upload: str) -> Ticket:
        """The ticket of an upload begun before, of the same user. Raises NotFound."""
        try:
            wanted = str(uuid.UUID(upload))
        except ValueError:
            raise InvalidRequest("this is not an upload id") from None
        await self._elements.load()
        async with self._db.read() as connection:
            row = await self._store.lock_upload(connection, wanted)
            found = (await self._names.find(connection, caller, [row["lfn"]]))[0] if row else None
        element = self._elements.by_id(row["se_id"]) if row else None
        if row is None or element is None or row["user_id"] != caller.principal.id:
            raise NotFound("there is no such upload of yours: it may have expired; begin again", upload=wanted)
        known = found if isinstance(found, Found) and found.row["guid"] == row["guid"] else None
        return Ticket(
            row["id"],
            row["lfn"],
            element,
            row["pfn"],
            row["guid"],
            row["spec"].get("stored", False),
            msgspec.convert(row["spec"]["request"], NewUpload),
            known,
            replaces=row["spec"].get("replaces", False),
        )


def checked(sums: dict[str, str]) -> dict[str, str]:
    """Checksums in their canonical form. Raises InvalidRequest naming the kind."""
    try:
        return {checksum.kind(kind): checksum.normalise(kind, value) for kind, value in sums.items()}
    except ValueError as error:
        raise InvalidRequest(str(error)) from None


def storage_fault(error: StorageError, element: str) -> CatalogError:
    """A storage fault as the caller is told of it: the element's name, never its paths or credentials."""
    if isinstance(error, errors.NoSpace):
        return QuotaExceeded(f"element '{element}' has no space left: choose another", element=element)
    if isinstance(error, errors.ChecksumMismatch):
        return InvalidRequest(
            f"the bytes are not what was promised: expected {error.expected}, got {error.actual}",
            expected=error.expected,
            actual=error.actual,
        )
    if isinstance(error, errors.ObjectExists):
        return Conflict(f"element '{element}' has another object in that place", element=element)
    if isinstance(error, errors.InvalidPath):
        return InvalidRequest(f"element '{element}' can't hold a file of that name", element=element)
    if isinstance(error, ObjectNotFound):
        return NotFound(f"element '{element}' does not have the object", element=element)
    if isinstance(error, errors.Nearline):
        return Unavailable(
            f"element '{element}' has it on tape, and brings it to disk: try again later", element=element
        )
    found = Unavailable(f"element '{element}' failed: {error.code}", element=element)
    found.retryable = error.retryable
    return found
