"""Names, and what is done to them, in one collection of a zone. Everything here blocks.

An object that is being replaced is in the staging collection, under a name that is made of its PFN (`irods_show.py`),
and from there it is read: whoever finds nothing at a PFN looks there. That is its life when a writer dies meanwhile;
`clean` brings it back then.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from irods.exception import SYS_INVALID_INPUT_PARAM
from irods.keywords import DEST_RESC_NAME_KW, REG_CHKSUM_KW
from irods.meta import iRODSMeta
from irods.models import DataObject

from . import irods_calls as calls
from . import irods_catalog as catalog
from .errors import Denied, InvalidPath, ObjectExists, ObjectNotFound, Transient, Unavailable
from .irods_errors import Busy
from .paths import components, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .irods import IrodsOptions
    from .irods_catalog import Found
    from .irods_session import Session

STAGING = ".lading-staging"
MARK = "lading.replaced"  # the attribute that tells the PFN of an object that is being replaced
MAX_PATH = 1000  # bytes; iRODS has 1,088, and puts the same path behind that of a vault
_MANY = 10_000
_PATIENCE = (0.25, 0.25, 0.5, 1, 2)  # seconds, in which a server notices that a writer is dead


class Tree:
    def __init__(self, options: IrodsOptions) -> None:
        self.root = options.root.rstrip("/")
        self.staging = f"{self.root}/{STAGING}"
        self.hashed = options.server_checksums
        self.target = {DEST_RESC_NAME_KW: options.resource} if options.resource else {}
        self._long = options.long_timeout
        self._made: set[str] = set()  # collections that were there

    def path(self, pfn: str) -> str:
        """Raises InvalidPath, also for control characters: with one of them in a name, most clients can list its
        collection no more."""
        if components(pfn)[0] == STAGING.encode():
            raise InvalidPath(f"'{shown(pfn)}' belongs to the element itself", pfn=pfn)
        path = f"{self.root}/{pfn}"
        try:
            length = len(path.encode())
        except UnicodeEncodeError:
            raise InvalidPath(f"'{shown(pfn)}' is not UTF-8, as names in iRODS are", pfn=pfn) from None
        if any(c < " " or c in "\x7f\ufffe\uffff" for c in pfn):
            raise InvalidPath(f"'{shown(pfn)}' holds a control character", pfn=pfn)
        if length > MAX_PATH:
            raise InvalidPath(f"'{shown(pfn)}' makes a path of {length} bytes, at most {MAX_PATH} are kept", pfn=pfn)
        return path

    def staged(self, pfn: str) -> str:
        """A new name for an upload."""
        return f"{self.staging}/new-{_now()}-{secrets.token_hex(8)}"

    # looking

    def find(self, session: Session, pfn: str) -> Found:
        """What a reader of `pfn` gets. Raises ObjectNotFound, Unavailable when the whole root is out of sight."""
        self.path(pfn)
        # Twice: a writer may have shown the new object after the one look, and thrown the old away before the other.
        found = self.at(session, pfn) or next(self.replaced(session, pfn), None) or self.at(session, pfn)
        if found is None:
            self.check_root(session)
            raise ObjectNotFound(f"no such object: '{shown(pfn)}'", pfn=pfn)
        if not found.good:
            raise Busy(f"'{shown(pfn)}' has no good replica: it is being written, or damaged", pfn=pfn)
        return found

    def check_free(self, session: Session, pfn: str) -> None:
        if self.at(session, pfn):
            raise ObjectExists(f"'{shown(pfn)}' is there already", pfn=pfn)

    def check_root(self, session: Session) -> None:
        if not session.call(lambda irods: catalog.is_collection(irods, self.root), again=True):
            raise Unavailable(f"there is no collection {shown(self.root)} that our user may see")

    def objects(self, session: Session, collection: str, after: str | None) -> tuple[list[Found], bool]:
        return session.call(lambda irods: catalog.objects(irods, collection, after=after), again=True)

    def folders(self, session: Session, collection: str, after: str | None) -> tuple[list[str], bool]:
        return session.call(lambda irods: catalog.collections(irods, collection, after), again=True)

    def in_staging(self, session: Session, like: str) -> Iterator[Found]:
        after: str | None = None
        more = True
        while more:
            page, more = session.call(
                lambda irods: catalog.objects(irods, self.staging, like=like, after=after),  # noqa: B023  (called here)
                again=True,
            )
            yield from page
            after = page[-1].name if page else None

    def replaced(self, session: Session, pfn: str) -> Iterator[Found]:
        """What was at `pfn` and is in the staging collection, the newest first."""
        olds = [found for found in self.in_staging(session, f"old-{_hash(pfn)}-%") if found.good]
        return iter(sorted(olds, key=lambda found: found.name, reverse=True))

    def uploaded(self, session: Session, path: str, pfn: str) -> tuple[Found, list[Found]]:
        """An upload that is complete, and what `replaced` tells of the PFN it is for, in one question."""
        name = path.rpartition("/")[2]
        page, _ = session.call(
            lambda irods: catalog.objects(irods, self.staging, name=name, like=f"old-{_hash(pfn)}-%"), pfn, again=True
        )
        made = [found for found in page if found.name == name]
        if not made or not made[0].good:
            raise Transient("the server lost what was sent", pfn=pfn)
        return made[0], [found for found in page if found.name != name]

    def lost(self, session: Session) -> dict[str, Found]:
        """{PFN: object} of all that is being replaced, or was by a writer that died."""
        lost: dict[str, Found] = {}
        for found in self.in_staging(session, "old-%"):
            pfn = self.marks(session, found.path).get(MARK)
            if pfn and found.good:
                lost[pfn] = found
        return lost

    def at(self, session: Session, pfn: str) -> Found | None:
        collection, _, name = self.path(pfn).rpartition("/")
        page, _ = session.call(lambda irods: catalog.objects(irods, collection, name=name), pfn, again=True)
        return page[0] if page else None

    # changing

    def is_made(self, collection: str) -> bool:
        """Whether it was there, as far as we know."""
        return collection in self._made

    def make(self, session: Session, collection: str) -> None:
        """Make a collection and those above it. One that is there is no error."""

        def create(irods: Any) -> None:
            try:
                calls.make(irods, collection)
            except SYS_INVALID_INPUT_PARAM:  # what iRODS says for it
                session.close()
                raise Denied(f"we may not make the collection {shown(collection)}") from None

        try:
            session.call(create, again=True)
        except ObjectExists:  # somebody else has just made a part of it, or it is no collection
            if not session.call(lambda irods: catalog.is_collection(irods, collection), again=True):
                raise InvalidPath(f"there is an object where {shown(collection)} would be") from None
        if len(self._made) > _MANY:
            self._made.clear()
        self._made.add(collection)

    def rename(self, session: Session, source: str, target: str, pfn: str) -> None:
        """Paths. One step. Raises ObjectExists; ObjectNotFound when either the source or the target's collection is
        missing."""
        session.call(lambda irods: calls.rename(irods, source, target), pfn)

    def copy(self, session: Session, source: str, target: str, pfn: str) -> None:
        """Paths. The server does it alone, however long it takes."""
        options = {**self.target, **({REG_CHKSUM_KW: ""} if self.hashed else {})}
        session.call(lambda irods: calls.copy(irods, source, target, options), pfn, seconds=self._long)

    def unlink(self, session: Session, path: str, pfn: str | None = None) -> None:
        """Past the trash."""
        session.call(lambda irods: irods.data_objects.unlink(path, force=True), pfn)

    def unlink_soon(self, session: Session, path: str) -> bool:
        """False when somebody writes to it. A server takes a while to notice that he is dead."""
        for pause in (*_PATIENCE, None):
            try:
                self.unlink(session, path)
            except ObjectNotFound:
                return True
            except Busy:
                if pause is None:
                    return False
                time.sleep(pause)
            else:
                return True
        return False

    def remove(self, session: Session, pfn: str) -> None:
        found = self.find(session, pfn)
        self.throw_away(session, [old.path for old in self.replaced(session, pfn) if old.path != found.path])
        self.unlink(session, found.path, pfn)

    def throw_away(self, session: Session, olds: list[str]) -> None:
        for old in olds:
            with suppress(ObjectNotFound):
                self.unlink(session, old)

    def marks(self, session: Session, path: str) -> dict[str, str]:
        """The attributes of an object: of one that has several values, any."""
        avus = session.call(lambda irods: irods.metadata.get(DataObject, path), again=True)
        return {avu.name: avu.value for avu in avus}

    def mark(self, session: Session, path: str, pfn: str) -> None:
        session.call(lambda irods: irods.metadata.set(DataObject, path, iRODSMeta(MARK, pfn)), again=True)

    def clean(self, session: Session, older_than_us: int) -> int:
        """Take away what writers that died left. What somebody replaced and never got to show is brought back."""
        limit = _now() - older_than_us
        cleaned = 0
        for found in list(self.in_staging(session, "%")):
            if (begun(found.name) or found.modified * 1_000_000) > limit:
                continue
            pfn = self.marks(session, found.path).get(MARK) if found.name.startswith("old-") else None
            if pfn and not self.at(session, pfn):
                with suppress(ObjectExists, ObjectNotFound):
                    self.make(session, self.path(pfn).rpartition("/")[0])
                    self.rename(session, found.path, self.path(pfn), pfn)
                    cleaned += 1
            elif self.unlink_soon(session, found.path):
                cleaned += 1
        return cleaned


def begun(name: str) -> int | None:
    """When the write of a name in the staging collection began; None when the name does not tell."""
    parts = name.split("-")
    number = {"new": 1, "old": 2}.get(parts[0])
    if number is None or len(parts) != number + 2 or not parts[number].isdigit():
        return None
    return int(parts[number])


def _now() -> int:
    return time.time_ns() // 1000


def set_aside(pfn: str) -> str:
    """A new name for what is, or is to be, at `pfn`, in the staging collection."""
    return f"old-{_hash(pfn)}-{_now()}-{secrets.token_hex(4)}"


def _hash(pfn: str) -> str:
    return hashlib.sha256(pfn.encode()).hexdigest()[:32]
