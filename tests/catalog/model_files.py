"""The model's other half: files with their copies, the trash, and what the cleaner does."""

from __future__ import annotations

from collections.abc import Sequence

from lading.model import lfn
from lading.model.file import FileSpec
from lading.model.replica import ReplicaRef, ReplicaState

from .model import AVAILABLE, DIRECTORY, FILE, IDENTITY, LOST, SUSPECT, Model, Node, Refused, Spot, Trashed, code


class Catalogue(Model):
    # ── registration ─────────────────────────────────────────────────────────────────────────────────────────────────

    def register(self, who: str, specs: Sequence[FileSpec], parents: bool) -> tuple[list[str], list[Node | None]]:
        """(codes, the file of each item that has one). A new file without a GUID is still to get one."""
        codes = [self._check(spec) for spec in specs]
        good = [i for i, c in enumerate(codes) if not c]
        before = {node for _, node in self.all()}
        places = dict(zip(good, self.parents(who, [specs[i].lfn for i in good], parents), strict=True))
        for i, place in list(places.items()):
            if isinstance(place, Refused):
                codes[i] = str(place)
                del places[i]
        here = {i: (spot.path, name) for i, (spot, name) in places.items()}  # type: ignore[misc]  # the refused are gone by now
        if self._guids_clash(specs, here):
            first: dict[str, tuple[str, str]] = {}
            for i, at in list(here.items()):
                guid = specs[i].guid
                if guid and (self.holder(guid) not in (None, at) or first.setdefault(guid, at) != at):
                    codes[i] = "conflict"
                    del here[i]
        nodes: list[Node | None] = [None] * len(specs)
        again = self._insert(who, specs, here, nodes, codes)
        for i in again:
            spec, node = specs[i], self.find(lfn.join(*here[i]), follow=False).node
            if not _same(spec, node) or _misplaced(spec, node):
                codes[i] = "conflict"
                continue
            new = [r for r in spec.replicas if r.se not in node.replicas]
            for r in new:
                self.add(node, r.se, ReplicaState(r.state), r.pfn, lfn.join(*here[i]))
            nodes[i], codes[i] = node, "ok" if new else "same"
        for path, node in sorted(self.all(), key=lambda at: -len(at[0])):  # made for files that were refused
            if node not in before and node.kind == DIRECTORY and not node.children:
                above, name = lfn.split(path)
                del self.find(above).node.children[name]
        return codes, nodes

    def _check(self, spec: FileSpec) -> str:
        if "//" in spec.lfn:
            return "invalid_request"
        seen = set()
        for replica in spec.replicas:
            if replica.se not in self.elements:
                return "not_found"
            if replica.se in seen:
                return "invalid_request"
            seen.add(replica.se)
        return ""

    def _guids_clash(self, specs: Sequence[FileSpec], here: dict[int, tuple[str, str]]) -> bool:
        """Would a GUID of a file to insert be there twice?"""
        first: dict[tuple[str, str], int] = {}
        for i, at in here.items():
            first.setdefault(at, i)
        new = [i for at, i in first.items() if at[1] not in self.find(at[0]).node.children]
        guids = [g for i in new if (g := specs[i].guid)]
        return len(set(guids)) < len(guids) or any(self.holder(g) for g in guids)

    def _insert(
        self,
        who: str,
        specs: Sequence[FileSpec],
        here: dict[int, tuple[str, str]],
        nodes: list[Node | None],
        codes: list[str],
    ) -> list[int]:
        """Make the files whose name is free; those whose name is not."""
        again = []
        for i, (directory, name) in here.items():
            spec, children = specs[i], self.find(directory).node.children
            if name in children:
                again.append(i)
                continue
            node = children[name] = Node(FILE, who, spec.size, spec.guid or "", dict(spec.checksums))
            for r in spec.replicas:
                self.add(node, r.se, ReplicaState(r.state), r.pfn, lfn.join(directory, name))
            nodes[i], codes[i] = node, "ok"
        return again

    def holder(self, guid: str) -> tuple[str, str] | None:
        """(directory, name) of the file with that GUID; of one in the trash, nothing a live file could have."""
        for path, node in self.all():
            if node.guid == guid:
                return lfn.split(path)
        trashed = [n for t in self.trash.values() for n in (t.node, *(n for _, n in t.node.below("/")))]
        return ("T", "") if any(n.guid == guid for n in trashed) else None

    # ── replicas ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, node: Node, se: str, state: ReplicaState, pfn: str | None, path: str) -> None:
        """A copy, where it is said to be or where the layout puts it; its object is not to be deleted any more."""
        node.replicas[se] = (state, pfn if pfn is not None else path.lstrip("/") if se == IDENTITY else None)
        if node.guid or node.replicas[se][1]:
            del self.deletions[se, node.pfn(se)]

    def _file(self, who: str, ref: ReplicaRef, *, writes: bool = True) -> Spot:
        spot = self.find(ref.lfn)
        if spot.node.kind != FILE:
            raise Refused("invalid_request")
        if writes and spot.node.owner != who:
            raise Refused("forbidden")
        if ref.se not in self.elements:
            raise Refused("not_found")
        return spot

    def add_replicas(self, who: str, refs: Sequence[ReplicaRef]) -> list[str]:
        def one(ref: ReplicaRef) -> bool:
            spot = self._file(who, ref)
            if ref.se in spot.node.replicas:
                if ref.pfn not in (None, spot.node.pfn(ref.se)):
                    raise Refused("conflict")
                return False
            self.add(spot.node, ref.se, ref.state, ref.pfn, spot.path)
            return True

        return [code(lambda r=r: one(r)) for r in refs]

    def set_state(self, who: str, refs: Sequence[ReplicaRef]) -> list[str]:
        def one(ref: ReplicaRef) -> bool:
            node = self._file(who, ref, writes=ref.state != SUSPECT).node
            if ref.se not in node.replicas:
                raise Refused("not_found")
            state, pfn = node.replicas[ref.se]
            node.replicas[ref.se] = (ref.state, pfn)
            return state != ref.state

        return [code(lambda r=r: one(r)) for r in refs]

    def drop(self, who: str, refs: Sequence[ReplicaRef], *, keep_bytes: bool, force: bool) -> list[str]:
        def one(ref: ReplicaRef) -> bool:
            node = self._file(who, ref).node
            if ref.se not in node.replicas:
                return False
            left = [state for se, (state, _) in node.replicas.items() if se != ref.se]
            if node.replicas[ref.se][0] != LOST and AVAILABLE not in left and not force:
                raise Refused("conflict")
            if not keep_bytes:
                self.deletions[ref.se, node.pfn(ref.se)] += 1
            del node.replicas[ref.se]
            return True

        return [code(lambda r=r: one(r)) for r in refs]

    # ── the trash ────────────────────────────────────────────────────────────────────────────────────────────────────

    def remove(self, who: str, paths: Sequence[str], recursive: bool) -> tuple[list[str], list[Trashed]]:
        """(codes, what went to the trash, in order). What is empty is judged as it was before the call."""
        empty = {node for _, node in self.all() if not node.children}
        before: list[Spot | Refused] = []
        for path in paths:
            try:
                before.append(self.find(path, follow=False))
            except Refused as refused:
                before.append(refused)
        gone: list[Trashed] = []

        def one(spot: Spot | Refused) -> bool:
            if isinstance(spot, Refused):
                raise spot
            if any(lfn.is_within(spot.path, t.path) for t in gone):
                raise Refused("not_found")
            if spot.path == "/":
                raise Refused("invalid_request")
            parent = self._parent(spot.path)
            self.may_write(who, parent)
            if spot.node.kind == DIRECTORY and spot.node not in empty:
                if not recursive:
                    raise Refused("conflict")
                for node in (spot.node, *(n for _, n in spot.node.below("/") if n.kind == DIRECTORY)):
                    self.may_write(who, node)
            del parent.children[lfn.split(spot.path)[1]]
            gone.append(Trashed(spot.node, spot.path, who, spot.node.usage()[:2]))
            return True

        return [code(lambda s=s: one(s)) for s in before], gone

    def restore(self, who: str, ids: Sequence[int], to: str | None) -> list[str]:
        """The path of each, or the code of its error."""
        result = []
        for item in ids:
            trashed = self.trash.get(item)
            try:
                if trashed is None or trashed.by != who or trashed.expired:
                    raise Refused("not_found")
                path = trashed.path if to is None else lfn.join(to, lfn.split(trashed.path)[1])
                place = self.parents(who, [path], True)[0]
                if isinstance(place, Refused):
                    raise place
                if place[1] in place[0].node.children:
                    raise Refused("conflict")
                place[0].node.children[place[1]] = trashed.node
                del self.trash[item]
                result.append(lfn.join(place[0].path, place[1]))
            except Refused as refused:
                result.append(str(refused))
        return result

    def purge(self, who: str, ids: Sequence[int]) -> list[str]:
        def one(item: int) -> bool:
            trashed = self.trash.get(item)
            if trashed is None or trashed.by != who:
                raise Refused("not_found")
            trashed.expired = True
            return True

        return [code(lambda i=i: one(i)) for i in ids]

    def empty_trash(self) -> None:
        """What expired goes for good, and its objects are to be deleted."""
        for item, trashed in list(self.trash.items()):
            if trashed.expired:
                for node in (trashed.node, *(n for _, n in trashed.node.below("/"))):
                    self.deletions.update((se, node.pfn(se)) for se in node.replicas)
                del self.trash[item]


def _misplaced(spec: FileSpec, node: Node) -> bool:
    return any(r.pfn not in (None, node.pfn(r.se)) for r in spec.replicas if r.se in node.replicas)


def _same(spec: FileSpec, node: Node) -> bool:
    """Does an existing entry have this file's content?"""
    if node.kind != FILE or node.size != spec.size or (spec.guid and spec.guid != node.guid):
        return False
    return all(node.checksums.get(kind, value) == value for kind, value in spec.checksums.items())
