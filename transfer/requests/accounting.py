"""Accounting: the tries of transfers summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lading.model.accounting import Account, By
from lading.model.errors import Forbidden, InvalidRequest
from lading.model.request import RESULTS, RequestKind

from .accounting_store import AccountingStore, Filters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog.access.service import AccessService
    from catalog.db import Database
    from catalog.elements.service import ElementsService
    from lading.model.principal import Caller

MOST = 10_000  # rows of an answer


class Accounting:
    def __init__(self, database: Database, access: AccessService, elements: ElementsService) -> None:
        self._db = database
        self._access = access
        self._elements = elements
        self._store = AccountingStore()

    async def sums(
        self,
        caller: Caller,
        by: Sequence[By],
        since: int,
        until: int,
        *,
        everybody: bool = False,
        user: str | None = None,
        activity: str | None = None,
        kind: RequestKind | None = None,
        element: str | None = None,
    ) -> list[Account]:
        """The tries that ended from `since` until before `until` (microseconds), summed up by each `by`, in order of
        these. One's own; `everybody`'s, or those of another `user`, for administrators. Tries are remembered for thirty
        days. Raises Forbidden, NotFound (user, element), InvalidRequest (more than ten thousand rows)."""
        who = caller.principal
        if (everybody or user not in (None, who.name)) and not who.superuser:
            raise Forbidden("only administrators see the transfers of others")
        async with self._db.read(wide=True) as connection:
            await self._elements.ready(connection)
            mine = None if everybody else who.id
            if user is not None:
                mine = (await self._access.ids(connection, "u", [user]))[user]
            place = None if element is None else self._elements.named(element).id
            filters = Filters(mine, activity, None if kind is None else kind.value, place)
            rows = await self._store.sums(connection, by, since, until, filters, MOST + 1)
            people = await self._access.names(connection)
        if len(rows) > MOST:
            raise InvalidRequest(f"that is more than {MOST} rows: sum up by less, or over less time")

        def shown(what: By, value: object) -> str:
            if what in (By.USER, By.GROUP) and isinstance(value, int):
                return people.get(value, "")
            if what in (By.SOURCE, By.TARGET) and isinstance(value, int):
                found = self._elements.by_id(value)
                return found.name if found else f"(element {value}, gone)" if value else ""
            if what is By.RESULT and isinstance(value, int):
                return RESULTS[value].value
            return str(value or "")

        return [
            Account(
                {b.value: shown(b, row[f"k{n}"]) for n, b in enumerate(by)},
                row["tries"], row["done"], row["failed"], row["retried"], int(row["bytes"]), row["micros"] / 1e6,
            )
            for row in rows
        ]  # fmt: skip
