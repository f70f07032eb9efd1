"""Data sets and snapshots as they are printed."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from .output import facts, moment, size

if TYPE_CHECKING:
    from ..model.dataset import DatasetState, OnElement, Snapshot, SnapshotState
    from .output import Output


def dataset(out: Output, state: DatasetState) -> None:
    d, since = state.dataset, state.since
    told = {
        "name": d.name, "owner": f"{d.owner}:{d.group} {mode(d.mode)}", "query": d.query or "(a list)",
        "under": d.under if d.query else "", "description": d.description, "metadata": d.metadata,
        "files": str(state.files), "size": size(state.bytes), "on": _elements(state.elements, state.files),
        "nowhere": state.nowhere, "snapshots": d.snapshots,
    }  # fmt: skip
    if since is not None:
        added, removed = (f"{n} files of {size(b)}" for n, b in (
            (since.added, since.added_bytes), (since.removed, since.removed_bytes)
        ))  # fmt: skip
        told[f"since @{since.number}"] = f"{added} came, {removed} went"
    facts(out, state, told)


def snapshot(out: Output, state: SnapshotState) -> None:
    s = state.snapshot
    told = {
        "name": s.name, "frozen": f"{moment(s.at)} by {s.by}", "hash": s.hash, "files": str(s.files),
        "size": size(s.bytes), "hidden from you": state.hidden, "on": _elements(state.elements, state.files),
        "nowhere": state.nowhere, "query": s.query or "(a list)", "under": s.under if s.query else "",
        "note": s.note, "annotations": s.annotations, "released": moment(s.released),
        "broken": f"{s.broken} files were removed by force" if s.broken else "",
        "removed": [f"{b.lfn} ({moment(b.at)} by {b.by})" for b in state.broken],
    }  # fmt: skip
    facts(out, state, told)


def mode(bits: int) -> str:
    """`rw-r--r--`."""
    return stat.filemode(bits)[1:]


def frozen(out: Output, one: Snapshot) -> None:
    state = "released" if one.released else "broken" if one.broken else ""
    out.row(one, one.number, moment(one.at), one.by, one.files, size(one.bytes), state, one.hash, one.note)


def _elements(elements: list[OnElement], files: int) -> list[str]:
    return [f"{e.element}: {'all' if e.files == files else e.files} ({size(e.bytes)})" for e in elements]
