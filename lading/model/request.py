"""Requests: one order about many files, carried out in the background as transfers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

MAX_LFNS = 1_000_000  # of one request; more are told by a directory, a query or a data set


class RequestKind(StrEnum):
    """`replicate` make copies · `move` make copies, then drop those at the source · `drop` copies · `remove` files,
    into the trash · `verify` read copies back and compare · `stage` bring copies from tape to disk."""

    REPLICATE = "replicate"
    MOVE = "move"
    DROP = "drop"
    REMOVE = "remove"
    VERIFY = "verify"
    STAGE = "stage"


class RequestState(StrEnum):
    """`planning` its transfers are being worked out, and begin · `running` all are known · `paused` · `done` all ended,
    some may have failed · `cancelled` · `failed` it could not be planned: `error` says why."""

    PLANNING = "planning"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Result(StrEnum):
    """What came of one try: `done` · `skipped` there was nothing to do · `retry` it is tried again · `failed` for good
    · `cancelled`."""

    DONE = "done"
    SKIPPED = "skipped"
    RETRY = "retry"
    FAILED = "failed"
    CANCELLED = "cancelled"


RESULTS = list(Result)


class Selection(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """Which files: exactly one of `lfns`, `under` (with `query`, those below it that fit), `dataset` (or a snapshot of
    one, `NAME@3`), `on` (all that have a copy on that element, for administrators)."""

    lfns: Annotated[list[str], Meta(max_length=MAX_LFNS)] = []
    under: str | None = None
    query: str | None = None
    dataset: str | None = None
    on: str | None = None


class NewRequest(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """POST /v1/requests -> RequestInfo; POST /v1/request-plan -> RequestPlan, and nothing is done.

    `to` and `source` are element expressions. replicate: have `copies` copies on elements of `to`, copied from `source`
    if it is given. move: then drop those on `source` (all that are not in `to`, if none is given), to other elements of
    `to` than these; with 0 `copies` one new one for each good one that goes. drop, verify, stage: the copies on
    `source`. `replace`: what lies in the place of a copy and is nobody's is written over.
    """

    kind: RequestKind
    selection: Selection
    to: Annotated[str, Meta(max_length=1000)] = ""
    source: Annotated[str, Meta(max_length=1000)] = ""
    copies: Annotated[int, Meta(ge=0, le=100)] = 1
    activity: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")] = "user"
    group: str | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    replace: bool = False
    note: Annotated[str, Meta(max_length=500)] = ""


class RequestChange(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """PATCH /v1/requests/{id}: `state` is `paused`, `running` (go on) or `cancelled`; `retry`: what failed, again."""

    state: RequestState | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] | None = None
    retry: bool = False


class RequestInfo(Struct, omit_defaults=True):
    """A request and how far it is. `files` counts the transfers known so far; `done`, `failed`, `skipped` and
    `cancelled` those that ended, `active` those under way. `rate` is in bytes a second of the last minute, `eta` the
    seconds that the rest takes at that rate. That of a `rule` never ends. Times in microseconds."""

    id: int
    kind: RequestKind
    state: RequestState
    user: str
    selection: Selection
    to: str = ""
    source: str = ""
    copies: int = 1
    activity: str = "user"
    group: str = ""
    priority: int = 0
    note: str = ""
    error: str | None = None
    planned: bool = False
    files: int = 0
    bytes: int = 0
    done: int = 0
    done_bytes: int = 0
    skipped: int = 0
    failed: int = 0
    cancelled: int = 0
    active: int = 0
    rate: float | None = None
    eta: float | None = None
    rule: int | None = None
    created: int = 0
    finished: int | None = None


class TransferInfo(Struct, omit_defaults=True):
    """One try of a transfer, or one under way (no `result`). `at` and `seconds` tell when it ended and how long it
    took."""

    lfn: str
    source: str
    target: str
    result: Result | None = None
    error: str | None = None
    way: str | None = None
    bytes: int = 0
    seconds: float = 0.0
    at: int = 0
    transfer: int = 0


class LinkProgress(Struct, omit_defaults=True):
    """How far a request is over one link. `waiting` transfers include those that wait to be tried again; `retried`
    counts tries that were not the last. `rate` is in bytes a second of the last minute."""

    source: str
    target: str
    waiting: int = 0
    waiting_bytes: int = 0
    active: int = 0
    done: int = 0
    done_bytes: int = 0
    failed: int = 0
    retried: int = 0
    rate: float = 0.0


class LinkPlan(Struct, omit_defaults=True):
    """What a request would move over one link, and the ways that can be tried, best first."""

    source: str
    target: str
    files: int = 0
    bytes: int = 0
    ways: list[str] = []


class RequestPlan(Struct, omit_defaults=True):
    """A dry run: what would be done. `refused` has {why: how many}, `whole` whether all files were looked at."""

    files: int = 0
    bytes: int = 0
    skipped: int = 0
    refused: dict[str, int] = {}
    links: list[LinkPlan] = []
    whole: bool = True
