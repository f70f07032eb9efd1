"""Who asks: a principal, and the circumstances of one call."""

from __future__ import annotations

from dataclasses import dataclass, field

from .lfn import is_within, vo


@dataclass(slots=True, eq=False)
class Principal:
    """A user as known to the catalogue, with the scopes of the token that brought them.

    `groups` holds principal ids, the primary group first. The memos hold rights already worked out: a Principal is
    thrown away whole when anything about people changes.
    """

    id: int
    name: str
    groups: tuple[int, ...] = ()
    admin: bool = False
    vos: frozenset[str] = frozenset()
    scopes: tuple[tuple[str, str], ...] = (("read", "/"), ("write", "/"), ("admin", "/"))
    directory_memo: dict[int, int] = field(default_factory=dict, repr=False)
    entry_memo: dict[tuple[int, int, int, int], int] = field(default_factory=dict, repr=False)
    narrowed: bool = field(init=False)

    def __post_init__(self) -> None:
        granted = {scope for scope, top in self.scopes if top == "/"}
        self.narrowed = not {"read", "write"} <= granted

    @property
    def group(self) -> int:
        """The primary group, or 0 for nobody's."""
        return self.groups[0] if self.groups else 0

    def scoped(self, scope: str, lfn: str = "/") -> bool:
        """True when the token was given `scope` on `lfn`."""
        return any(s == scope and is_within(lfn, top) for s, top in self.scopes)

    @property
    def superuser(self) -> bool:
        """A server administrator who came with an unlimited `admin` scope: no right is checked."""
        return self.admin and not self.narrowed and ("admin", "/") in self.scopes

    def governs(self, lfn: str) -> bool:
        """True when this is an administrator of the VO that `lfn` lies in, or of the server."""
        if not self.scoped("admin", lfn):
            return False
        return self.admin or (bool(self.vos) and vo(lfn) in self.vos)


@dataclass(slots=True, eq=False)
class Caller:
    """One call: the principal, where it came from, and the key under which it must take effect once only."""

    principal: Principal
    origin: str = ""
    request_id: str = ""
    idempotency: tuple[str, bytes] | None = None


SYSTEM = Caller(Principal(1, "admin", (2,), admin=True), origin="lading-server")
"""The server's own doings: cleaning, imports, the first administrator."""
