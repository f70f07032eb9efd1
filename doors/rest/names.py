"""Names: look up, list, make, move, remove, restore."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from doors.http import stream
from doors.http.routes import Answer, Call, Route
from lading.model.api import (
    AddAncestors,
    Links,
    MakeDirectories,
    Moves,
    Names,
    Relatives,
    Remove,
    SetAttributes,
    TrashIds,
)
from lading.model.file import Entry, Relative, TrashItem, Usage
from lading.model.outcome import Outcomes, Page

_Limit = Annotated[int, Meta(ge=1, le=10_000)]


class ListQuery(Struct, forbid_unknown_fields=True):
    """`cursor` is the `next` of the page before. Plain entries (`verbose=false`) have name and kind only."""

    lfn: str = "/"
    cursor: str | None = None
    limit: _Limit = 1000
    verbose: bool = True


class TrashQuery(Struct, forbid_unknown_fields=True):
    under: str = "/"
    cursor: str | None = None
    limit: _Limit = 1000


async def stat(call: Call[Names]) -> Outcomes[Entry]:
    return await call.services.names.stat(call.caller, call.body)


async def exists(call: Call[Names]) -> Outcomes[bool]:
    return await call.services.names.exists(call.caller, call.body)


async def usage(call: Call[Names]) -> Outcomes[Usage]:
    return await call.services.names.usage(call.caller, call.body)


async def listing(call: Call[None, ListQuery]) -> Any:
    query, listing = call.query, call.services.listing
    if stream.wanted(call):
        return await stream.stream(call, listing.walk(call.caller, query.lfn, verbose=query.verbose))
    return Answer(
        msgspec.Raw(
            await listing.page_json(
                call.caller, query.lfn, cursor=query.cursor, limit=query.limit, verbose=query.verbose
            )
        )
    )


async def make_directories(call: Call[MakeDirectories]) -> Outcomes[None]:
    body = call.body
    return await call.services.names.make_directories(
        call.caller, body.lfns, parents=body.parents, mode=body.mode, dry_run=body.dry_run
    )


async def make_links(call: Call[Links]) -> Outcomes[None]:
    body = call.body
    return await call.services.names.make_links(call.caller, body.links, parents=body.parents, dry_run=body.dry_run)


async def move(call: Call[Moves]) -> Outcomes[None]:
    return await call.services.tree.move(call.caller, call.body.moves, dry_run=call.body.dry_run)


async def remove(call: Call[Remove]) -> Outcomes[TrashItem]:
    body = call.body
    return await call.services.trash.remove(
        call.caller,
        body.lfns,
        recursive=body.recursive,
        keep=body.keep,
        force_snapshots=body.force_snapshots,
        dry_run=body.dry_run,
    )


async def trash(call: Call[None, TrashQuery]) -> Page[TrashItem]:
    query = call.query
    return await call.services.trash.page(call.caller, under=query.under, cursor=query.cursor, limit=query.limit)


async def restore(call: Call[TrashIds]) -> Outcomes[str]:
    return await call.services.trash.restore(call.caller, call.body.ids, to=call.body.to, dry_run=call.body.dry_run)


async def purge(call: Call[TrashIds]) -> Outcomes[None]:
    return await call.services.trash.purge(call.caller, call.body.ids, dry_run=call.body.dry_run)


async def attributes(call: Call[SetAttributes]) -> Outcomes[None]:
    return await call.services.attributes.set(call.caller, call.body)


async def relatives(call: Call[Relatives]) -> Outcomes[list[Relative]]:
    return await call.services.provenance.relatives(call.caller, call.body)


async def add_ancestors(call: Call[AddAncestors]) -> Outcomes[None]:
    return await call.services.provenance.add(call.caller, call.body.files, dry_run=call.body.dry_run)


ROUTES = [
    Route("POST", "/v1/stat", stat, "user", "Look up files, directories and links", body=Names, answer=Outcomes[Entry], changes=False, tag="Names"),
    Route("POST", "/v1/exists", exists, "user", "Which names exist?", body=Names, answer=Outcomes[bool], changes=False, tag="Names"),
    Route(
        "GET", "/v1/list", listing, "user", "List a directory", query=ListQuery, answer=Page[Entry], gives=stream.MEDIA_TYPE, tag="Names",
        description="A page in byte order of the names; with `Accept: application/x-ndjson` the whole directory, an Entry a line.",
    ),
    Route("POST", "/v1/directories/make", make_directories, "user", "Make directories", body=MakeDirectories, answer=Outcomes[None], tag="Names"),
    Route("POST", "/v1/links/make", make_links, "user", "Make symbolic links", body=Links, answer=Outcomes[None], tag="Names"),
    Route("POST", "/v1/move", move, "user", "Move or rename", body=Moves, answer=Outcomes[None], tag="Names"),
    Route("POST", "/v1/remove", remove, "user", "Remove into the trash", body=Remove, answer=Outcomes[TrashItem], tag="Names"),
    Route("GET", "/v1/trash", trash, "user", "What is in the trash", query=TrashQuery, answer=Page[TrashItem], tag="Names"),
    Route("POST", "/v1/trash/restore", restore, "user", "Restore from the trash", body=TrashIds, answer=Outcomes[str], tag="Names"),
    Route("POST", "/v1/trash/purge", purge, "user", "Let things in the trash expire now", body=TrashIds, answer=Outcomes[None], tag="Names"),
    Route("POST", "/v1/attributes", attributes, "user", "Change mode, owner, group, ACL, comment, status", body=SetAttributes, answer=Outcomes[None], tag="Names"),
    Route("POST", "/v1/usage", usage, "user", "Files and bytes of subtrees, per element", body=Names, answer=Outcomes[Usage], changes=False, tag="Names", limit=1000),
    Route("POST", "/v1/relatives", relatives, "user", "Ancestors or descendants of files", body=Relatives, answer=Outcomes[list[Relative]], changes=False, tag="Names"),
    Route("POST", "/v1/ancestors", add_ancestors, "user", "Say what files were made from", body=AddAncestors, answer=Outcomes[None], tag="Names"),
]  # fmt: skip
