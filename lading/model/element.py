"""Storage elements: the places that hold bytes."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct


class ElementState(StrEnum):
    """`active` · `read-only` no writes · `drain` no writes, being emptied · `off` out of use, its replicas
    unreadable."""

    ACTIVE = "active"
    READ_ONLY = "read-only"
    DRAIN = "drain"
    OFF = "off"


class Medium(StrEnum):
    DISK = "disk"
    TAPE = "tape"


class Layout(StrEnum):
    """Where a new file goes: `hash` by its GUID (renames never touch it) · `identity` its LFN · `prefix` the LFN below
    a prefix · `date` the day it is registered, `2026/11/24/` and its GUID. Installed packages may add others."""

    HASH = "hash"
    IDENTITY = "identity"
    PREFIX = "prefix"
    DATE = "date"


class ElementSpec(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """What an operator says of an element. Secret options are encrypted at rest and never shown again."""

    name: str
    type: str
    options: dict[str, Any] = {}
    site: str | None = None
    country: str | None = None
    medium: Medium = Medium.DISK
    state: ElementState = ElementState.ACTIVE
    can_read: bool = True
    can_write: bool = True
    can_delete: bool = True
    layout: str = Layout.HASH.value
    prefix: str = ""
    strip: str = ""
    cost: int = 100
    tags: list[str] = []
    max_bytes: int | None = None
    max_connections: int | None = None
    max_rate: int | None = None
    scrub_days: int = 0
    description: str = ""


class ElementChange(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """What to change; what is absent stays. `options` are merged, and a null value takes an option away."""

    options: dict[str, Any] | None = None
    site: str | None = None
    country: str | None = None
    medium: Medium | None = None
    state: ElementState | None = None
    can_read: bool | None = None
    can_write: bool | None = None
    can_delete: bool | None = None
    layout: str | None = None
    prefix: str | None = None
    strip: str | None = None
    cost: int | None = None
    tags: list[str] | None = None
    max_bytes: int | None = None
    max_connections: int | None = None
    max_rate: int | None = None
    scrub_days: int | None = None
    description: str | None = None


class Scrub(Struct, omit_defaults=True):
    """How far an element's copies are read back: `looked` of this round, since `began`; the last whole round `ended`
    then. What was found is told by `request`. Microseconds."""

    request: int
    looked: int = 0
    began: int = 0
    ended: int | None = None


class ElementInfo(Struct, omit_defaults=True):
    """An element as shown: `secrets` names the secret options that are set, never their values.

    `powers` (of one element that is shown, not in lists) is what the storage can do beside reading and writing.
    `out_since` (microseconds): it failed again and again, and takes nothing until it answers once more. `fault` says
    why, or why it can't be opened.
    """

    name: str
    type: str
    options: dict[str, Any] = {}
    secrets: list[str] = []
    site: str | None = None
    country: str | None = None
    medium: Medium = Medium.DISK
    state: ElementState = ElementState.ACTIVE
    can_read: bool = True
    can_write: bool = True
    can_delete: bool = True
    layout: str = Layout.HASH.value
    prefix: str = ""
    strip: str = ""
    cost: int = 100
    tags: list[str] = []
    max_bytes: int | None = None
    max_connections: int | None = None
    max_rate: int | None = None
    scrub_days: int = 0
    description: str = ""
    replicas: int = 0
    bytes: int = 0
    placeholder: bool = False
    powers: list[str] = []
    fault: str | None = None
    out_since: int | None = None
    scrub: Scrub | None = None
    ctime: int = 0
    mtime: int = 0


class Probe(Struct, omit_defaults=True):
    """What a probe saw just now: which operations worked, in how many milliseconds, and the first error."""

    element: str
    ok: bool
    read: bool = False
    write: bool = False
    delete: bool = False
    milliseconds: float = 0
    free_bytes: int | None = None
    total_bytes: int | None = None
    error: str | None = None


class Way(StrEnum):
    """How bytes get from one element to another: `server` inside the storage or between the two servers of one kind ·
    `pull` the target fetches them by a signed URL · `push` the source sends them to one · `stream` through lading."""

    SERVER = "server"
    PULL = "pull"
    PUSH = "push"
    STREAM = "stream"


class LinkNames(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Of which elements the links are asked for; none: of all."""

    elements: list[str] = []


class Trial(Struct, omit_defaults=True):
    """A small object that was copied just now, and by which way it got there; or the first error."""

    ok: bool
    way: Way | None = None
    milliseconds: float = 0
    error: str | None = None


class Link(Struct, omit_defaults=True):
    """Two elements, and the ways that copies are made between them, the first one first. `why` there is none, or no
    trial."""

    source: str
    target: str
    ways: list[Way] = []
    why: str | None = None
    trial: Trial | None = None


class TypeOption(Struct, omit_defaults=True):
    name: str
    type: str
    description: str = ""
    default: Any = None
    required: bool = False
    secret: bool = False


class ElementType(Struct, omit_defaults=True):
    """A plug-in this server can use. `missing` says what to install when it can't yet."""

    name: str
    summary: str = ""
    options: list[TypeOption] = []
    missing: str | None = None
