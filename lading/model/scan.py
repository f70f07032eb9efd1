"""An element held against the catalogue, and what is on it taken in: orders, and the lines of answers (NDJSON)."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

DAY = 86_400
# Texts of 1,000 characters, for three of them to fit into the address of a request.
_Seconds = Annotated[int, Meta(ge=0, le=3650 * DAY)]
_Under = Annotated[str, Meta(max_length=1000, description="only PFNs that begin with this; else the element's prefix")]


class Scan(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """POST /v1/elements/{name}/scan. What is younger than `grace` seconds, in the catalogue or on storage, is not told.

    `lost`, `mismatch`, `dark` say what is done about what is found: nothing, unless spelt out. Before anything is done
    each object is looked at again; and where more than a tenth is wrong, nothing is done unless `however_many` says
    that it may be. `dry_run` tells what would be done.
    """

    under: _Under | None = None
    grace: _Seconds = DAY
    lost: Literal["mark-lost", "suspect"] | None = None
    mismatch: Literal["suspect"] | None = None
    dark: Literal["delete"] | None = None
    however_many: bool = False
    dry_run: bool = False


class DumpScan(Scan):
    """The query of POST /v1/elements/{name}/scan/dump, whose body is a list of the storage's objects: SynCat-style XML,
    or lines `PFN size [adler32]`; either may be gzipped.

    `recorded` is when it was made (microseconds since the epoch; the XML may say so itself). `strip` is taken off the
    front of its names, those without it being left out, and `prepend` is put there.
    """

    recorded: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    strip: Annotated[str, Meta(max_length=1000)] = ""
    prepend: Annotated[str, Meta(max_length=1000)] = ""


class Adopt(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """POST /v1/elements/{name}/adopt: register what lies on an element; object `UNDER/a/b` becomes the file `TO/a/b`.

    What is younger than `grace` seconds waits, as its writer may not be done. `checksums`: those that the storage
    `told` without reading; or have it read the bytes where it can (`computed`); or `none`, which saves a look at each.
    """

    to: str
    under: _Under | None = None
    grace: _Seconds = 3600
    checksums: Literal["told", "computed", "none"] = "told"
    dry_run: bool = False


class Finding(Struct, omit_defaults=True):
    """`size`, `checksum` are the storage's, `expected`, `expected_checksum` the catalogue's, `state` the replica's.

    A PFN that is not UTF-8 is shown with escapes, and `raw` has its bytes percent-encoded. `note`: what to know of it.
    """

    pfn: str
    lfn: str | None = None
    guid: str | None = None
    size: int | None = None
    expected: int | None = None
    checksum: str | None = None
    expected_checksum: str | None = None
    mtime: int | None = None
    state: str | None = None
    raw: str | None = None
    note: str | None = None


class Lost(Finding, tag_field="kind", tag="lost"):
    """The catalogue has a replica there, and the storage has no object."""


class Dark(Finding, tag_field="kind", tag="dark"):
    """The storage has an object that the catalogue knows nothing of."""


class Mismatch(Finding, tag_field="kind", tag="mismatch"):
    """Both have it, with another size or checksum."""


class Fixed(Struct, omit_defaults=True, tag_field="kind", tag="fixed"):
    """What was done about a finding (with `dry_run`: what would be): mark-lost, suspect, delete."""

    pfn: str
    did: str
    lfn: str | None = None


class Kept(Struct, omit_defaults=True, tag_field="kind", tag="kept"):
    """A finding about which nothing was done after all, and why."""

    pfn: str
    why: str
    lfn: str | None = None


class Adopted(Struct, omit_defaults=True, tag_field="kind", tag="adopted"):
    """An object that was registered (with `dry_run`: would be)."""

    pfn: str
    lfn: str
    size: int


class Skipped(Struct, omit_defaults=True, tag_field="kind", tag="skipped"):
    """An object that was not adopted: its name is no LFN, its LFN is another file's, ... `code` is the error's."""

    pfn: str
    code: str
    why: str
    lfn: str | None = None
    raw: str | None = None


class Progress(Struct, omit_defaults=True, tag_field="kind", tag="progress"):
    """A sign of life, once a second. `total` where it can be told (of the storage: what the catalogue knows)."""

    phase: str
    done: int
    total: int | None = None


class ScanSummary(Struct, tag_field="kind", tag="summary"):
    """The last line: without it the scan did not come to its end.

    `young`: lost, dark or different, and left out as younger than the grace. `in_flight`: uploads, and what changed
    while the scan looked. `going`: objects whose deletion is under way. `known_lost`: absent, and marked lost before.
    `returned`: marked lost, and there. `fixed` and `kept` count what was done about findings.
    """

    element: str
    objects: int = 0
    replicas: int = 0
    bytes: int = 0
    same: int = 0
    lost: int = 0
    dark: int = 0
    mismatch: int = 0
    lost_bytes: int = 0
    dark_bytes: int = 0
    young: int = 0
    in_flight: int = 0
    going: int = 0
    known_lost: int = 0
    returned: int = 0
    repeated: int = 0
    left_out: int = 0
    fixed: int = 0
    kept: int = 0
    seconds: float = 0.0
    dry_run: bool = False


class AdoptSummary(Struct, tag_field="kind", tag="summary"):
    """The last line: without it the run did not come to its end.

    `known`: in the catalogue already, by an earlier run or otherwise. `young`: younger than the grace. `in_flight`:
    being written or deleted.
    """

    element: str
    objects: int = 0
    adopted: int = 0
    bytes: int = 0
    known: int = 0
    skipped: int = 0
    young: int = 0
    in_flight: int = 0
    seconds: float = 0.0
    dry_run: bool = False


ScanLine: TypeAlias = Lost | Dark | Mismatch | Fixed | Kept | Progress | ScanSummary
AdoptLine: TypeAlias = Adopted | Skipped | Progress | AdoptSummary
