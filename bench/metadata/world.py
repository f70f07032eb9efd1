"""What searches are measured on: a VO whose tree has values on four levels of directories and on every file.

    /bench/c00 .. c19      campaigns: `campaign`, `energy` (five by turns, so that each has four campaigns)
      /t0 .. t4            `stream`
        /r0 .. r4          `release`
          /d000 ...        `run`, `quality`; a hundred files in each
            <37 characters>.root     `events` (indexed), `luminosity`, `checked`, `taken`, `tag`
    /bench/own             the asker's: 1,000 files in ten directories whose values are set again and again

All is made by `producer`; the asker is `bench`, no administrator and of another group. c17 lets bench in by an ACL, which
its files have too; c18 is closed to bench; of c19 bench may list the directories and read none of the files.

Everything here goes through the API; of the campaigns' files only the first of each, which `load` takes as example.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lading.model.api import MakeDirectories, Register, SetAttributes
from lading.model.field import FieldSpec, FieldType
from lading.model.file import FileSpec
from lading.model.metadata import DeclareFields, NameValues, SetMetadata
from lading.model.outcome import Outcomes
from lading.model.people import GroupSpec, UserSpec, VOSpec

from ..client import Client
from ..host import Host
from ..world import PER_DIRECTORY, World, done, elements, name, registered, spec, token

CAMPAIGNS, STREAMS, RELEASES = 20, 5, 5
STEP = CAMPAIGNS * STREAMS * RELEASES * PER_DIRECTORY
ENERGIES = (5.02, 7.0, 8.0, 13.0, 13.6)
ACL, CLOSED, UNREADABLE = 17, 18, 19
DIRECTORY_FIELDS = {
    "campaign": FieldType.STRING,
    "energy": FieldType.FLOAT,
    "stream": FieldType.STRING,
    "release": FieldType.STRING,
    "run": FieldType.INT,
    "quality": FieldType.STRING,
}
FILE_FIELDS = {
    "events": FieldType.INT,
    "luminosity": FieldType.FLOAT,
    "checked": FieldType.BOOL,
    "taken": FieldType.TIMESTAMP,
    "tag": FieldType.STRING,
}
EVENTS = 500_000  # values of `events` are below
OWN = [f"/bench/own/d{d}/{name(d, n)}" for d in range(10) for n in range(PER_DIRECTORY)]
_declared = msgspec.json.Decoder(Outcomes[Any])
_CALL = 1000  # names


def leaves(files: int) -> list[str]:
    """The leaf directories of so many files, in the order of their numbers."""
    each = files // STEP
    return [
        f"/bench/c{c:02d}/t{t}/r{r}/d{d:03d}"
        for c in range(CAMPAIGNS)
        for t in range(STREAMS)
        for r in range(RELEASES)
        for d in range(each)
    ]


async def settle(host: Host, files: int) -> World:
    """The world without the bulk of its files; found again if it is there."""
    async with Client(host.url, host.admin) as admin:
        new = await elements(admin, host.data)
        if new:
            await _people(admin)
        world = World(host, await token(admin, "bench"), await token(admin, "producer"))
        if new:
            async with world.client(producer=True) as producer:
                await _tree(admin, producer, files)
            async with world.client() as bench:
                await bench.bulk("/v1/files/register", Register([spec(lfn) for lfn in OWN]), registered)
    return world


async def _people(admin: Client) -> None:
    await admin.call("POST", "/v1/vos", VOSpec("bench"))
    for group in ("bench-users", "bench-prod"):
        await admin.call("POST", "/v1/groups", GroupSpec(group, vo="bench"))
    await admin.call("POST", "/v1/users", UserSpec("bench", ["bench-users"]))
    await admin.call("POST", "/v1/users", UserSpec("producer", ["bench-prod"]))
    fields = [FieldSpec("bench", n, t) for n, t in (DIRECTORY_FIELDS | FILE_FIELDS).items()]
    await admin.bulk("/v1/fields", DeclareFields(fields), _declared)
    await admin.bulk("/v1/directories/make", MakeDirectories(["/bench/own"]), done)
    await admin.bulk("/v1/attributes", SetAttributes(["/bench/own"], owner="bench", group="bench-users"), done)
    changed = SetAttributes(["/bench"], owner="producer", group="bench-prod", mode=0o755)
    await admin.bulk("/v1/attributes", changed, done)


async def _tree(admin: Client, producer: Client, files: int) -> None:
    """Rights first, then values from the top down: what is made below has them from the start."""
    for c in range(CAMPAIGNS):
        await producer.bulk("/v1/directories/make", MakeDirectories([f"/bench/c{c:02d}"], mode=0o755), done)
    acl = ["group:bench-users:r-x", "default:user::rwx", "default:group::r-x", "default:group:bench-users:r-x",
           "default:mask::rwx", "default:other::---"]  # fmt: skip
    await producer.bulk("/v1/attributes", SetAttributes([f"/bench/c{ACL}"], mode=0o750, acl=acl), done)
    await producer.bulk("/v1/attributes", SetAttributes([f"/bench/c{CLOSED}"], mode=0o700), done)
    dirs = leaves(files)
    for depth in (2, 3, 4, 5):  # parts of a path
        tops = list(dict.fromkeys("/".join(path.split("/")[: depth + 1]) for path in dirs))
        for at in range(0, len(tops), _CALL):
            some = tops[at : at + _CALL]
            await producer.bulk("/v1/directories/make", MakeDirectories(some), done)
            items = [NameValues(path, _values(path, at + n)) for n, path in enumerate(some)]
            await producer.bulk("/v1/metadata", SetMetadata(items), done)
    each = len(dirs) // CAMPAIGNS
    for c in range(CAMPAIGNS):
        await producer.bulk("/v1/files/register", Register([first(dirs[c * each], c)]), registered)


def _values(path: str, number: int) -> dict[str, Any]:
    """Of the directory with this number on its level."""
    parts = path.split("/")[2:]
    if len(parts) == 1:
        return {"campaign": parts[0], "energy": ENERGIES[number % len(ENERGIES)]}
    if len(parts) == 4:
        return {"run": 300_000 + number, "quality": ("good", "bad", "unchecked")[number % 3]}
    return {("stream" if len(parts) == 2 else "release"): parts[-1]}


def first(directory: str, campaign: int) -> FileSpec:
    """The first file of a campaign's first directory: a name that no other file has."""
    values = {"events": 0, "luminosity": 0.5, "checked": True, "taken": "2026-01-01T00:00:00Z", "tag": "tag00"}
    made = spec(f"{directory}/{name(campaign, 999_999)}")
    made.metadata = values
    made.mode = 0o600 if campaign == UNREADABLE else 0o644 if campaign != ACL else None
    return made
