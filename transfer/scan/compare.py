"""What is lost, dark or different: a pure function of what the catalogue said before and after, and storage in between.

The catalogue is read twice, around the look at the storage, as CMS and Rucio do it (cmp3). A replica that was there
both times must have had its object all along; an object that neither reading knows is nobody's. So files that come and
go meanwhile are never reported, whatever clocks say. The grace covers what only others know of: objects written by
somebody who has not registered them yet, and what was dumped at another time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lading.model.replica import STATES, ReplicaState

from .lines import groups, place, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lading.model.scan import ScanSummary

    from .lines import Object, Replica

_LOST = STATES.index(ReplicaState.LOST)
_MOVING = {STATES.index(ReplicaState.COPYING), STATES.index(ReplicaState.DELETING)}


class Found(NamedTuple):
    """One finding. `kind` is lost, dark or mismatch; lost and mismatch have a replica, dark and mismatch an object."""

    kind: str
    key: bytes
    replica: Replica | None
    object: Object | None
    differs: str | None = None


def compare(lines: Iterable[bytes], cutoff: int, summary: ScanSummary, *, dump: bool = False) -> Iterator[Found]:
    """The findings in order of PFNs, counted in `summary`, of lines in order that end where a key ends (`lines.py`).

    What is as young as `cutoff` (microseconds) is not told.
    With `dump` the storage was looked at before both readings of the catalogue: then `before` says nothing of replicas,
    and what the catalogue alone can tell of their age has to do.
    """
    for key, facts in groups(lines):
        if (size := plain(facts)) is not None:
            summary.objects += 1
            summary.replicas += 1
            summary.same += 1
            summary.bytes += size
            continue
        _, before, replicas, objects, uploading, deleting = place(key, facts)
        thing = objects[-1] if objects else None
        summary.replicas += len(replicas)
        if thing is not None:
            summary.objects += 1
            summary.bytes += thing.size
            summary.repeated += len(objects) - 1
            if not replicas:
                if uploading or before:
                    summary.in_flight += 1
                elif deleting:
                    summary.going += 1
                elif thing.mtime is not None and thing.mtime >= cutoff:
                    summary.young += 1
                else:
                    summary.dark += 1
                    summary.dark_bytes += thing.size
                    yield Found("dark", key, None, thing)
                continue
        for replica in replicas:
            if thing is None:
                if replica.state == _LOST:
                    summary.known_lost += 1
                elif uploading or replica.state in _MOVING or not (before or dump):
                    summary.in_flight += 1
                elif replica.ctime >= cutoff:
                    summary.young += 1
                else:
                    summary.lost += 1
                    summary.lost_bytes += replica.size or 0
                    yield Found("lost", key, replica, None)
            elif (differs := difference(replica, thing)) is None:
                summary.same += 1
                summary.returned += replica.state == _LOST
            elif uploading or replica.state in _MOVING:
                summary.in_flight += 1
            elif replica.ctime >= cutoff or (thing.mtime is not None and thing.mtime >= cutoff):
                summary.young += 1
            else:
                summary.mismatch += 1
                yield Found("mismatch", key, replica, thing, differs)


def difference(replica: Replica, thing: Object) -> str | None:
    """In what they differ: `size`, a kind of checksum that both know, or nothing."""
    if replica.size is not None and replica.size != thing.size:
        return "size"
    if thing.checksums:
        for kind, value in replica.checksums.items():
            if thing.checksums.get(kind, value) != value:
                return kind
    return None
