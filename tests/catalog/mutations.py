"""Every change that the catalogue knows, once: for what must hold of all of them (dry runs, audit, idempotency)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from lading.model.api import Alias, Ancestry, Link, Move, SetAttributes
from lading.model.dataset import DatasetChange, Freeze, Members, NewDataset, SnapshotChange
from lading.model.element import ElementChange, ElementSpec
from lading.model.field import FieldSpec, FieldType
from lading.model.metadata import FieldChange, NameValues, SetMetadata
from lading.model.people import GroupSpec, TokenSpec, UserChange, UserSpec, VOSpec
from lading.model.principal import Caller
from lading.model.replica import ReplicaRef, ReplicaState

from .world import World, file

Change = Callable[[World, Caller, bool], Awaitable[Any]]

GUID = "0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f6071"


TRASH: dict[str, int] = {}  # what `prepare` put there, by the path it had


async def prepare(world: World) -> None:
    """What the changes need: files, directories, links, people, something in the trash."""
    await world.people(alice=["staff"], bob=["staff"])
    await world.elements("one", "two", "more")
    await world.declare(k="int")
    await world.register(
        world.admin,
        file("/vo/f", 5, "one", "two"),
        file("/vo/g", 6),
        file("/vo/d/e/h", 7, "one"),
        file("/vo/gone", 8, "one"),
    )
    await world.register(world.admin, file("/vo/dir/x", 1, "one"))
    await world.mkdir(world.admin, "/vo/empty")
    await world.services.datasets.create(world.admin, NewDataset("/vo/list", lfns=[]))
    await world.remove(world.admin, "/vo/gone", "/vo/dir", recursive=True)
    TRASH.update({lfn: item.id for lfn, item in (await world.trash(world.admin)).items()})


# name: (the action its audit row has, the change). Bulk changes first: they take a dry run.
BULK: dict[str, tuple[str, Change]] = {
    "mkdir": ("mkdir", lambda w, c, dry: w.services.names.make_directories(c, ["/new/deep", "/vo/new"], dry_run=dry)),
    "link": (
        "link",
        lambda w, c, dry: w.services.names.make_links(c, [Link("/vo/l", "f"), Link("/new/l", "x")], dry_run=dry),
    ),
    "register": (
        "register",
        lambda w, c, dry: w.services.registrar.register(c, [file("/new/a/b", 1, "one"), file("/vo/f", 5)], dry_run=dry),
    ),
    "register more replicas": (
        "register",
        lambda w, c, dry: w.services.registrar.register(c, [file("/vo/g", 6, "one", "two")], dry_run=dry),
    ),
    "register with ancestors": (
        "register",
        lambda w, c, dry: w.services.registrar.register(
            c, [file("/vo/n", 1, guid=GUID, ancestors=["/vo/f"])], dry_run=dry
        ),
    ),
    "move": (
        "move",
        lambda w, c, dry: w.services.tree.move(c, [Move("/vo/f", "/vo/d"), Move("/vo/d/e", "/e")], dry_run=dry),
    ),
    "remove": ("remove", lambda w, c, dry: w.services.trash.remove(c, ["/vo/f", "/vo/d"], recursive=True, dry_run=dry)),
    "restore": ("restore", lambda w, c, dry: w.services.trash.restore(c, [TRASH["/vo/gone"]], to="/back", dry_run=dry)),
    "purge": ("purge", lambda w, c, dry: w.services.trash.purge(c, [TRASH["/vo/dir"]], dry_run=dry)),
    "chmod": (
        "attributes",
        lambda w, c, dry: w.services.attributes.set(
            c, SetAttributes(["/vo"], mode=0o700, acl_set=["default:user:bob:rwx"], recursive=True, dry_run=dry)
        ),
    ),
    "chown": (
        "attributes",
        lambda w, c, dry: w.services.attributes.set(c, SetAttributes(["/vo/f", "/vo/d"], owner="bob", dry_run=dry)),
    ),
    "comment": (
        "attributes",
        lambda w, c, dry: w.services.attributes.set(c, SetAttributes(["/vo/f"], comment="c", dry_run=dry)),
    ),
    "metadata": (
        "metadata",
        lambda w, c, dry: w.services.values.set(
            c, SetMetadata([NameValues("/vo/d", {"k": 1}), NameValues("/vo/f", {"k": 2})], dry_run=dry)
        ),
    ),
    "fields": (
        "field.add",
        lambda w, c, dry: w.services.fields.declare(c, [FieldSpec("vo", "new", FieldType.INT)], dry_run=dry),
    ),
    "ancestors": (
        "ancestors.add",
        lambda w, c, dry: w.services.provenance.add(c, [Ancestry("/vo/f", ["/vo/g"])], dry_run=dry),
    ),
    "members": ("dataset.add", lambda w, c, dry: w.services.lists.add_files(c, Members("/vo/list", ["/vo/g"], dry))),
    "add replica": (
        "replica.add",
        lambda w, c, dry: w.services.changes.register(c, [ReplicaRef("/vo/g", "more", note="n")], dry_run=dry),
    ),
    "replica state": (
        "replica.state",
        lambda w, c, dry: w.services.changes.set_state(
            c, [ReplicaRef("/vo/f", "one", state=ReplicaState.LOST, note="n")], dry_run=dry
        ),
    ),
    "drop replica": (
        "replica.drop",
        lambda w, c, dry: w.services.changes.drop(c, [ReplicaRef("/vo/f", "one")], dry_run=dry),
    ),
}


async def _new_token(world: World, caller: Caller, dry: bool) -> None:
    made = await world.services.access.make_token(caller, TokenSpec(name="made"))
    await world.services.access.remove_token(caller, made.id)


async def _alias(world: World, caller: Caller, dry: bool) -> None:
    await world.services.names.set_alias(caller, Alias("/x", "/y"))
    await world.services.names.remove_alias(caller, "/x")


async def _element(world: World, caller: Caller, dry: bool) -> None:
    await world.services.elements.add(caller, ElementSpec("three", "memory"))
    await world.services.elements.change(caller, "three", ElementChange(cost=7))
    await world.services.elements.remove(caller, "three")


async def _people(world: World, caller: Caller, dry: bool) -> None:
    people = world.services.people
    await people.add_group(caller, GroupSpec("new"))
    await people.add_user(caller, UserSpec("new", ["new"]))
    await people.change_user(caller, "new", UserChange(email="new@example.org"))
    await people.remove_principal(caller, "u", "new")
    await people.remove_principal(caller, "g", "new")
    await people.set_vo(caller, VOSpec("new"))
    await people.remove_vo(caller, "new")


async def _fields(world: World, caller: Caller, dry: bool) -> None:
    fields, trees = world.services.fields, world.services.open_trees
    await fields.declare(caller, [FieldSpec("vo", "new", FieldType.INT)])
    await fields.change(caller, "vo", "new", FieldChange(name="newer"))
    await fields.set_index(caller, "vo", "newer", on=True)
    await fields.remove(caller, "vo", "newer")
    await trees.open(caller, "/vo")
    await trees.close(caller, "/vo")


async def _datasets(world: World, caller: Caller, dry: bool) -> None:
    sets, lists, snapshots = world.services.datasets, world.services.lists, world.services.snapshots
    await world.register(caller, file("/vo/g"))
    await sets.create(caller, NewDataset("/vo/set", lfns=["/vo/g"]))
    await sets.change(caller, DatasetChange("/vo/set", description="x"))
    await snapshots.freeze(caller, Freeze("/vo/set"))
    await snapshots.change(caller, SnapshotChange("/vo/set@1", note="x"))
    await snapshots.change(caller, SnapshotChange("/vo/set@1", release=True))
    await lists.remove_files(caller, Members("/vo/set", ["/vo/g"]))
    await sets.remove(caller, "/vo/set")


SINGLE: dict[str, tuple[list[str], Change]] = {
    "tokens": (["token.add", "token.remove"], _new_token),
    "aliases": (["alias.set", "alias.remove"], _alias),
    "elements": (["element.add", "element.set", "element.remove"], _element),
    "metadata": (["field.add", "field.set", "field.index", "field.remove", "tree.open", "tree.close"], _fields),
    "data sets": (
        [
            "mkdir",
            "register",
            *(f"dataset.{a}" for a in ("create", "set", "freeze", "annotate", "release", "remove-files", "remove")),
        ],
        _datasets,
    ),
    "people": (["group.add", "user.add", "user.change", "user.remove", "group.remove", "vo.set", "vo.remove"], _people),
}
