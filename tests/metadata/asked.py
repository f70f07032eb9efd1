"""A random catalogue, and what a search of it must find: every row read, judged by `Rights` and by `evaluate`."""

from __future__ import annotations

import random
from typing import Any

from catalog.access.rights import REACH, R
from lading.model import lfn
from lading.model.file import FileStatus
from lading.model.principal import Caller
from lading.model.replica import STATES
from lading.model.search import Find
from metadata.language.bind import bind
from metadata.language.evaluate import Record, evaluate
from metadata.language.parse import parse
from metadata.standard import checksum_values, extension
from tests.catalog.world import World, file

TYPES = {"i": "int", "f": "float", "s": "string", "b": "bool", "t": "timestamp", "d": "date", "j": "json"}
VALUES: dict[str, list[Any]] = {
    "i": [-3, 0, 1, 2, 7, 2**53 + 1],
    "f": [-1.5, 0, 0.1, 1, 2.5, 1e22],
    "s": ["", "a", "b%_", "MRI", "mri", "é", "x\ny", "a*b"],
    "b": [True, False],
    "t": ["2024-01-01T00:00:00Z", "2024-01-01T23:59:59.999999Z", "2024-06-01T12:00:00.5Z", "1969-12-31T23:59:59.5Z"],
    "d": ["2024-01-01", "2024-06-01", "0001-01-01"],
    "j": [1, "a", True, [1, "a"], {"k": 1}, {"k": None}, {"k": {"l": "a"}}, {"k": [2, {"l": 3}]}, {}],
}
QUERIES = {
    "i": ["-3", "0", "1", "7", "1.5", "9007199254740993"],
    "f": ["-1.5", "0", "0.1", "1", "3", "1e22"],
    "s": ['""', '"a"', '"MRI"', '"mri"', '"é"', '"b%_"', '"x\\ny"'],
    "b": ["true", "false"],
    "t": ["2024-01-01", "2024-06-01", "2024-06-01T12:00:00.5Z", "now - 1d", "1970-01-01"],
    "d": ["2024-01-01", "2024-06-01", "0001-01-01"],
    "j": ["1", '"a"', "true", "2", "0.5"],
}
PATTERNS = ['"*"', '"a*"', '"*R?"', '"[a-c]*"', '"b%_"', '"a\\*b"', '"?"', '"é"', '"x*y"']
EXPRESSIONS = ['"^a"', '"[A-Z]{2,}"', '"^$"', '"a|b"', '"x.y"', '"%"']


TOPS = ["/", "/vo", "/vo/a", "/other"]


async def populate(world: World, seed: int) -> None:
    """Directories and files with values on some of them, of several people, with modes and ACLs."""
    rng = random.Random(seed)
    await world.people(alice=["g1", "g2"], bob=["g2"], carol=["g3"], dora=["g1"])
    await world.vo("vo", "carol")
    await world.vo("other")
    await world.elements("se1", "se2")
    await world.declare(**TYPES)
    await world.declare("other", i="int", s="string")
    await world.services.open_trees.open(world.admin, "/vo/a")
    where = {name: rng.choice(["files", "dirs", "both", "both"]) for name in TYPES}
    dirs = ["/vo", "/other", *(f"/vo/{a}" for a in ("a", "a-b", "é", "x%_")), "/vo/a/b", "/vo/a/b/c", "/other/o"]
    await world.mkdir(world.admin, *dirs)
    files = []
    for number in range(90):
        name = rng.choice(["scan.nii.gz", "README", ".profile", "a.", "T1_x.nii", "é.txt", "%.dat"])
        path = lfn.join(rng.choice(dirs), f"{number % 7}{name}" if name[0] != "." else f"{name}{number}")
        sums = rng.choice(
            [{}, {"adler32": f"{number:08x}"}, {"md5": f"{number:032x}", "adler32": "ffffffff"}, {"sha1": "a" * 40}]
        )
        copies = rng.choice([[], ["se1"], ["se1", "se2"], ["se2"]])
        files.append(file(path, rng.randrange(5), *copies, checksums=sums, comment=rng.choice([None, "A test", "b"])))
    unique = {f.lfn: f for f in files}
    assert set(await world.register(world.admin, *unique.values())) == {"ok"}
    for path in [*dirs, *unique]:
        directory, names = path in dirs, TYPES if path.startswith("/vo") else ["i", "s"]
        values = {
            n: rng.choice(VALUES[n])
            for n in names
            if rng.random() < 0.4 and where[n] != ("files" if directory else "dirs")
        }
        if lfn.is_within(path, "/vo/a") and rng.random() < 0.6:
            values["u"] = rng.choice(VALUES["j"])
        if values:
            assert await world.describe(world.admin, {path: values}) == ["ok"]
        mode = rng.choice(
            [0o755, 0o750, 0o700, 0o711, 0o744, 0o777] if directory else [0o644, 0o640, 0o600, 0o604, 0o004]
        )
        acl = rng.choice(
            [
                None,
                None,
                ["user:bob:r-x"],
                ["user:bob:---", "group:g1:r-x"],
                ["group:g1:-wx"],
                ["group:g2:r-x", "mask::---"],
            ]
        )
        changes: dict[str, Any] = {
            "mode": mode,
            "owner": rng.choice(["alice", "bob", "admin"]),
            "group": rng.choice(["g1", "g2"]),
        }
        if path.count("/") == 1:
            changes = {"mode": 0o755}
        elif acl:
            changes["acl"] = acl
        assert await world.set(world.admin, path, **changes) in (["ok"], ["same"])


