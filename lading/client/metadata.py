"""The metadata part of the client: fields, open trees, and the values of names."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from ..model import api
from ..model.field import Field, FieldSpec
from ..model.metadata import (
    DeclareFields,
    Described,
    FieldChange,
    FieldEffect,
    FieldIndex,
    Mirrored,
    MirrorMetadata,
    NameValues,
    OpenTree,
    SetMetadata,
)
from ..model.outcome import Outcomes
from .admin import Part, at
from .batch import bulk
from .namespace import LONG, Results

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .http import Http


class Fields(Part):
    """Declared fields. Everybody reads them; administrators of a VO declare and change its own."""

    async def list(self, vo: str | None = None) -> builtins.list[Field]:
        return await self.http.call("GET", "/v1/fields", builtins.list[Field], params={"vo": vo})

    async def add(self, specs: Iterable[FieldSpec], *, dry_run: bool = False) -> Results[Field]:
        """Safe to repeat; another declaration of a name that is there is a conflict."""
        return await bulk(
            self.http, "/v1/fields", specs, lambda some: DeclareFields(some, dry_run), Outcomes[Field], wait=LONG
        )

    async def show(self, vo: str, name: str) -> Field:
        return await self.http.call("GET", _field(vo, name), Field)

    async def set(self, vo: str, name: str, change: FieldChange) -> FieldEffect:
        """With `change.dry_run`, how many files and directories would be rewritten."""
        return await self.http.call("PATCH", _field(vo, name), FieldEffect, body=change, once=True, wait=LONG)

    async def remove(self, vo: str, name: str, *, dry_run: bool = False) -> FieldEffect:
        """The field and all its values; with `dry_run`, how many would go."""
        params = {"dry_run": dry_run}
        return await self.http.call("DELETE", _field(vo, name), FieldEffect, params=params, once=True, wait=LONG)

    async def index(self, vo: str, name: str, *, on: bool = True) -> Field:
        """Begun, not waited for: `index_state` and `index_progress` of `show` tell how far it is."""
        return await self.http.call("POST", _field(vo, name) + "/index", Field, body=FieldIndex(on), once=True)

    async def trees(self) -> builtins.list[str]:
        """The directories below which undeclared keys are kept."""
        return await self.http.call("GET", "/v1/open-trees", builtins.list[str])

    async def open_tree(self, lfn: str, *, dry_run: bool = False) -> None:
        await self.http.call("POST", "/v1/open-trees", type(None), body=OpenTree(lfn, dry_run), once=True)

    async def close_tree(self, lfn: str, *, dry_run: bool = False) -> None:
        params = {"lfn": lfn, "dry_run": dry_run}
        await self.http.call("DELETE", "/v1/open-trees", type(None), params=params, once=True)


def _field(vo: str, name: str) -> str:
    return at(at("/v1/fields", vo), name)


class Metadata:
    """Calls about the values of files and directories."""

    http: Http

    async def set_metadata(
        self,
        items: Iterable[tuple[str, Mapping[str, Any]]],
        *,
        replace: bool = False,
        dry_run: bool = False,
    ) -> Results[None]:
        """(LFN, values) pairs. None as a value takes it away; values not named stay, unless `replace`. Safe to
        repeat."""
        return await bulk(
            self.http,
            "/v1/metadata",
            [NameValues(lfn, dict(values)) for lfn, values in items],
            lambda some: SetMetadata(some, replace, dry_run),
            Outcomes[None],
            wait=LONG,
        )

    async def mirror_metadata(
        self, se: str, lfns: Iterable[str], *, back: bool = False, dry_run: bool = False
    ) -> Results[Mirrored]:
        """Set what the catalogue knows of files on their objects at `se`, or `back`: what that storage keeps, on the
        files. For administrators; safe to repeat."""
        return await bulk(
            self.http,
            "/v1/metadata/mirror",
            lfns,
            lambda some: MirrorMetadata(se, some, back, dry_run),
            Outcomes[Mirrored],
            wait=LONG,
        )

    async def get_metadata(self, lfns: Iterable[str], *, follow: bool = True) -> Results[Described]:
        """What holds for each name, and where each value comes from."""
        return await bulk(
            self.http, "/v1/metadata/get", lfns, lambda some: api.Names(some, follow), Outcomes[Described], once=False
        )
