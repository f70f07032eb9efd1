"""Files on their way into the catalogue: what they say of themselves, checked, and the columns they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.elements.layout import WITHOUT_GUID, check_pfn, derived, implied
from catalog.namespace.directories import FILE_MODE
from lading.model import checksum, lfn
from lading.model.errors import InvalidRequest
from lading.model.guid import canonical, new_guids
from lading.model.metadata import check_metadata
from lading.model.replica import STATES, ReplicaState

from .store import array

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from catalog.elements.service import Element, ElementsService
    from catalog.namespace.locate import Directory
    from lading.model.file import FileSpec, Metadata

_STATE = {s.value: n for n, s in enumerate(STATES)}
_COPYING = _STATE[ReplicaState.COPYING.value]


class Incoming:
    """A file to register: what was asked for, checked, and where it goes (`directory`, once it is found)."""

    __slots__ = ("adler32", "directory", "follows", "guid", "metadata", "name", "others", "parent", "replicas", "spec")

    def __init__(self, spec: FileSpec, parent: str, name: str, elements: ElementsService) -> None:
        """`parent` and `name` are the two parts of its true name. Raises InvalidRequest, NotFound (element)."""
        self.spec = spec
        self.parent = parent
        self.name = name
        self.directory: Directory | None = None
        self.guid = canonical(spec.guid) if spec.guid else None
        self.adler32, self.others = split_checksums(spec.checksums)
        self.metadata: Metadata = spec.metadata  # in stored form, once it is checked
        self.follows = False  # is a replica's place one that has to be stored?
        self.replicas: list[tuple[Element, int, str | None]] = []
        for replica in spec.replicas:
            element, pfn = elements.named(replica.se), replica.pfn
            for other, _, _ in self.replicas:
                if other.id == element.id:
                    told = f"'{lfn.shown(self.path)}' has two replicas on '{element.name}'"
                    raise InvalidRequest(told, lfn=self.path)
            state = _STATE.get(replica.state, _COPYING)
            if state == _COPYING:
                raise InvalidRequest(f"'{replica.state[:40]}' is not a state a replica is registered in", lfn=self.path)
            if pfn is not None:
                check_pfn(pfn)
            elif element.layout != "hash":
                self.follows = True
            self.replicas.append((element, state, pfn))
        if spec.ctime is not None or spec.mtime is not None or spec.comment or spec.metadata:
            self._check_rest()

    def _check_rest(self) -> None:
        spec, path = self.spec, self.path
        if spec.comment and (len(spec.comment) > 4096 or "\x00" in spec.comment):
            told = "is longer than 4096 characters or holds a NUL"
            raise InvalidRequest(f"the comment of '{lfn.shown(path)}' {told}", lfn=path)
        if not all(t is None or -(2**63) <= t < 2**63 for t in (spec.ctime, spec.mtime)):
            raise InvalidRequest(f"the times of '{lfn.shown(path)}' are not microseconds since the epoch", lfn=path)
        if spec.metadata:
            check_metadata(spec.metadata)

    @property
    def path(self) -> str:
        """Its LFN: where it was asked to be, and once its directory is found, where it is, links gone."""
        return lfn.join(self.parent if self.directory is None else self.directory.path, self.name)

    @property
    def where(self) -> Directory:
        """The directory that was found for it."""
        assert self.directory is not None
        return self.directory

    @property
    def mode(self) -> int:
        return FILE_MODE if self.spec.mode is None else self.spec.mode

    def place(self, directory: Directory) -> None:
        """Its directory is found: copies whose place follows the LFN get theirs."""
        self.directory = directory
        if self.follows:
            path = self.path
            if self.guid is None and any(p is None and e.layout not in WITHOUT_GUID for e, _, p in self.replicas):
                self.guid = new_guids(1)[0]  # which its place tells
            self.replicas = [
                (e, s, p if p is not None else _placed(e, self.guid or "", path)) for e, s, p in self.replicas
            ]


def _placed(element: Element, guid: str, path: str) -> str | None:
    """The PFN that a new copy has to remember, None where the file's GUID tells it."""
    pfn, stored = derived(element, guid, path)
    return pfn if stored else None


def columns(
    items: Sequence[Incoming], shared: Mapping[tuple[int, int], tuple[int, int, int]], fresh: Iterable[str]
) -> tuple[list[str], list[list[Any]], list[tuple[int, int, int, int]]]:
    """(texts, arrays, places) as `ReplicasStore.register` takes them.

    `shared` has what files of one (directory, mode) have in common: (group, mode, ACL id). `fresh` are GUIDs for those
    that bring none.
    """
    guids = iter(fresh)
    numbers: dict[tuple[int, int], int] = {}
    plain: list[tuple[str, str, str, str, str, str]] = []
    rare: list[tuple[Any, ...]] = []
    some = False
    for item in items:
        directory, spec = item.where, item.spec
        guid = item.guid
        if guid is None:
            item.guid = guid = next(guids)
        key = (directory.id, item.mode)
        number = numbers.setdefault(key, len(numbers) + 1)
        replicas = item.replicas
        ses = ",".join([str(r[0].id) for r in replicas])
        adler32 = "" if item.adler32 is None else str(item.adler32)
        plain.append((str(number), item.name, str(spec.size), guid, adler32, f"{{{ses}}}"))
        states = array([r[1] for r in replicas]) if any(r[1] for r in replicas) else None
        pfns = {str(e.id): p for e, _, p in replicas if p is not None} or None
        row = (states, item.others, pfns, spec.ctime, spec.mtime, item.metadata or None, spec.comment)
        some = some or row != _NOTHING
        rare.append(row)
    texts = ["\n".join(column) for column in zip(*plain, strict=True)]
    arrays = [list(c) if any(v is not None for v in c) else [] for c in zip(*rare, strict=True)] if some else [[]] * 7
    return texts, arrays, [(key[0], *shared[key]) for key in numbers]


_NOTHING = (None,) * 7


def may_be_going(items: Iterable[Incoming]) -> list[tuple[int, str]]:
    """Objects (element id, PFN) that may be queued for deletion since an earlier life; a GUID made just now had
    none."""
    return [
        (element.id, implied(element, item.guid or "") if pfn is None else pfn)
        for item in items
        for element, _, pfn in item.replicas
        if pfn is not None or item.spec.guid
    ]


def split_checksums(given: dict[str, str]) -> tuple[int | None, str | None]:
    """(adler32 as a signed number, the others as stored). Raises InvalidRequest naming the kind."""
    if len(given) == 1 and len(value := given.get("adler32", "")) == 8:  # nearly all
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            raw = b""
        if len(raw) == 4:
            return int.from_bytes(raw, "big", signed=True), None
    checked: dict[str, str] = {}
    for kind, value in given.items():
        try:
            written = checksum.normalise(kind, value)
            if checked.setdefault(checksum.kind(kind), written) != written:
                raise InvalidRequest(f"two values are given for {checksum.kind(kind)}", checksum=kind[:20])
        except ValueError as error:
            raise InvalidRequest(str(error), checksum=kind[:20]) from None
    adler = checked.pop("adler32", None)
    number = None if adler is None else int.from_bytes(bytes.fromhex(adler), "big", signed=True)
    return number, ",".join(f"{k}:{v}" for k, v in sorted(checked.items())) or None
