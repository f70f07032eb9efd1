"""Metadata: fields, open trees, values of names."""

from __future__ import annotations

from msgspec import Struct

from doors.http.routes import Call, Route
from lading.model.api import Names
from lading.model.field import Field
from lading.model.metadata import (
    DeclareFields,
    Described,
    FieldChange,
    FieldEffect,
    FieldIndex,
    Mirrored,
    MirrorMetadata,
    OpenTree,
    SetMetadata,
)
from lading.model.outcome import Outcomes


class FieldsQuery(Struct, forbid_unknown_fields=True):
    """`vo` leaves out the fields of the others."""

    vo: str | None = None


class PreviewQuery(Struct, forbid_unknown_fields=True):
    dry_run: bool = False


class TreeQuery(Struct, forbid_unknown_fields=True):
    lfn: str
    dry_run: bool = False


async def fields(call: Call[None, FieldsQuery]) -> list[Field]:
    return await call.services.fields.every(call.caller, call.query.vo)


async def declare(call: Call[DeclareFields]) -> Outcomes[Field]:
    return await call.services.fields.declare(call.caller, call.body.fields, dry_run=call.body.dry_run)


async def field(call: Call[None]) -> Field:
    return await call.services.fields.show(call.caller, call.params["vo"], call.params["name"])


async def change_field(call: Call[FieldChange]) -> FieldEffect:
    return await call.services.fields.change(call.caller, call.params["vo"], call.params["name"], call.body)


async def remove_field(call: Call[None, PreviewQuery]) -> FieldEffect:
    vo, name = call.params["vo"], call.params["name"]
    return await call.services.fields.remove(call.caller, vo, name, dry_run=call.query.dry_run)


async def index_field(call: Call[FieldIndex]) -> Field:
    return await call.services.fields.set_index(call.caller, call.params["vo"], call.params["name"], on=call.body.on)


async def trees(call: Call[None]) -> list[str]:
    return await call.services.open_trees.every(call.caller)


async def open_tree(call: Call[OpenTree]) -> None:
    await call.services.open_trees.open(call.caller, call.body.lfn, dry_run=call.body.dry_run)


async def close_tree(call: Call[None, TreeQuery]) -> None:
    await call.services.open_trees.close(call.caller, call.query.lfn, dry_run=call.query.dry_run)


async def set_values(call: Call[SetMetadata]) -> Outcomes[None]:
    return await call.services.values.set(call.caller, call.body)


async def get_values(call: Call[Names]) -> Outcomes[Described]:
    return await call.services.values.get(call.caller, call.body)


async def mirror(call: Call[MirrorMetadata]) -> Outcomes[Mirrored]:
    return await call.services.mirror.mirror(call.caller, call.body)


ROUTES = [
    Route("GET", "/v1/fields", fields, "user", "Declared metadata fields", query=FieldsQuery, answer=list[Field], tag="Metadata"),
    Route("POST", "/v1/fields", declare, "user", "Declare fields (administrators of the VO)", body=DeclareFields, answer=Outcomes[Field], tag="Metadata", limit=1000),
    Route("GET", "/v1/fields/{vo}/{name}", field, "user", "One field, with how far its index is", answer=Field, tag="Metadata"),
    Route("PATCH", "/v1/fields/{vo}/{name}", change_field, "user", "Change a field; its values go along", body=FieldChange, answer=FieldEffect, tag="Metadata"),
    Route("DELETE", "/v1/fields/{vo}/{name}", remove_field, "user", "Delete a field with all its values", query=PreviewQuery, answer=FieldEffect, tag="Metadata"),
    Route("POST", "/v1/fields/{vo}/{name}/index", index_field, "user", "Index a field, or not any more, while everybody works", body=FieldIndex, answer=Field, tag="Metadata"),
    Route("GET", "/v1/open-trees", trees, "user", "Directories that take undeclared keys", answer=list[str], tag="Metadata"),
    Route("POST", "/v1/open-trees", open_tree, "user", "Let a directory take undeclared keys (administrators of the VO)", body=OpenTree, status=204, tag="Metadata"),
    Route("DELETE", "/v1/open-trees", close_tree, "user", "Refuse undeclared keys there again", query=TreeQuery, status=204, tag="Metadata"),
    Route("POST", "/v1/metadata", set_values, "user", "Set values of files and directories", body=SetMetadata, answer=Outcomes[None], tag="Metadata"),
    Route("POST", "/v1/metadata/mirror", mirror, "admin", "Take over the metadata that a storage keeps, or give it ours", body=MirrorMetadata, answer=Outcomes[Mirrored], tag="Metadata", limit=1000),
    Route("POST", "/v1/metadata/get", get_values, "user", "Values of names, and where each comes from", body=Names, answer=Outcomes[Described], changes=False, tag="Metadata"),
]  # fmt: skip
