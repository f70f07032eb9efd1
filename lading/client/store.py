"""Store: the outputs of a job, on the first element that takes them, with what is known of them; safe to run twice."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from ..model import errors
from ..model.api import Ancestry
from ..model.lfn import shown
from ..model.outcome import Outcome
from ..model.request import NewRequest, RequestKind, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.errors import Fault
    from .client import Client
    from .meter import Progress
    from .put import Stored

_FEW = 2  # tries of an element that others stand in for
# Of the file itself, or of who stores it: no other element would help.
_FINAL = (
    errors.InvalidRequest.code, errors.Conflict.code, errors.Forbidden.code, errors.Unauthenticated.code, "local_error",
)  # fmt: skip


class Kept(msgspec.Struct):
    """What came of a job's outputs: one Outcome a file, and the request that makes their copies, if there is one."""

    outcomes: list[Outcome[Stored]]
    request: int | None = None


@dataclass(frozen=True, slots=True)
class Keeping:
    """How to store. `ses`: elements, the best first; without any the server picks one. `to`: an expression of elements
    that are to have `copies` copies in the end."""

    ses: Sequence[str] = ()
    to: str = ""
    copies: int = 1
    metadata: dict[str, Any] = field(default_factory=dict)
    ancestors: Sequence[str] = ()
    checksums: Sequence[str] = ("adler32",)
    parallel: int = 4


async def store(
    client: Client, files: Sequence[tuple[str, str]], how: Keeping, progress: Progress | None = None
) -> Kept:
    """Store (local name, LFN) pairs, in this order: bytes, verified; metadata; ancestors; the order of copies.

    An Outcome for each file: what went wrong with one keeps no other from being stored. A file whose metadata or
    ancestors were refused is told as failed, though it is stored. Safe to repeat after anything: what is there is not
    stored again, and copies are not ordered twice within a day. Raises a CatalogError when the order is refused.
    """
    outcomes = await _bytes(client, files, how, progress)
    stored = [o.value.lfn for o in outcomes.values() if o.value is not None]
    # Values of a file that was there already may be missing: whoever stored it was killed before they were set.
    again = [o.value.lfn for o in outcomes.values() if o.value is not None and not o.value.changed]
    faults: dict[str, Fault] = {}
    if how.metadata and again:
        told = await client.set_metadata((lfn, how.metadata) for lfn in again)
        faults |= {o.item: o.error for o in told if o.error is not None}
    if how.ancestors and stored:
        linked = await client.add_ancestors(Ancestry(lfn, list(how.ancestors)) for lfn in stored)
        faults |= {o.item: o.error for o in linked if o.error is not None}
    for local, outcome in outcomes.items():
        if outcome.value is not None and (fault := faults.get(outcome.value.lfn)) is not None:
            outcomes[local] = Outcome(local, error=fault)
    request = None
    if how.to and stored:
        new = NewRequest(
            RequestKind.REPLICATE, Selection(lfns=sorted(stored)), how.to, copies=how.copies, activity="outputs"
        )
        key = "store-" + hashlib.sha256(msgspec.json.encode(new)).hexdigest()[:40]
        request = (await client.requests.submit(new, key=key)).id
    return Kept([outcomes[local] for local, _ in files], request)


async def _bytes(
    client: Client, files: Sequence[tuple[str, str]], how: Keeping, progress: Progress | None
) -> dict[str, Outcome[Stored]]:
    """{local name: Outcome}: each file on the first element that takes it."""
    known = await client.stat([lfn for _, lfn in files])
    there = {local for (local, _), o in zip(files, known, strict=True) if o.value is not None}
    outcomes: dict[str, Outcome[Stored]] = {}
    options: dict[str, Any] = {
        "checksums": how.checksums, "metadata": how.metadata, "parallel": how.parallel, "progress": progress,
    }  # fmt: skip
    # What is there already is compared, wherever it is; without a copy it is stored like the others.
    async for outcome in client.put_many([f for f in files if f[0] in there], **options):
        outcomes[outcome.item] = outcome
    for number, se in enumerate(how.ses or (None,)):
        left = [f for f in files if f[0] not in there and not _ended(outcomes.get(f[0]))]
        last = number + 1 >= len(how.ses)
        trying = client if last else client.trying(_FEW)
        async for outcome in trying.put_many(left, se=se, **options):
            outcomes[outcome.item] = outcome
    return outcomes


def _ended(outcome: Outcome[Stored] | None) -> bool:
    return outcome is not None and (outcome.error is None or outcome.error.code in _FINAL)


def named(locals_: Sequence[str], folder: str) -> list[tuple[str, str]]:
    """(local name, LFN) of files that go into the directory `folder`. Raises InvalidRequest when two have one name."""
    pairs: dict[str, str] = {}
    for local in locals_:
        name = os.path.basename(local)
        lfn = f"{folder.rstrip('/')}/{name}"
        if not name or lfn in pairs:
            raise errors.InvalidRequest(f"'{shown(local)}' has no name of its own in '{shown(folder)}': store it apart")
        pairs[lfn] = local
    return [(local, lfn) for lfn, local in pairs.items()]
