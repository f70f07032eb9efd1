"""Users, groups, VOs, tokens, rights."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class UserSpec(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """`dns` are X.509 subjects in the OpenSSL one-line form (`/C=FR/O=.../CN=...`); `admin` administers the whole
    server."""

    name: str
    groups: list[str] = []
    dns: list[str] = []
    email: str | None = None
    full_name: str | None = None
    admin: bool = False


class UserChange(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """What to change; what is absent stays. Lists replace."""

    groups: list[str] | None = None
    dns: list[str] | None = None
    email: str | None = None
    full_name: str | None = None
    admin: bool | None = None
    disabled: bool | None = None


class UserInfo(Struct, omit_defaults=True):
    name: str
    groups: list[str] = []
    dns: list[str] = []
    email: str | None = None
    full_name: str | None = None
    admin: bool = False
    disabled: bool = False
    placeholder: bool = False
    administers: list[str] = []


class GroupSpec(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """`vo` is the VO the group belongs to; `fqans` are VOMS attributes (`/biomed/Role=production`)."""

    name: str
    vo: str | None = None
    fqans: list[str] = []


class GroupInfo(Struct, omit_defaults=True):
    name: str
    vo: str | None = None
    fqans: list[str] = []
    members: int = 0
    placeholder: bool = False


class VOSpec(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A VO owns the top-level directory of its name. `admins` may do everything below it and manage its groups."""

    name: str
    admins: list[str] = []
    description: str = ""


class VOInfo(Struct, omit_defaults=True):
    name: str
    admins: list[str] = []
    description: str = ""


class TokenSpec(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A token to make for `user` (yourself when absent). `seconds` is its life.

    Scopes: `read`, `write`, `admin`; each may be narrowed to a directory, as in `read:/biomed/user/a/alice`.
    """

    user: str | None = None
    scopes: list[str] = field(default_factory=lambda: ["read", "write"])
    seconds: int = 30 * 86400
    name: str = ""


class TokenInfo(Struct, omit_defaults=True):
    id: str
    user: str
    scopes: list[str]
    name: str = ""
    created: int = 0
    expires: int = 0
    last_used: int | None = None


class NewToken(TokenInfo, kw_only=True):
    """`token` is shown this once: only its hash is kept."""

    token: str


class Me(Struct, omit_defaults=True):
    """Who the server takes you for."""

    user: str
    groups: list[str] = []
    admin: bool = False
    administers: list[str] = []
    scopes: list[str] = []


class AuditRow(Struct, omit_defaults=True):
    """Who did what, when, from where. `targets` may be shortened (`count` is exact)."""

    id: int
    at: int
    user: str
    action: str
    count: int
    targets: list[str] = []
    details: dict[str, Any] = {}
    origin: str = ""
    request_id: str = ""
