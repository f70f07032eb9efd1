"""What the catalogue should do, in a few dictionaries: the model that `machine` holds the real services against.

Every change answers a code per item, as `world.codes` words them: `ok`, `same`, or the code of the error. Rights are the
simplest that still tell two people apart: who made a directory may change it, an `open` one anybody may, all may read all.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lading.model import lfn
from lading.model.api import Link, Move
from lading.model.replica import ReplicaState

AVAILABLE, SUSPECT, LOST = ReplicaState.AVAILABLE, ReplicaState.SUSPECT, ReplicaState.LOST
FILE, DIRECTORY, LINK = "file", "directory", "link"
IDENTITY = "tree"  # the one element whose layout follows the LFN: a replica there remembers its PFN
HOPS = 5

Usage = tuple[int, int, dict[str, tuple[int, int]], int]
"""(files, bytes, {element: (replicas, bytes)}, directories below)"""


class Refused(Exception):
    """The code of the error."""


@dataclass(eq=False)
class Node:
    kind: str
    owner: str
    size: int = 0
    guid: str = ""  # of a new file: learnt from the answer
    checksums: dict[str, str] = field(default_factory=dict)
    replicas: dict[str, tuple[ReplicaState, str | None]] = field(default_factory=dict)
    target: str = ""
    children: dict[str, Node] = field(default_factory=dict)
    open: bool = False

    def pfn(self, element: str) -> str:
        return self.replicas[element][1] or f"{self.guid[-2:]}/{self.guid[-4:-2]}/{self.guid}"

    def below(self, path: str) -> Iterator[tuple[str, Node]]:
        """Every entry below this one, which is at `path`."""
        for name, child in sorted(self.children.items()):
            at = lfn.join(path, name)
            yield at, child
            yield from child.below(at)

    def usage(self) -> Usage:
        every = [self, *(n for _, n in self.below("/"))]
        files = [n for n in every if n.kind == FILE]
        elements: dict[str, tuple[int, int]] = {}
        for node in files:
            for element in node.replicas:
                n, b = elements.get(element, (0, 0))
                elements[element] = (n + 1, b + node.size)
        directories = sum(n.kind == DIRECTORY for n in every[1:])
        return len(files), sum(n.size for n in files), elements, directories


@dataclass(eq=False)
class Trashed:
    node: Node
    path: str
    by: str
    usage: tuple[int, int]
    expired: bool = False


@dataclass
class Spot:
    """Where a path leads: the deepest entry there is, its true path, and the names that are missing below it."""

    path: str
    node: Node
    missing: list[str]


def code(call: Callable[[], bool]) -> str:
    """The code of a change that answers whether it changed anything."""
    try:
        return "ok" if call() else "same"
    except Refused as refused:
        return str(refused)


class Model:
    def __init__(self, elements: Sequence[str], roots: dict[str, Node]) -> None:
        self.elements = elements
        self.root = Node(DIRECTORY, "admin", children=dict(roots))
        self.trash: dict[int, Trashed] = {}
        self.deletions: Counter[tuple[str, str]] = Counter()  # objects (element, PFN) to be deleted

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def all(self) -> list[tuple[str, Node]]:
        return [("/", self.root), *self.root.below("/")]

    def walk(self, path: str, *, follow: bool = True) -> Spot:
        """As far as there is something. Raises Refused for what is no LFN, and for too many links."""
        if "//" in path:
            raise Refused("invalid_request")
        for _hop in range(HOPS + 1):
            spot = self._walk(path, follow)
            if isinstance(spot, Spot):
                return spot
            path = spot
        raise Refused("not_found")

    def _walk(self, path: str, follow: bool) -> Spot | str:
        node, at, parts = self.root, "/", [p for p in path.split("/") if p]
        for n, name in enumerate(parts):
            child = node.children.get(name)
            if child is None:
                return Spot(at, node, parts[n:])
            if child.kind == LINK and (follow or n + 1 < len(parts)):
                there = posixpath.normpath(lfn.join(at, child.target) if child.target[0] != "/" else child.target)
                return posixpath.join("/" + there.lstrip("/"), *parts[n + 1 :])
            node, at = child, lfn.join(at, name)
        return Spot(at, node, [])

    def find(self, path: str, *, follow: bool = True) -> Spot:
        spot = self.walk(path, follow=follow)
        if spot.missing:
            raise Refused("not_found")
        return spot

    def directory(self, path: str) -> Spot:
        spot = self.find(path)
        if spot.node.kind != DIRECTORY:
            raise Refused("not_found")
        return spot

    def may_write(self, who: str, directory: Node) -> None:
        if not directory.open and directory.owner != who:
            raise Refused("forbidden")

    def _parent(self, path: str) -> Node:
        return self.find(lfn.split(path)[0]).node

    # ── directories and links ────────────────────────────────────────────────────────────────────────────────────────

    def make(self, who: str, paths: Sequence[str], parents: bool = True) -> dict[str, Spot | Refused]:
        """Directories with all above them; every path is judged as things were before the call."""
        found: dict[str, Spot | Refused] = {}
        for path in paths:
            try:
                spot = self.walk(path)
                if spot.node.kind != DIRECTORY:
                    raise Refused("conflict")
                if len(spot.missing) > 1 and not parents:
                    raise Refused("not_found")
                if spot.missing:
                    self.may_write(who, spot.node)
                found[path] = spot
            except Refused as refused:
                found[path] = refused
        for spot_ in found.values():
            if isinstance(spot_, Spot):
                for name in spot_.missing:
                    spot_.node = spot_.node.children.setdefault(name, Node(DIRECTORY, who))
                    spot_.path = lfn.join(spot_.path, name)
        return found

    def mkdir(self, who: str, paths: Sequence[str], parents: bool) -> list[str]:
        before = {node for _, node in self.all()}
        found = self.make(who, paths, parents)
        codes: list[str] = []
        for path in paths:
            spot = found[path]
            if isinstance(spot, Refused):
                codes.append(str(spot))
            elif spot.node not in before:
                codes.append("ok")
                if not parents:
                    before.add(spot.node)  # a second time it exists already
            else:
                codes.append("same" if parents else "conflict")
        return codes

    def parents(self, who: str, paths: Sequence[str], make: bool) -> list[tuple[Spot, str] | Refused]:
        """(directory, name) of each new entry."""
        wanted = [lfn.split(p)[0] for p in paths if "//" not in p and p != "/"]
        made = self.make(who, wanted) if make else {}
        result: list[tuple[Spot, str] | Refused] = []
        for path in paths:
            try:
                if "//" in path:
                    raise Refused("invalid_request")
                if path == "/":
                    raise Refused("conflict")
                parent, name = lfn.split(path)
                spot = made[parent] if make else self.directory(parent)
                if isinstance(spot, Refused):
                    raise spot
                self.may_write(who, spot.node)
                result.append((spot, name))
            except Refused as refused:
                result.append(refused)
        return result

    def link(self, who: str, links: Sequence[Link], parents: bool) -> list[str]:
        places = self.parents(who, [one.lfn for one in links], parents)
        new: set[Node] = set()
        for link, place in zip(links, places, strict=True):
            if not isinstance(place, Refused) and place[1] not in place[0].node.children:
                place[0].node.children[place[1]] = node = Node(LINK, who, target=link.target)
                new.add(node)

        def one(link: Link, place: tuple[Spot, str] | Refused) -> bool:
            if isinstance(place, Refused):
                raise place
            there = place[0].node.children[place[1]]
            if there.kind != LINK or there.target != link.target:
                raise Refused("conflict")
            return there in new

        return [code(lambda a=a, p=p: one(a, p)) for a, p in zip(links, places, strict=True)]

    # ── moving ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def move(self, who: str, source: str, target: str) -> bool:
        spot, there = self.find(source, follow=False), self._target(target)
        if spot.path == "/":
            raise Refused("invalid_request")
        old = self._parent(spot.path)
        self.may_write(who, old)
        if there is not None and there.node is spot.node:
            return False
        if there is None:
            parent, name = lfn.split(target)
            into = self.directory(parent)
        elif there.node.kind == DIRECTORY:
            into, name = there, lfn.split(spot.path)[1]
        else:
            raise Refused("conflict")
        if spot.node.kind == DIRECTORY and lfn.is_within(into.path, spot.path):
            raise Refused("invalid_request")
        if into.node.children.get(name) is spot.node:
            return False
        self.may_write(who, into.node)
        if name in into.node.children:
            raise Refused("conflict")
        del old.children[lfn.split(spot.path)[1]]
        into.node.children[name] = spot.node
        return True

    def _target(self, path: str) -> Spot | None:
        try:
            return self.find(path)
        except Refused as refused:
            if str(refused) != "not_found":
                raise
            return None

    def code_of_move(self, who: str, move: Move) -> str:
        return code(lambda: self.move(who, move.source, move.target))
