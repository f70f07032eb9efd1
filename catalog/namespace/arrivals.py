"""What comes into a VO was described elsewhere: searches there are to look for its values from now on.

Looks at the values of every file that comes. Within a VO nothing is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lading.model import lfn

from .tree_store import TreeStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalog.db import Transaction

    from .values import Values


class Arrivals:
    def __init__(self, values: Values) -> None:
        self._values = values
        self._store = TreeStore()

    async def directory(self, tx: Transaction, old: str, new: str) -> None:
        """The directory `old` is at `new` now. Needs the structure lock of both VOs."""
        vo = lfn.vo(new)
        if vo == lfn.vo(old):
            return
        await self._values.current(tx.connection)
        for directories in (True, False):
            keys = await self._store.keys_below(tx.connection, new, directories=directories)
            await self._values.learn(tx, {vo: keys}, directories=directories)

    async def files(self, tx: Transaction, moved: Mapping[str, Sequence[int]]) -> None:
        """These files, {VO: ids}, came into the VO."""
        if not moved:
            return
        await self._values.current(tx.connection)
        used = {vo: await self._store.keys_of(tx.connection, ids) for vo, ids in moved.items()}
        await self._values.learn(tx, used, directories=False)