async def askers(world: World) -> list[Caller]:
    people = [await world.caller(name) for name in ("alice", "bob", "carol", "dora")]
    narrow = [
        await world.caller("alice", "read:/vo/a"),
        await world.caller("carol", "read:/vo/a", "admin:/vo/a/b"),
        await world.caller("bob", "write"),
    ]
    return [world.admin, *people, *narrow]


class Everything:
    """All rows of a catalogue as records, each with its path and who may see it."""

    def __init__(
        self, world: World, rows: list[Any], people: dict[int, str], elements: dict[int, str], fields: Any
    ) -> None:
        self._world = world
        self._fields = fields
        self.records = [(row, self._record(row, people, elements)) for row in rows]

    @classmethod
    async def read(cls, world: World) -> Everything:
        services = world.services
        async with services.database.read() as connection:
            rows = await connection.fetch(
                """select f.*, f.guid::text as guid_text, d.path as dir_path, d.access_id, d.eff,
                    own.path as own_path, own.access_id as own_access, own.eff as own_eff
                from file f left join dir d on d.id = f.dir_id left join dir own on own.id = f.id
                where f.kind < 2 and coalesce(own.path, d.path) like '/%'"""
            )
            ids = {r["access_id"] for r in rows if r["access_id"]} | {r["own_access"] for r in rows if r["own_access"]}
            await services.names.rights.load(connection, ids, {r["acl_id"] for r in rows})
            people = await services.access.names(connection)
            await services.elements.ready(connection)
            prepare = services.search.preparer
            fields = {
                top: (await prepare.fields(connection, top), await prepare.undeclared(connection, top)) for top in TOPS
            }
        return cls(world, rows, people, {e.id: e.name for e in services.elements.every()}, fields)

    def _record(self, row: Any, people: dict[int, str], elements: dict[int, str]) -> Record:
        directory = row["kind"] == 1
        path = row["own_path"] if directory else lfn.join(row["dir_path"], row["name"])
        sums = {} if row["adler32"] is None else {"adler32": f"{row['adler32'] & 0xFFFFFFFF:08x}"}
        sums |= dict(part.split(":") for part in (row["csum"] or "").split(",") if part)
        states = (
            [STATES[0].value] * len(row["se"]) if row["rstate"] is None else [STATES[s].value for s in row["rstate"]]
        )
        standard = {
            "lfn": path, "name": row["name"] or None, "dir": lfn.split(path)[0] or None, "ext": extension(row["name"]),
            "size": row["size"], "guid": row["guid_text"], "owner": people[row["owner_id"]], "group": people[row["group_id"]],
            "ctime": row["ctime"], "mtime": row["mtime"], "status": list(FileStatus)[row["status"] or 0].value,
            "kind": "directory" if directory else "file", "se": [elements[s] for s in row["se"]], "replicas": len(row["se"]),
            "state": states, "comment": row["comment"], **checksum_values(sums),
        }  # fmt: skip
        if directory:
            return Record({}, row["own_eff"], standard)
        return Record(row["meta"] or {}, row["eff"], standard)

    def visible(self, who: Caller, row: Any, path: str) -> bool:
        rights, principal = self._world.services.names.rights, who.principal
        place, access = (path, row["own_access"]) if row["kind"] == 1 else (row["dir_path"], row["access_id"])
        if rights.directory(principal, access, place) & (R | REACH) != R | REACH:
            return False
        if row["kind"] == 1:
            return True
        return bool(rights.entry(principal, path, row["owner_id"], row["group_id"], row["mode"], row["acl_id"]) & R)

    def answer(self, who: Caller, body: Find, now: int | None = None) -> list[str]:
        """The LFNs, in order of directory and name."""
        fields, undeclared = self._fields[body.under]
        tree = bind(parse(body.query), fields, now=now, undeclared=undeclared)
        found = []
        for row, record in self.records:
            path = record.standard["lfn"]
            place = path if row["kind"] == 1 else row["dir_path"]
            if (row["kind"] == 1) is not (body.kind.value == "directory") or not lfn.is_within(place, body.under):
                continue
            if evaluate(tree, record) and self.visible(who, row, path):
                found.append((place, "" if row["kind"] == 1 else row["name"], path))
        return [path for *_, path in sorted(found)]
