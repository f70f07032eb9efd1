"""What is measured on: people, rights, elements, a tree of a hundred files a directory, one directory of 100,000 entries.

    /bench                 the administrator's, mode 0750; its ACL lets the group bench-prod write, defaults inherited
    /bench/prod/c0000/r00000/d0000000/<37 characters>.root     half made by `bench`, half by `producer`
    /bench/flat/...        100,000 entries
    /bench/archive         another owner's rights: moving below it works rights out again

Everything is measured as the user `bench`: no administrator, and let in by the ACL nearly everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from struct import unpack

import asyncpg
import msgspec

from lading.model.api import MakeDirectories, Register, SetAttributes
from lading.model.element import ElementSpec
from lading.model.file import FileSpec, Registered, ReplicaSpec
from lading.model.outcome import Outcomes
from lading.model.people import GroupSpec, NewToken, TokenSpec, UserSpec

from .client import Client
from .host import Host, end, serve
from .timing import drive

PER_DIRECTORY = 100
FLAT = 100_000
ELEMENTS = 40
ACL = [
    "group:bench-prod:rwx", "default:user::rwx", "default:group::r-x", "default:group:bench-prod:rwx",
    "default:mask::rwx", "default:other::---",
]  # fmt: skip
registered = msgspec.json.Decoder(Outcomes[Registered])
done = msgspec.json.Decoder(Outcomes[None])


@dataclass
class World:
    """The loaded catalogue, and how to reach it. `dirs` are the leaf directories' ids in order."""

    host: Host
    token: str
    producer: str
    files: int = 0
    dirs: list[int] | None = None

    def client(self, connections: int = 1, url: str = "", *, producer: bool = False) -> Client:
        return Client(url or self.host.url, self.producer if producer else self.token, connections)

    async def database(self) -> asyncpg.Connection[asyncpg.Record]:
        """A connection as the raw limits have it: prepared statements, no JIT, the server's own settings."""
        return await asyncpg.connect(self.host.dsn, server_settings={"jit": "off"})

    @property
    def directories(self) -> int:
        return self.files // PER_DIRECTORY


def directory(number: int) -> str:
    return f"/bench/prod/c{number // 1000:04d}/r{number // 50:05d}/d{number:07d}"


def name(directory: int, number: int) -> str:
    """37 characters."""
    return f"mc26_13TeV.{directory:08d}.evgen.{number:06d}.root"


def element(number: int) -> str:
    return f"SE-{number:02d}-disk"


def spec(lfn: str) -> FileSpec:
    """A file with what a job knows: size, checksum, two copies where the layout puts them. The server makes the GUID.

    The same LFN is the same file, so a load that was broken off goes on.
    """
    size, adler32, first, more = unpack("<IIHH", blake2b(lfn.encode(), digest_size=12).digest())
    one = first % ELEMENTS
    other = (one + 1 + more % (ELEMENTS - 1)) % ELEMENTS
    copies = [ReplicaSpec(element(one)), ReplicaSpec(element(other))]
    return FileSpec(lfn, size, checksums={"adler32": f"{adler32:08x}"}, replicas=copies)


async def settle(host: Host) -> World:
    """People, rights and elements; found again if they are there. Then whatever was loaded before."""
    async with Client(host.url, host.admin) as admin:
        if await elements(admin, host.data):
            await _people(admin)
        world = World(host, await token(admin, "bench"), await token(admin, "producer"))
    await _count(world)
    return world


async def elements(admin: Client, data: Path) -> bool:
    """Make the elements that are not there; True when none was."""
    known = {e["name"] for e in msgspec.json.decode(await admin.call("GET", "/v1/elements"))}
    for n in range(ELEMENTS):
        if element(n) not in known:
            folder = data / "elements" / element(n)
            folder.mkdir(parents=True, exist_ok=True)
            site = ("LYON", "CERN", "NIKHEF", "RAL")[n % 4]
            await admin.call("POST", "/v1/elements", ElementSpec(element(n), "posix", {"path": str(folder)}, site=site))
    return not known


async def _people(admin: Client) -> None:
    for group in ("bench-users", "bench-prod", "bench-archive"):
        await admin.call("POST", "/v1/groups", GroupSpec(group))
    await admin.call("POST", "/v1/users", UserSpec("bench", ["bench-users", "bench-prod", "bench-archive"]))
    await admin.call("POST", "/v1/users", UserSpec("producer", ["bench-prod"]))
    await admin.bulk("/v1/directories/make", MakeDirectories(["/bench/archive"]), done)
    await admin.bulk("/v1/attributes", SetAttributes(["/bench"], mode=0o750, acl=ACL), done)
    await admin.bulk("/v1/attributes", SetAttributes(["/bench/archive"], mode=0o770, group="bench-archive"), done)
    await admin.bulk("/v1/directories/make", MakeDirectories(["/bench/prod", "/bench/flat"]), done)


async def token(admin: Client, user: str) -> str:
    made = await admin.call("POST", "/v1/tokens", TokenSpec(user=user, scopes=["read", "write"], seconds=7 * 86400))
    return msgspec.json.decode(made, type=NewToken).token


async def _count(world: World) -> None:
    connection = await world.database()
    rows = await connection.fetch("select id from dir where path like '/bench/prod/c%/r%/d%' order by path")
    await connection.close()
    world.dirs = [r[0] for r in rows]
    world.files = len(rows) * PER_DIRECTORY


async def load(world: World, files: int) -> float:
    """Bring the tree to so many files through the API: two server processes, four connections, 1,000 files a call.

    Files per second; 0 when they were there.
    """
    wanted = list(_loads(world.directories, files // PER_DIRECTORY))
    if not wanted:
        return 0.0
    url, processes = await serve(world.host, 2)
    try:
        async with world.client(4, url) as bench, world.client(4, url, producer=True) as producer:

            async def one(call: tuple[int, list[FileSpec]]) -> None:
                await (producer if call[0] % 2 else bench).bulk("/v1/files/register", Register(call[1]), registered)

            seconds = await drive([one] * 4, wanted)
    finally:
        await end(processes)
    connection = await world.database()
    await connection.execute("vacuum (analyze)")
    await connection.execute("checkpoint")
    await connection.close()
    await _count(world)
    return sum(len(c[1]) for c in wanted) / seconds


def _loads(there: int, wanted: int) -> Iterator[tuple[int, list[FileSpec]]]:
    """Calls that bring `there` directories to `wanted`; the last of those there may be incomplete."""
    if not there:
        for at in range(0, FLAT, 1000):
            yield at // 1000, [spec(f"/bench/flat/{name(0, i)}") for i in range(at, at + 1000)]
    step = 1000 // PER_DIRECTORY
    if there < wanted:
        for first in range(max(0, there - 8 * step), wanted, step):
            numbers = range(first, min(first + step, wanted))
            yield first // step, [spec(f"{directory(d)}/{name(d, i)}") for d in numbers for i in range(PER_DIRECTORY)]


def scratch(data: Path) -> Path:
    """A folder for the bytes that are moved."""
    folder = data / "scratch"
    folder.mkdir(exist_ok=True)
    return folder
