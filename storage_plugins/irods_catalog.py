"""Questions to the catalogue of a zone, a page at a time: in GenQuery2 where the server has it (4.3.2), else GenQuery1.

A page goes on after a name, not at a number, so what comes and goes meanwhile moves nothing out of sight. Order is the
database's own: nobody else's.
"""

from __future__ import annotations

import re
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from irods.column import Like
from irods.models import Collection, DataObject
from msgspec import Struct

from .base import ObjectInfo
from .errors import Transient
from .irods_sums import read_checksum

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = 1000
_PAGE1 = 500  # of GenQuery1
_SURE = 256  # rows: an answer with fewer is all there is, whatever limit the server has of its own
_GENQUERY2 = (4, 3, 2)
_GOOD = "1"
_HEX_ESCAPE = re.compile(r"\\(?=x[0-9a-fA-F]{2})")
_COLUMNS = "DATA_NAME, DATA_REPL_NUM, DATA_REPL_STATUS, DATA_SIZE, DATA_CHECKSUM, DATA_MODIFY_TIME, DATA_ID"


class Replica(Struct, frozen=True):
    name: str
    number: int
    status: str
    size: int
    checksum: str
    modified: int  # seconds since the epoch
    id: int


class Found(Struct, frozen=True):
    """A data object: what its good replicas are like, or the newest of the others when `good` is false."""

    collection: str
    name: str
    good: bool
    size: int
    checksums: dict[str, str]
    modified: int
    id: int

    @property
    def path(self) -> str:
        return f"{self.collection}/{self.name}"

    @property
    def version(self) -> tuple[int, int, int]:
        return self.id, self.modified, self.size

    def info(self) -> ObjectInfo:
        return ObjectInfo(self.size, self.modified * 1_000_000, self.checksums)


def objects(
    irods: Any, collection: str, *, name: str | None = None, like: str | None = None, after: str | None = None
) -> tuple[list[Found], bool]:
    """Those of a collection, in the database's order of names, and whether there may be more.

    `like`: a pattern in which only % means something; with `name`, either will do. `after`: the name the page before
    ended with.
    """
    if irods.server_version >= _GENQUERY2:
        where = [f"COLL_NAME = {_text(collection)}"]
        names = [f"DATA_NAME = {_text(name)}"] if name is not None else []
        names += [f"DATA_NAME like {_text(like)}"] if like is not None else []
        where += [f"({' or '.join(names)})"] if names else []
        where += [f"DATA_NAME > {_text(after)}"] if after is not None else []
        rows = _ask(
            irods,
            collection,
            f"select {_COLUMNS} where {' and '.join(where)} order by DATA_NAME, DATA_REPL_NUM limit {PAGE}",
        )
        replicas = [
            Replica(name, int(number), str(status), int(size or 0), checksum or "", int(modified or 0), int(id))
            for name, number, status, size, checksum, modified, id in rows
        ]
    elif name is not None and like is not None:
        replicas = [
            *_objects_of_old(irods, collection, name, None, None),
            *_objects_of_old(irods, collection, None, like, None),
        ]
    else:
        replicas = _objects_of_old(irods, collection, name, like, after)
    more = len(replicas) >= _SURE
    if more:  # the last one's replicas may go on behind the page
        last = replicas[-1].name
        whole = [replica for replica in replicas if replica.name != last]
        if not whole:
            raise Transient(f"a data object has {len(replicas)} replicas or more")
        replicas = whole
    return list(_folded(collection, replicas)), more


def collections(irods: Any, parent: str, after: str | None) -> tuple[list[str], bool]:
    """The paths of those directly below, and whether there may be more."""
    if irods.server_version >= _GENQUERY2:
        where = f"COLL_PARENT_NAME = {_text(parent)}" + (f" and COLL_NAME > {_text(after)}" if after else "")
        paths = [
            path for (path,) in _ask(irods, parent, f"select COLL_NAME where {where} order by COLL_NAME limit {PAGE}")
        ]
    else:
        query = irods.query(Collection.name).filter(Collection.parent_name == parent)
        if after:
            query = query.filter(Collection.name > after)
        paths = [row[Collection.name] for row in query.order_by(Collection.name).limit(_PAGE1).all()]
    return paths, len(paths) >= _SURE


def is_collection(irods: Any, path: str) -> bool:
    """Whether there is one that our user may see."""
    if irods.server_version >= _GENQUERY2:
        return bool(_ask(irods, path, f"select COLL_ID where COLL_NAME = {_text(path)}"))
    return bool(len(irods.query(Collection.id).filter(Collection.name == path).all()))


def _ask(irods: Any, path: str, query: str) -> list[list[str]]:
    answer: list[list[str]] = irods.genquery2(query, zone=path.split("/")[1])
    return answer


def _text(value: str) -> str:
    """A literal of GenQuery2. A backslash is one, but before `xHH`, which means a byte in the newer servers."""
    return "'" + _HEX_ESCAPE.sub(r"\\x5c", value).replace("'", "''") + "'"


def _objects_of_old(
    irods: Any, collection: str, name: str | None, like: str | None, after: str | None
) -> list[Replica]:
    columns = (
        DataObject.name, DataObject.replica_number, DataObject.replica_status, DataObject.size, DataObject.checksum,
        DataObject.modify_time, DataObject.id,
    )  # fmt: skip
    query = irods.query(*columns).filter(Collection.name == collection)
    if name is not None:
        query = query.filter(DataObject.name == name)
    if like is not None:
        query = query.filter(Like(DataObject.name, like))
    if after is not None:
        query = query.filter(DataObject.name > after)
    # A column that is ordered by goes to the end of the list, and the list is the order of the orders.
    rows = query.order_by(DataObject.name).order_by(DataObject.replica_number).limit(_PAGE1).all()
    return [
        Replica(
            row[DataObject.name],
            row[DataObject.replica_number],
            row[DataObject.replica_status],
            row[DataObject.size],
            row[DataObject.checksum] or "",
            int(row[DataObject.modify_time].timestamp()),
            row[DataObject.id],
        )
        for row in rows
    ]


def _folded(collection: str, replicas: Iterable[Replica]) -> Iterable[Found]:
    for name, group in groupby(replicas, attrgetter("name")):
        every = list(group)
        # of the good ones, which are all the same, the one that tells most: stale ones have other sizes and checksums
        good = max((r for r in every if r.status == _GOOD), key=lambda r: bool(r.checksum), default=None)
        best = good or max(every, key=lambda r: (r.modified, r.number))
        checksums = read_checksum(best.checksum) if good else {}
        yield Found(collection, name, good is not None, best.size, checksums, best.modified, best.id)
