"""What the catalogue needs to know of metadata fields; `metadata.known` knows it. (Imports go down only: see
pyproject.toml.)"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lading.model.errors import InvalidRequest
from lading.model.lfn import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from catalog.db import Connection, Transaction
    from lading.model.file import Metadata


class Values(Protocol):
    """Declared fields, as those who store and show values use them."""

    async def ready(self, connection: Connection) -> None:
        """Have the fields at hand, for showing values: what another process changed a moment ago may be missing."""

    async def current(self, connection: Connection) -> None:
        """Have the fields as they are in this very snapshot, for storing values.

        Fields are renamed, retyped and deleted under the exclusive structure lock of their VO: with that lock held,
        shared at least, they stay as they are.
        """

    def stored(self, path: str, values: Metadata) -> Metadata:
        """The values in their stored forms; None stays, for a value to be taken away.

        Raises InvalidRequest: a key that no field of the VO of `path` declares, a value that is none of its type.
        """

    def shown(self, path: str, values: Metadata) -> Metadata:
        """Stored values as people see them."""

    def required(self, directory: str) -> Collection[str]:
        """The fields that every file right in this directory must have, its own or inherited."""

    async def learn(self, tx: Transaction, used: Mapping[str, Collection[str]], *, directories: bool) -> None:
        """Note that {VO: keys} now have values on files (or on directories): queries look there from now on."""


def lacks(path: str, names: Sequence[str]) -> InvalidRequest:
    """The error of a file that has not what `Values.required` says."""
    several = "', '".join(names)
    return InvalidRequest(
        f"'{shown(path)}' must have '{several}': no file there can be without", lfn=path, fields=list(names)
    )
