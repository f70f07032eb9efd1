"""The real services on a real PostgreSQL against the model: Hypothesis makes up sequences of calls, and both must agree.

A state machine is synchronous, so it has an event loop of its own. Every example has a fresh database, in which two people
act: alice, who owns `/a`, and bob, who owns nothing; both may write in `/open`. After every step everything that can be
seen through the services is compared, and the tables are checked by `invariants`.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lading.model import lfn
from lading.model.api import Link, Move
from lading.model.file import FileSpec, ReplicaSpec
from lading.model.outcome import Outcomes
from lading.model.principal import Caller
from lading.model.replica import ReplicaRef
from tests.postgres import Postgres

from .compare import compare_all, compare_one
from .model import AVAILABLE, DIRECTORY, FILE, IDENTITY, LOST, SUSPECT, Node
from .model_files import Catalogue
from .world import World, codes

ELEMENTS = ("one", "two", IDENTITY)


class Call(NamedTuple):
    who: str
    rehearse: bool  # a dry run first, which must promise what then comes


class Place(NamedTuple):
    """A path, made when its step comes: entry number `at` of all that are of a kind ('': any), and names below it."""

    kind: str
    at: int
    names: tuple[str, ...]


_CALL = st.builds(Call, st.sampled_from(("alice", "alice", "bob")), st.booleans())
_YES_OR_NO = st.booleans()
_PICK = st.integers(0, 60)
_NAME = st.sampled_from(("x", "y", "y.z", "ü"))  # "y.z" sorts between "y" and what is below "y"
_NO_NAME = st.just(())
_NEW = st.builds(Place, st.just(DIRECTORY), _PICK, st.tuples(_NAME))
_FILES, _DIRECTORIES, _THERE = (st.builds(Place, st.just(kind), _PICK, _NO_NAME) for kind in (FILE, DIRECTORY, ""))
_NAMES = st.one_of(st.tuples(_NAME), st.tuples(_NAME, _NAME))
_ODD = st.builds(Place, st.just(""), _PICK, st.one_of(_NAMES, _NAMES, _NAMES, st.just(("", "x"))))
_PLACE = st.one_of(_NEW, _FILES, _DIRECTORIES, _THERE, _ODD)
_TARGET = st.one_of(_PLACE, _NAME, st.sampled_from(("../x", "../../a/y", "y/../x", "/nowhere")))
_SE = st.sampled_from((*ELEMENTS, *ELEMENTS, "none"))
_STATE = st.sampled_from((AVAILABLE, SUSPECT, LOST))
_PFN = st.sampled_from((None, None, "p/1", "p/2"))
_GUID = st.sampled_from((None, None, *(f"0190a0b2-7c3d-7e4f-8a1b-2c3d4e5f607{n}" for n in "123")))
_SUMS = st.sampled_from(({}, {"adler32": "80000001"}, {"adler32": "00000002"}, {"md5": "a" * 32}))
_MOSTLY, _KEEP = st.sampled_from((True, True, False)), st.sampled_from((None, None, 0))
_SOME = st.lists(st.one_of(_THERE, _FILES, _PLACE), min_size=1, max_size=3)
_COPIES = st.lists(st.tuples(_SE, _PFN, _STATE), max_size=3)
_FILE = st.tuples(st.one_of(_NEW, _NEW, _NEW, _ODD, _THERE), st.sampled_from((10, 10, 3)), _GUID, _SUMS, _COPIES)
_REF = st.tuples(st.one_of(_FILES, _FILES, _FILES, _PLACE), _SE, _PFN, _STATE)
_REFS = st.lists(_REF, min_size=1, max_size=2)


# What there is at first; and the first and the last of each person's lie in the trash too.
_FIRST = {"alice": ("/a/x/x", "/a/x/y", "/open/a", "/a/z/y"), "bob": ("/open/b/x", "/open/b/y", "/open/b/z/y")}


class Machine(RuleBasedStateMachine):
    def __init__(self, postgres: Postgres, runner: asyncio.Runner) -> None:
        super().__init__()
        self.run, self.postgres = runner.run, postgres
        self.folder = Path(tempfile.mkdtemp(prefix="lading-machine-"))
        self.world, self.people = self.run(self._start())
        alice, everyone = Node(DIRECTORY, "alice"), Node(DIRECTORY, "admin", open=True)
        self.model = Catalogue(ELEMENTS, {"a": alice, "open": everyone})
        for who, names in _FIRST.items():
            specs = [FileSpec(n, 10, replicas=[ReplicaSpec(se) for se in ELEMENTS[at:]]) for at, n in enumerate(names)]
            self._register(Call(who, False), specs, True)
            self._remove(Call(who, False), [names[0], lfn.split(names[-1])[0]], True, None)
            self._register(Call(who, False), specs[:1], True)

    async def _start(self) -> tuple[World, dict[str, Caller]]:
        world = World(await self.postgres.create(), self.folder, pool=2)
        alice, bob = await world.people(alice=["staff"], bob=["guests"])
        await world.elements("one", "two")
        await world.elements(IDENTITY, layout="identity")
        await world.mkdir(world.admin, "/a", "/open", mode=0o777)
        await world.set(world.admin, "/a", owner="alice", group="staff", mode=0o755)
        return world, {"alice": alice, "bob": bob}

    def teardown(self) -> None:
        self.run(self._end())
        shutil.rmtree(self.folder)

    async def _end(self) -> None:
        await self.world.close()
        await self.postgres.drop(self.world.dsn)

    def path(self, place: Place) -> str:
        root, *below = self.model.all()
        every = [path for path, node in below if place.kind in ("", node.kind)]
        base = [*every, root[0]][place.at % (len(every) + (place.kind != FILE or not every))]
        return "/".join((base.rstrip("/"), *place.names)) or "/"

    def owner(self, path: str) -> str:
        owner = self.model.find(path, follow=False).node.owner
        return owner if owner in self.people else "alice"

    def items(self, who: str, picks: list[int]) -> list[int]:
        """What these pick of the trash, mostly of one's own; when it is empty, what is not in it."""
        every = sorted(self.model.trash)
        own = [item for item in every if self.model.trash[item].by == who] or every
        return [(of := own if p % 6 else every)[p % len(of)] if every else p for p in picks]

    def act(
        self, call: Call, change: Callable[[Caller, bool], Awaitable[Outcomes[Any]]], *what: object
    ) -> Outcomes[Any]:
        """Do it, after a rehearsal where one is asked for."""
        note(f"{call.who}: {what}")
        promised = [codes(self.run(_answer(change(self.people[call.who], True))))] if call.rehearse else []
        outcomes = self.run(_answer(change(self.people[call.who], False)))
        assert promised in ([], [codes(outcomes)])
        return outcomes

    @invariant()
    def all_is_as_the_model_has_it(self) -> None:
        self.run(compare_all(self.world, self.model, self.people))

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(place=_PLACE, follow=_YES_OR_NO)
    def look(self, place: Place, follow: bool) -> None:
        note(self.path(place))
        self.run(compare_one(self.world, self.model, self.people["alice"], self.path(place), follow=follow))

    # ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(call=_CALL, places=st.lists(_PLACE, min_size=1, max_size=3), parents=_YES_OR_NO)
    def mkdir(self, call: Call, places: list[Place], parents: bool) -> None:
        paths = [self.path(p) for p in places]
        make = self.world.services.names.make_directories
        outcomes = self.act(call, lambda c, dry: make(c, paths, parents=parents, dry_run=dry), paths)
        assert codes(outcomes) == self.model.mkdir(call.who, paths, parents)

    @rule(call=_CALL, pairs=st.lists(st.tuples(_NEW, _TARGET), min_size=1, max_size=2), parents=_YES_OR_NO)
    def link(self, call: Call, pairs: list[tuple[Place, Place | str]], parents: bool) -> None:
        links = [Link(self.path(at), to if isinstance(to, str) else self.path(to)) for at, to in pairs]
        make = self.world.services.names.make_links
        outcomes = self.act(call, lambda c, dry: make(c, links, parents=parents, dry_run=dry), links)
        assert codes(outcomes) == self.model.link(call.who, links, parents)

    @rule(call=_CALL, source=_THERE, goal=_NEW)
    def move(self, call: Call, source: Place, goal: Place) -> None:
        self._move(call, self.path(source), self.path(goal))

    @rule(call=_CALL, source=_PLACE, goal=_PLACE)
    def move_anything(self, call: Call, source: Place, goal: Place) -> None:
        self._move(call, self.path(source), self.path(goal))

    @rule(rehearse=_YES_OR_NO, source=_DIRECTORIES, top=st.sampled_from(("/a", "/open")), name=_NAME)
    def move_own(self, rehearse: bool, source: Place, top: str, name: str) -> None:
        """A directory, by whoever made it: so that many do go, and to a place with other rights."""
        path = self.path(source)
        self._move(Call(self.owner(path), rehearse), path, f"{top}/{name}")

    def _move(self, call: Call, source: str, target: str) -> None:
        moves = [Move(source, target)]
        outcomes = self.act(call, lambda c, dry: self.world.services.tree.move(c, moves, dry_run=dry), moves)
        assert codes(outcomes) == [self.model.code_of_move(call.who, moves[0])]

    @rule(call=_CALL, pairs=st.lists(st.tuples(_THERE, st.one_of(_NEW, _DIRECTORIES, _THERE)), min_size=2, max_size=4))
    def move_many(self, call: Call, pairs: list[tuple[Place, Place]]) -> None:
        """What a call of many did, it did as so many calls of one would have. (It may refuse what those would not.)"""
        moves = [Move(self.path(source), self.path(target)) for source, target in pairs]
        outcomes = self.act(call, lambda c, dry: self.world.services.tree.move(c, moves, dry_run=dry), moves)
        for one, done in zip(moves, codes(outcomes), strict=True):
            assert done not in ("ok", "same") or self.model.code_of_move(call.who, one) == done

    @rule(call=_CALL, places=_SOME, recursive=_MOSTLY, keep=_KEEP)
    def remove(self, call: Call, places: list[Place], recursive: bool, keep: int | None) -> None:
        self._remove(call, [self.path(p) for p in places], recursive, keep)

    @rule(call=_CALL, place=_FILES, order=st.permutations(range(3)), recursive=_MOSTLY, keep=_KEEP)
    def remove_kin(self, call: Call, place: Place, order: list[int], recursive: bool, keep: int | None) -> None:
        """A file and directories above it, in any order."""
        path = self.path(place)
        kin = [path, *reversed(lfn.parents(path))]
        self._remove(call, [kin[n] for n in order if n < len(kin)], recursive, keep)

    def _remove(self, call: Call, paths: list[str], recursive: bool, keep: int | None) -> None:
        remove = self.world.services.trash.remove
        outcomes = self.act(call, lambda c, dry: remove(c, paths, recursive=recursive, keep=keep, dry_run=dry), paths)
        expected, gone = self.model.remove(call.who, paths, recursive)
        assert codes(outcomes) == expected
        items = [o.value for o in outcomes.outcomes if o.value]
        assert [(i.lfn, (i.files, i.bytes)) for i in items] == [(t.path, t.usage) for t in gone]
        for item, trashed in zip(items, gone, strict=True):
            trashed.expired = keep == 0
            self.model.trash[item.id] = trashed

    @rule(call=_CALL, picks=st.lists(_PICK, min_size=1, max_size=2), to=st.one_of(st.none(), st.none(), _THERE, _NEW))
    def restore(self, call: Call, picks: list[int], to: Place | None) -> None:
        ids, into = self.items(call.who, picks), None if to is None else self.path(to)
        restore = self.world.services.trash.restore
        outcomes = self.act(call, lambda c, dry: restore(c, ids, to=into, dry_run=dry), ids, into)
        found = [o.error.code if o.error else o.value for o in outcomes.outcomes]
        assert found == self.model.restore(call.who, ids, into)

    @rule(call=_CALL, picks=st.lists(_PICK, min_size=1, max_size=2))
    def purge(self, call: Call, picks: list[int]) -> None:
        ids = self.items(call.who, picks)
        purge = self.world.services.trash.purge
        outcomes = self.act(call, lambda c, dry: purge(c, ids, dry_run=dry), ids)
        assert codes(outcomes) == self.model.purge(call.who, ids)

    @rule(deletes=_YES_OR_NO)
    def clean(self, deletes: bool) -> None:
        """The cleaner empties the trash; and goes on to the objects."""
        while self.run(self.world.services.cleaner._empty_trash()):
            pass
        self.model.empty_trash()
        if deletes:
            self.all_is_as_the_model_has_it()
            self.run(self.world.clean())
            self.model.deletions.clear()

    # ── files and replicas ───────────────────────────────────────────────────────────────────────────────────────────

    @rule(call=_CALL, files=st.lists(_FILE, min_size=1, max_size=4), parents=_YES_OR_NO)
    def register(self, call: Call, files: list[tuple[Any, ...]], parents: bool) -> None:
        specs = [FileSpec(self.path(at), size, guid, sums, _specs(copies)) for at, size, guid, sums, copies in files]
        self._register(call, specs, parents)

    @rule(call=_CALL, files=st.lists(st.tuples(_PICK, _COPIES), min_size=1, max_size=2))
    def register_again(self, call: Call, files: list[tuple[int, list[Any]]]) -> None:
        """What is there already, perhaps with more replicas."""
        every = [(path, node) for path, node in self.model.all() if node.guid]
        there = [(*every[at % len(every)], copies) for at, copies in files if every]
        specs = [FileSpec(path, node.size, node.guid, node.checksums, _specs(copies)) for path, node, copies in there]
        self._register(call, specs, True)

    def _register(self, call: Call, specs: list[FileSpec], parents: bool) -> None:
        register = self.world.services.registrar.register
        outcomes = self.act(call, lambda c, dry: register(c, specs, parents=parents, dry_run=dry), specs)
        expected, nodes = self.model.register(call.who, specs, parents)
        assert codes(outcomes) == expected
        for outcome, node in zip(outcomes.outcomes, nodes, strict=True):
            if node is not None and outcome.value:
                node.guid = node.guid or outcome.value.guid
                assert outcome.value.guid == node.guid

    @rule(call=_CALL, refs=_REFS)
    def add_replicas(self, call: Call, refs: list[tuple[Place, str, Any, Any]]) -> None:
        self._replicas(call, refs, "register", self.model.add_replicas)

    @rule(call=_CALL, refs=_REFS)
    def set_state(self, call: Call, refs: list[tuple[Place, str, Any, Any]]) -> None:
        self._replicas(call, refs, "set_state", self.model.set_state)

    @rule(call=_CALL, refs=_REFS, keep_bytes=_YES_OR_NO, force=_YES_OR_NO)
    def drop(self, call: Call, refs: list[tuple[Place, str, Any, Any]], keep_bytes: bool, force: bool) -> None:
        self._replicas(call, refs, "drop", self.model.drop, keep_bytes=keep_bytes, force=force)

    @rule(place=_FILES, se=st.sampled_from(ELEMENTS), rehearse=_YES_OR_NO)
    def drop_and_tell_again(self, place: Place, se: str, rehearse: bool) -> None:
        """By the owner: an object that waited for its deletion is wanted again."""
        call, refs = Call(self.owner(self.path(place)), rehearse), [(place, se, None, AVAILABLE)]
        self._replicas(call, refs, "drop", self.model.drop, keep_bytes=False, force=True)
        self.all_is_as_the_model_has_it()
        self._replicas(call, refs, "register", self.model.add_replicas)

    def _replicas(
        self, call: Call, refs: list[tuple[Place, str, Any, Any]], name: str, model: Any, **how: bool
    ) -> None:
        named = [ReplicaRef(self.path(at), se, pfn, state, "a note") for at, se, pfn, state in refs]
        change = getattr(self.world.services.changes, name)
        outcomes = self.act(call, lambda c, dry: change(c, named, dry_run=dry, **how), name, named, how)
        assert codes(outcomes) == model(call.who, named, **how)


def _specs(copies: list[tuple[str, str | None, Any]]) -> list[ReplicaSpec]:
    return [ReplicaSpec(se, pfn, state.value) for se, pfn, state in copies]


async def _answer(call: Awaitable[Outcomes[Any]]) -> Outcomes[Any]:
    return await call
