"""Replicas: copies of a file on storage elements, and the order in which to read them."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from .file import Checksums


class ReplicaState(StrEnum):
    """`available` bytes were verified · `copying` not yet · `suspect` a reader found wrong bytes or none · `lost` gone
    · `deleting` going."""

    AVAILABLE = "available"
    COPYING = "copying"
    SUSPECT = "suspect"
    LOST = "lost"
    DELETING = "deleting"


STATES = list(ReplicaState)  # the number stored in the database is the position here: append only


class Source(Struct, omit_defaults=True):
    """One place to read a file from. `url` is in the element's own protocol; absent when only the server can reach
    it."""

    se: str
    pfn: str
    state: ReplicaState = ReplicaState.AVAILABLE
    url: str | None = None
    site: str | None = None


class Resolved(Struct, omit_defaults=True):
    """A file and its sources, best first. When none can be read `why` says so: no replica, element down, all
    suspect."""

    sources: list[Source]
    size: int | None = None
    guid: str | None = None
    checksums: Checksums = {}
    why: str | None = None


class ReplicaRef(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One replica, named by its file and its element."""

    lfn: str
    se: str
    pfn: str | None = None
    state: ReplicaState = ReplicaState.AVAILABLE
    note: str | None = None


class Copy(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """An order for one more copy of `lfn` on element `to`, from `source` or, without one, from the best replica."""

    lfn: str
    to: str
    source: str | None = None
