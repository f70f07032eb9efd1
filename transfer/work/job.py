"""One transfer in a worker's hands, from its lease to what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lading.model.request import RequestKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalog.elements.service import Element

    from ..queue.queue import Ended, Lease


@dataclass(frozen=True, slots=True)
class Order:
    """What the request of a transfer says."""

    id: int
    kind: RequestKind
    user_id: int
    copies: int
    target: str
    source: str
    options: Mapping[str, Any]

    @property
    def copies_bytes(self) -> bool:
        return self.kind in (RequestKind.REPLICATE, RequestKind.MOVE)


@dataclass(slots=True, eq=False)
class Job:
    """`sources`, best first: element and PFN. `upload` is the row that tells the world of bytes on their way to `pfn`;
    without one nothing has to be moved. `ours`: the place `pfn` can hold nothing but an earlier try's object."""

    lease: Lease
    order: Order
    path: str
    guid: str
    size: int | None
    checksums: dict[str, str]
    sources: list[tuple[Element, str]]
    target: Element
    pfn: str
    stored: bool = False
    ours: bool = True
    upload: str | None = None
    begun: bool = False
    dirty: bool = False  # there may be an object of ours at `pfn`: unless it is registered, the cleaner's to take
    bad: list[tuple[int, str]] = field(default_factory=list)  # (element id, why): copies found wrong or missing
    gone: list[tuple[int, str]] = field(default_factory=list)  # (element id, why): the storage says it has none
    ended: Ended | None = None
