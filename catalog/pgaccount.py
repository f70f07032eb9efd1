"""Whom the embedded PostgreSQL runs as: PostgreSQL refuses root."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.pgbinaries import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UNPRIVILEGED = ("lading", "postgres", "nobody")
_KEPT = ("PATH", "TZ", "LD_LIBRARY_PATH")  # no PGPORT, no PGDATA, no secret of the caller's


@dataclass(frozen=True)
class Account:
    """A user of this machine. `own` and `popen` act for it, whether we are that user or root."""

    uid: int
    gid: int
    name: str

    @classmethod
    def of(cls, folder: Path) -> Account:
        """Ourselves; for root the owner of the data, else of the existing `folder`, else an unprivileged user of the
        machine."""
        if os.geteuid():
            return cls(os.geteuid(), os.getegid(), _name(os.geteuid()))
        for path in (folder / "data", folder):
            try:
                owner = path.lstat()
            except FileNotFoundError:
                continue
            if owner.st_uid:
                return cls(owner.st_uid, owner.st_gid, _name(owner.st_uid))
        for name in UNPRIVILEGED:
            try:
                found = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(found.pw_uid, found.pw_gid, name)
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root: create a user named lading, or chown {folder} to a user"
        )

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start `command` as this user, in /, with a bare environment. Raises PermissionError when it may not run
        it."""
        drop = {} if self.uid == os.geteuid() else {"user": self.uid, "group": self.gid, "extra_groups": []}
        env = {name: os.environ[name] for name in _KEPT if name in os.environ} | {"LC_ALL": "C"}
        given = {"stdin": subprocess.DEVNULL, "env": env, **drop, **options}
        return subprocess.Popen(command, cwd="/", umask=0o077, **given)  # noqa: S603  # no shell reads any path

    def may_run(self, program: Path) -> bool:
        """Whether this user reaches `program` and the libraries that it needs."""
        try:
            with self.popen(
                [str(program), "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                return process.wait() == 0
        except OSError:
            return False

    def check_reach(self, folder: Path) -> None:
        """Raise EmbeddedPostgresError naming the first folder on the way to `folder` that this user cannot enter."""
        way = [str(path) for path in (*reversed(folder.parents), folder)]
        script = 'for d; do test -x "$d" || { printf %s "$d"; exit 1; }; done'
        with self.popen(["sh", "-c", script, "sh", *way], stdout=subprocess.PIPE) as process:
            closed = process.communicate()[0]
        if process.returncode:
            name = os.fsdecode(closed)
            raise EmbeddedPostgresError(
                f"user {self.name}, whom PostgreSQL runs as because it refuses root, cannot enter {name}: "
                f"allow it (chmod o+x '{name}'), or choose a folder elsewhere"
            )

    def own(self, path: Path, *, folder: bool = False) -> int:
        """Open `path`, made private to this user when missing; returns its descriptor. Safe in a folder of this user's
        when we are root: follows no link, takes nothing that is another user's. Raises EmbeddedPostgresError then."""
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        if folder:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
            fd = os.open(path, flags | os.O_RDONLY | os.O_DIRECTORY)
        else:
            fd = os.open(path, flags | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o600)
        found = os.fstat(fd)
        linked = not folder and (not stat.S_ISREG(found.st_mode) or found.st_nlink != 1)
        if linked or found.st_uid not in (os.geteuid(), self.uid):
            os.close(fd)
            raise EmbeddedPostgresError(
                f"{path} belongs to user {_name(found.st_uid)}, not to {self.name}: move it away"
            )
        if found.st_uid != self.uid:
            os.fchown(fd, self.uid, self.gid)
        if folder:
            os.fchmod(fd, 0o700)
        return fd


def make(folder: Path) -> None:
    """Make `folder` and its missing parents. As root they are open for others to pass, whatever the umask: what is
    inside is private to the server's user. Folders that existed are left as they are."""
    for path in (*reversed(folder.parents), folder):
        if path.exists():
            continue
        try:
            os.mkdir(path, 0o755 if os.geteuid() == 0 or path != folder else 0o700)
        except FileExistsError:
            continue
        if os.geteuid() == 0:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            os.fchmod(fd, 0o755)
            os.close(fd)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
