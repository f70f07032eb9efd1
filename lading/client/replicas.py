"""The replica part of the client: where files are, in what state, and one copy more."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..model import api
from ..model.errors import NotFound
from ..model.outcome import Outcome, Outcomes
from ..model.replica import Copy, ReplicaRef, Resolved, Source
from .batch import bulk
from .namespace import Results

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .http import Http

V = TypeVar("V")


class Replicas:
    """Calls about copies. Every bulk call takes any number of items and answers an Outcome for each, in order."""

    http: Http

    async def resolve(
        self, lfns: Iterable[str], *, site: str | None = None, ses: Sequence[str] = ()
    ) -> Results[Resolved]:
        """Sources of each file, best first for a reader at `site`; `ses` narrows the choice to those elements."""
        return await bulk(
            self.http,
            "/v1/replicas/resolve",
            lfns,
            lambda some: api.Resolve(some, site, [*ses]),
            Outcomes[Resolved],
            once=False,
        )

    async def sources(self, lfn: str, *, site: str | None = None, ses: Sequence[str] = ()) -> Resolved:
        """One `resolve`. Raises the CatalogError of its outcome."""
        found = (await self.resolve([lfn], site=site, ses=ses))[0].get()
        if found is None:
            raise NotFound(f"'{lfn}' does not exist", lfn=lfn)
        return found

    async def register_replicas(self, replicas: Iterable[ReplicaRef], *, dry_run: bool = False) -> Results[None]:
        """Make known that copies exist. Safe to repeat; no byte is looked at."""
        return await self._replicas("register", replicas, dry_run=dry_run)

    async def set_replica_state(self, replicas: Iterable[ReplicaRef], *, dry_run: bool = False) -> Results[None]:
        """Safe to repeat."""
        return await self._replicas("state", replicas, dry_run=dry_run)

    async def drop_replicas(
        self,
        replicas: Iterable[ReplicaRef],
        *,
        keep_bytes: bool = False,
        force: bool = False,
        dry_run: bool = False,
    ) -> Results[None]:
        """Forget copies and remove their bytes (kept with `keep_bytes`). The last good copy needs `force`."""
        return await self._replicas("drop", replicas, keep_bytes=keep_bytes, force=force, dry_run=dry_run)

    async def _replicas(
        self,
        verb: str,
        replicas: Iterable[ReplicaRef],
        *,
        keep_bytes: bool = False,
        force: bool = False,
        dry_run: bool = False,
    ) -> list[Outcome[None]]:
        return await bulk(
            self.http,
            f"/v1/replicas/{verb}",
            replicas,
            lambda some: api.Replicas(some, keep_bytes, force, dry_run),
            Outcomes[None],
        )

    async def copy(self, copies: Iterable[Copy]) -> Results[Source]:
        """One more copy of each file, made by the server and verified before this returns. Safe to repeat."""
        return await bulk(
            self.http,
            "/v1/replicas/copy",
            copies,
            api.Copies,
            Outcomes[Source],
            size=8,  # few a call: the answer waits for all their bytes, and an error costs less to repeat
            width=2,
            wait=3600,
        )
