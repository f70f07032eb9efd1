"""The bodies of REST calls (`doors/rest` decodes them, `lading.client` sends them): the wire is defined here, once.

Every bulk body holds at most `MAX_ITEMS` items; more is `too_large`, and changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from .file import Checksums, FileSpec, FileStatus, Metadata, Mode, Size
from .replica import Copy, ReplicaRef

MAX_ITEMS = 10_000
MAX_COPIES = 100  # a copy moves bytes while the caller waits

_DryRun = Annotated[bool, Meta(description="do everything, then undo it: the outcomes are what would have been")]
_Limit = Annotated[int, Meta(ge=1, le=10_000)]


class _Body(Struct, omit_defaults=True, forbid_unknown_fields=True):
    pass


class Names(_Body):
    """LFNs to look up. `follow` looks through a link at the end of a path; links on the way are always followed."""

    lfns: list[str]
    follow: bool = True


class Register(_Body):
    """POST /v1/files/register -> Outcomes[Registered]. `parents` makes missing directories."""

    files: list[FileSpec]
    parents: bool = True
    dry_run: _DryRun = False


class MakeDirectories(_Body):
    """POST /v1/directories/make -> Outcomes[None]. With `parents` an existing directory is a success, unchanged."""

    lfns: list[str]
    parents: bool = True
    mode: Mode | None = None
    dry_run: _DryRun = False


class Move(Struct, forbid_unknown_fields=True):
    source: str
    target: str


class Moves(_Body):
    """POST /v1/move -> Outcomes[None]. A target that is a directory takes the source in, as `mv` does."""

    moves: list[Move]
    dry_run: _DryRun = False


class Remove(_Body):
    """POST /v1/remove -> Outcomes[TrashItem]. `keep` is how many seconds the trash holds it (the server's default: 7
    days).

    What belongs to a snapshot of a data set is a conflict; `force_snapshots` removes it all the same, and the snapshot
    says so."""

    lfns: list[str]
    recursive: bool = False
    keep: Annotated[int, Meta(ge=0)] | None = None
    dry_run: _DryRun = False
    force_snapshots: bool = False


class TrashIds(_Body):
    """POST /v1/trash/restore -> Outcomes[str], the LFN it is at again; POST /v1/trash/purge -> Outcomes[None]."""

    ids: list[int]
    to: str | None = None
    dry_run: _DryRun = False


class Link(Struct, forbid_unknown_fields=True):
    lfn: str
    target: str


class Links(_Body):
    """POST /v1/links/make -> Outcomes[None]. The target need not exist; a relative one counts from the link's
    directory."""

    links: list[Link]
    parents: bool = True
    dry_run: _DryRun = False


class SetAttributes(_Body):
    """POST /v1/attributes -> Outcomes[None]: chmod, chown, setfacl, comments. What is absent stays.

    `acl` replaces the whole list; `acl_set` adds or changes entries and `acl_unset` takes entries away (given without
    the rights: `user:alice:`). `comment` and an empty string removes it. `recursive` goes down directories.
    """

    lfns: list[str]
    mode: Mode | None = None
    owner: str | None = None
    group: str | None = None
    acl: list[str] | None = None
    acl_set: list[str] = []
    acl_unset: list[str] = []
    comment: Annotated[str, Meta(max_length=4096)] | None = None
    status: FileStatus | None = None
    recursive: bool = False
    dry_run: _DryRun = False


class Direction(StrEnum):
    ANCESTORS = "ancestors"
    DESCENDANTS = "descendants"


class Relatives(_Body):
    """POST /v1/relatives -> Outcomes[list[Relative]], nearest first. `depth` 0 is all the way."""

    lfns: list[str]
    direction: Direction = Direction.ANCESTORS
    depth: Annotated[int, Meta(ge=0, le=1000)] = 1


class Ancestry(Struct, forbid_unknown_fields=True):
    lfn: str
    ancestors: list[str]


class AddAncestors(_Body):
    """POST /v1/ancestors -> Outcomes[None]. A cycle is a conflict."""

    files: list[Ancestry]
    dry_run: _DryRun = False


class Resolve(_Body):
    """POST /v1/replicas/resolve -> Outcomes[Resolved]. `site` is where the reader is; `elements` narrows the choice."""

    lfns: list[str]
    site: str | None = None
    elements: list[str] = []


class Replicas(_Body):
    """POST /v1/replicas/register, /state, /drop -> Outcomes[None].

    `keep_bytes` (drop) forgets the replica and leaves the object on its element. `force` (drop) takes even the last
    copy.
    """

    replicas: list[ReplicaRef]
    keep_bytes: bool = False
    force: bool = False
    dry_run: _DryRun = False


class Copies(_Body):
    """POST /v1/replicas/copy -> Outcomes[Source]: the copies are made and verified before the answer."""

    copies: list[Copy]


class NewUpload(_Body):
    """POST /v1/uploads -> Upload: a put by a client that writes to the element itself."""

    lfn: str
    size: Size
    checksums: Checksums = {}
    se: str | None = None
    guid: str | None = None
    mode: Mode | None = None
    metadata: Metadata = {}
    site: str | None = None


class Upload(Struct, omit_defaults=True):
    """Write the bytes to `url`, then POST /v1/uploads/{id}/complete before `expires`. Without `url`: PUT /v1/data
    instead."""

    id: str
    se: str
    expires: int
    url: str | None = None


class Complete(_Body):
    """POST /v1/uploads/{id}/complete -> Registered. The element's bytes are verified against these before the file
    shows."""

    checksums: Checksums = {}


class Alias(Struct, forbid_unknown_fields=True):
    """Every LFN at or below `prefix` means the same below `target`, for ever: old job scripts keep working."""

    prefix: str
    target: str


class Info(Struct, omit_defaults=True):
    """GET /v1/info (open)."""

    name: str
    version: str
    schema: int
    time: int
    max_items: int = MAX_ITEMS
