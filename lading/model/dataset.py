"""Data sets and their snapshots on the wire."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from .file import Checksums, Metadata, Mode

_DryRun = Annotated[bool, Meta(description="do everything, then undo it")]
_Text = Annotated[str, Meta(max_length=4096)]
_Name = Annotated[str, Meta(description="of a data set, as in `/vo/sets/trial`; with `@3` its third snapshot")]


class _Body(Struct, omit_defaults=True, forbid_unknown_fields=True):
    pass


class Combine(StrEnum):
    UNION = "union"
    INTERSECTION = "intersection"
    DIFFERENCE = "difference"


class Combination(_Body):
    """Files of all, of each, or of the first and of none of the others: data sets and snapshots (`NAME@3`)."""

    how: Combine
    of: Annotated[list[str], Meta(min_length=2, max_length=100)]


class NewDataset(_Body):
    """POST /v1/datasets -> Dataset. One of `query` (with `under`), `lfns` (a list, perhaps empty) and `combine`.

    A query and a combination are asked anew each time, with the rights of who asks; a snapshot keeps an answer.
    """

    name: str
    query: str | None = None
    under: str = "/"
    lfns: list[str] | None = None
    combine: Combination | None = None
    description: _Text = ""
    metadata: Metadata = {}
    mode: Mode = 0o644
    group: str | None = None
    dry_run: _DryRun = False


class DatasetChange(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """PATCH /v1/dataset -> Dataset. What is absent stays. `metadata` is merged; null takes a value away."""

    name: str
    query: str | UnsetType = UNSET
    under: str | UnsetType = UNSET
    combine: Combination | UnsetType = UNSET
    description: _Text | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    owner: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET
    dry_run: _DryRun = False


class Members(_Body):
    """POST /v1/dataset/add, /v1/dataset/remove-files -> Outcomes[None], of a data set that is a list."""

    name: str
    lfns: list[str]
    dry_run: _DryRun = False


class Dataset(Struct, omit_defaults=True):
    """`query` is absent of a list. `snapshots` counts those there are, `last` is the number of the latest."""

    name: str
    owner: str
    group: str
    mode: int
    query: str | None = None
    under: str = "/"
    description: str = ""
    metadata: Metadata = {}
    snapshots: int = 0
    last: int = 0
    ctime: int = 0
    mtime: int = 0


class OnElement(Struct):
    """Files, of those of the set, that have an available replica on the element."""

    element: str
    files: int
    bytes: int


class Since(Struct):
    """What changed since the snapshot `number`: files that came and went, and the bytes of each."""

    number: int
    added: int
    removed: int
    added_bytes: int
    removed_bytes: int


class DatasetState(Struct, omit_defaults=True):
    """GET /v1/dataset. All numbers are of the files that the asker may read. `nowhere` of them have no available
    replica."""

    dataset: Dataset
    files: int
    bytes: int
    nowhere: int = 0
    elements: list[OnElement] = []
    since: Since | None = None


class Freeze(_Body):
    """POST /v1/dataset/freeze -> Snapshot."""

    name: str
    note: _Text = ""
    annotations: Metadata = {}


class SnapshotChange(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """PATCH /v1/snapshot -> Snapshot. `release` lets its files be removed, for good. `annotations` are merged; null
    takes one away. The list itself never changes."""

    name: _Name
    note: _Text | UnsetType = UNSET
    annotations: Metadata | UnsetType = UNSET
    release: bool = False
    dry_run: _DryRun = False


class Snapshot(Struct, omit_defaults=True):
    """An immutable list. `files`, `bytes` and `hash` are of the whole of it; `broken` of its files were removed by
    force.

    `hash` is the SHA-256 of a line for each file, in byte order of the LFNs: LFN, GUID, size and checksums (`kind:hex`,
    sorted, with commas between), with tabs between and a newline after each.
    """

    name: str
    dataset: str
    number: int
    hash: str
    files: int
    bytes: int
    by: str
    at: int
    query: str | None = None
    under: str = "/"
    note: str = ""
    annotations: Metadata = {}
    released: int | None = None
    broken: int = 0


class Broken(Struct):
    """A file that was removed by force, where it was then, by whom and when."""

    lfn: str
    by: str
    at: int


class SnapshotState(Struct, omit_defaults=True):
    """GET /v1/snapshot. `files`, `bytes` and what follows are of what the asker may read; `hidden` files are not."""

    snapshot: Snapshot
    files: int
    bytes: int
    hidden: int = 0
    nowhere: int = 0
    elements: list[OnElement] = []
    broken: list[Broken] = []


class Member(Struct, omit_defaults=True):
    """A line of GET /v1/dataset/files. The last line is a `Tail`."""

    lfn: str
    guid: str | None = None
    size: int | None = None
    checksums: Checksums = {}


class Tail(Struct):
    """Ends a stream: how many lines came before, and how many files the asker may not read."""

    files: int
    hidden: int = 0


class Difference(Struct, omit_defaults=True):
    """A line of GET /v1/snapshot/diff: `change` is `added`, `removed` or `changed`, by LFN. `new` and `old` are the
    file then."""

    change: str
    lfn: str
    new: Member | None = None
    old: Member | None = None


class Finding(Struct, omit_defaults=True):
    """A line of GET /v1/snapshot/check: `problem` is `missing`, `moved` (it is at `now`) or `changed` (of what,
    `fields`)."""

    lfn: str
    problem: str
    now: str | None = None
    fields: list[str] = []


def line(member: Member) -> str:
    """What a file adds to the hash of a snapshot."""
    sums = ",".join(sorted(f"{kind}:{value}" for kind, value in member.checksums.items()))
    return f"{member.lfn}\t{member.guid or ''}\t{'' if member.size is None else member.size}\t{sums}\n"


def split_name(text: str) -> tuple[str, int | None]:
    """(`/vo/set`, 3) of `/vo/set@3`; None where there is no number."""
    name, at, number = text.rpartition("@")
    if at and number.isascii() and number.isdigit() and len(number) < 10:
        return name, int(number)
    return text, None


def merged(old: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`old` with the changes merged; null takes away."""
    return {k: v for k, v in (old | change).items() if v is not None}
