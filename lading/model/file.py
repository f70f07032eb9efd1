"""Files, directories and links, as the catalogue tells of them. Times are integer microseconds since the epoch
(UTC)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Mode = Annotated[int, Meta(ge=0, le=0o7777, description="POSIX permission bits")]
Checksums = dict[str, str]
Metadata = dict[str, Any]


class Kind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


class FileStatus(StrEnum):
    OK = "ok"
    PROBING = "probing"
    LOST = "lost"
    MIGRATED = "migrated"


class ReplicaSpec(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A copy to register: on element `se`, at `pfn` or, without one, where the element's layout puts it."""

    se: str
    pfn: str | None = None
    state: str = "available"


class FileSpec(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A file to register. Content never changes: the same LFN with another size, checksum or GUID is a conflict."""

    lfn: str
    size: Size
    guid: str | None = None
    checksums: Checksums = {}
    replicas: list[ReplicaSpec] = []
    mode: Mode | None = None
    metadata: Metadata = {}
    ctime: int | None = None
    mtime: int | None = None
    comment: str | None = None
    ancestors: list[str] = []


class Registered(Struct, omit_defaults=True):
    guid: str


class Entry(Struct, omit_defaults=True):
    """What `stat` and `ls` show. `size` is absent when unknown (a legacy row) and on directories and links."""

    lfn: str
    kind: Kind = Kind.FILE
    size: int | None = None
    guid: str | None = None
    checksums: Checksums = {}
    owner: str = ""
    group: str = ""
    mode: int = 0
    ctime: int = 0
    mtime: int = 0
    status: FileStatus = FileStatus.OK
    replicas: int = 0
    target: str | None = None
    comment: str | None = None
    acl: list[str] = []
    metadata: Metadata = {}


class Usage(Struct, omit_defaults=True):
    """Exact at the moment of the call, the whole subtree included. `elements` has an entry per storage element."""

    lfn: str
    files: int = 0
    bytes: int = 0
    directories: int = 0
    elements: dict[str, ElementUsage] = {}


class ElementUsage(Struct, omit_defaults=True):
    replicas: int = 0
    bytes: int = 0


class Relative(Struct, omit_defaults=True):
    """A file's ancestor or descendant, `depth` steps away."""

    lfn: str
    guid: str
    depth: int


class TrashItem(Struct, omit_defaults=True):
    """Something removed, restorable until `expires`. `id` names it for ever; `lfn` is where it was."""

    id: int
    lfn: str
    kind: Kind
    removed_by: str
    removed_at: int
    expires: int
    files: int = 0
    bytes: int = 0
