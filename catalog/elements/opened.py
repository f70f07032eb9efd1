"""Storage elements in use: each opened once, and wrapped in what an element far away needs (retries, a limit,
counts)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lading.model.errors import InvalidRequest, Unavailable
from storage_plugins import registry
from storage_plugins.base import unwrapped
from storage_plugins.errors import InvalidOptions, PluginMissing
from storage_plugins.wrapper import INTAKE
from storage_plugins.wrappers import Observation, wrap

if TYPE_CHECKING:
    from storage_plugins.base import Element as StorageElement

    from .service import Element

FAILURES = 5  # one after the other, from which on an element is failing
_ANSWERS = (None, "object_not_found", "object_exists", "checksum_mismatch")
_FAULTS = ("transient", "unavailable")
ATTEMPTS = 3  # for what may be done again without harm: see storage_plugins/retried.py


@dataclass(slots=True)
class OperationCounts:
    """What one operation of one element came to, in this process. `errors` is {a StorageError's code: how many}."""

    done: int = 0
    seconds: float = 0.0
    bytes: int = 0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Open:
    mtime: int
    options: dict[str, Any]
    limits: tuple[int | None, int | None]
    storage: StorageElement


class OpenElements:
    """The open plug-ins, by element id."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], OperationCounts] = {}
        self._failures: dict[tuple[str, bool], int] = {}  # by name and direction, since something worked
        self._open: dict[int, _Open] = {}
        self._retired: list[StorageElement] = []

    def current(self, element: Element) -> StorageElement | None:
        """The plug-in opened for this very row of the registry."""
        known = self._open.get(element.id)
        return known.storage if known is not None and known.mtime == element.mtime else None

    def open(self, element: Element, options: dict[str, Any]) -> StorageElement:
        """The plug-in with these options, secret ones included. What was open with others stays so until the end:
        somebody may be reading through it. Raises InvalidRequest (options), Unavailable (extra missing).
        """
        known = self._open.get(element.id)
        limits = element.max_connections, element.max_rate
        if known is None or known.options != options:
            inner = _plug_in(element, options)
            if known is not None:
                self._retired.append(known.storage)
        elif known.limits == limits:
            known.mtime = element.mtime
            return known.storage
        else:
            inner = unwrapped(known.storage)
        storage = wrap(
            inner,
            attempts=ATTEMPTS,
            max_concurrent=element.max_connections,
            max_rate=element.max_rate,
            observe=self._count,
        )
        self._open[element.id] = _Open(element.mtime, options, limits, storage)
        return storage

    def failing(self) -> set[str]:
        """Names of elements with which nothing worked of late in this process: no writing, or nothing else."""
        return {name for (name, _), count in self._failures.items() if count >= FAILURES}

    def well(self, name: str) -> None:
        """Count its failures anew."""
        for intake in (False, True):
            self._failures.pop((name, intake), None)

    async def aclose(self) -> None:
        """Close every one. Safe to repeat."""
        for storage in (*(known.storage for known in self._open.values()), *self._retired):
            await storage.aclose()
        self._open.clear()
        self._retired.clear()

    def _count(self, seen: Observation) -> None:
        counts = self.counts.setdefault((seen.element, seen.operation), OperationCounts())
        counts.done += 1
        counts.seconds += seen.seconds
        counts.bytes += seen.size
        if seen.error:
            counts.errors[seen.error] = counts.errors.get(seen.error, 0) + 1
        what = seen.element, seen.operation in INTAKE  # a storage that is full of errors may still be read from
        if seen.error in _FAULTS:
            self._failures[what] = self._failures.get(what, 0) + 1
        elif seen.operation != "probe" and seen.error in _ANSWERS:
            self._failures.pop(what, None)


def _plug_in(element: Element, options: dict[str, Any]) -> StorageElement:
    try:
        return registry.open(element.type, options, name=element.name)
    except PluginMissing as error:
        raise Unavailable(f"element '{element.name}': {error.message}") from error
    except InvalidOptions as error:
        raise InvalidRequest(f"element '{element.name}': {error.message}") from error
