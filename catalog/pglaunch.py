"""Start the server of a folder: make its data the first time, clear what a dead server left, wait until it answers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from catalog import pgguard
from catalog.pgbinaries import PLAIN, Binaries, EmbeddedPostgresError, find
from lading.model.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalog.pgaccount import Account

READY_SECONDS = 600  # recovery reads up to max_wal_size
_LOG_BYTES = 16 << 20
_SOCKET_PATH = 100  # bytes in sockaddr_un: 108 on Linux, 104 on macOS
_OURS = {
    *("listen_addresses", "port", "unix_socket_directories", "unix_socket_permissions", "unix_socket_group"),
    *("data_directory", "config_file", "hba_file", "ident_file", "external_pid_file"),
}


class Launch:
    """A start of the server in `folder` as `account`. The caller holds `start_lock`, and nothing of the server is
    alive."""

    def __init__(self, folder: Path, account: Account, settings: Mapping[str, str], start_lock: int) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._log = folder / "postgres.log"
        self._account = account
        self._settings = settings
        self._start_lock = start_lock

    def run(self) -> Path:
        """Returns the socket's folder once the server answers. Raises EmbeddedPostgresError, with the end of its
        log."""
        self._account.check_reach(self.folder)
        major = self._major()
        binaries = find(self._account, self.folder, major)
        if major is None:
            self._initdb(binaries)
        place = self._make_place()
        self._sweep(place)
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.rename(self._log.with_suffix(".log.1"))
        with contextlib.ExitStack() as stack:
            log = self._account.own(self._log)
            stack.callback(os.close, log)
            begin = os.fstat(log).st_size
            self._spawn(binaries, place, log)
            begun = time.monotonic()
            while pgguard.probe(place)[0] is not pgguard.State.READY:
                waited = time.monotonic() - begun
                if not pgguard.held(self.folder / "server.lock"):
                    raise self._failed(f"PostgreSQL {binaries.version} does not start", os.pread(log, 1 << 20, begin))
                if waited > READY_SECONDS:
                    raise self._failed(
                        f"PostgreSQL {binaries.version} does not get ready", os.pread(log, 1 << 20, begin)
                    )
                pgguard.pause(waited)
        return place

    def _spawn(self, binaries: Binaries, place: Path, log: int) -> None:
        options = {**defaults(), **self._settings, "listen_addresses": "", "port": str(pgguard.PORT)}
        options |= {"unix_socket_directories": str(place), "unix_socket_permissions": "0700"}
        command = [str(binaries.folder / "postgres"), "-D", str(self._data)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        alive = self._account.own(self.folder / "server.lock")
        try:
            fcntl.flock(alive, fcntl.LOCK_EX)
            # Through a shell that ends at once, so that the server is init's child, not a zombie of ours when it ends.
            shell = ["sh", "-c", '"$0" "$@" &', *command]
            with self._account.popen(shell, stdout=log, stderr=log, start_new_session=True, pass_fds=(alive,)):
                pass
        finally:
            os.close(alive)  # it stays locked for as long as a process of the server has it

    def _major(self) -> int | None:
        """The version that made the data; None when there is none yet."""
        try:
            major = int((self._data / "PG_VERSION").read_text())
        except ValueError:
            raise EmbeddedPostgresError(f"{self._data}/PG_VERSION names no version: restore a backup") from None
        except FileNotFoundError:
            if self._data.exists() and any(self._data.iterdir()):
                message = f"{self._data} holds files and is no PostgreSQL data: move it away"
                raise EmbeddedPostgresError(message) from None
            return None
        owner = self._data.stat().st_uid
        if owner != self._account.uid:
            raise EmbeddedPostgresError(
                f"{self._data} belongs to user id {owner}, and PostgreSQL runs as {self._account.name}: "
                f"start as its owner, or give it away (chown -R {self._account.name} '{self._data}')"
            )
        return major

    def _initdb(self, binaries: Binaries) -> None:
        """Make the data, all or nothing: a process killed meanwhile leaves data.new, which the next one clears away."""
        new = self.folder / "data.new"
        if new.exists():
            shutil.rmtree(new)
        os.close(self._account.own(new, folder=True))
        command = [
            str(binaries.folder / "initdb"),
            "-D",
            str(new),
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
        ]
        command += ["--auth-local=trust", "--auth-host=reject", "--data-checksums", "--no-instructions"]
        # initdb inherits start.lock: should we be killed, the next starter waits until it has ended.
        with self._account.popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=(self._start_lock,)
        ) as process:
            output = process.communicate()[0]
        if process.returncode:
            shutil.rmtree(new, ignore_errors=True)
            raise self._failed(f"initdb of PostgreSQL {binaries.version} failed", output)
        new.rename(self._data)
        fd = os.open(self.folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def _make_place(self) -> Path:
        """The socket's folder: `s` inside ours, or a short private one in /tmp with `s` a link to it."""
        inside = self.folder / "s"
        path = str(inside)
        fits = len(os.fsencode(path)) + len(f"/.s.PGSQL.{pgguard.PORT}.lock") <= _SOCKET_PATH and PLAIN.fullmatch(path)
        place = pgguard.socket_folder(self.folder, self._account.uid)
        if place and (fits or place != inside):
            return place
        if inside.is_symlink():
            inside.unlink()
        elif inside.exists() and not fits:
            shutil.rmtree(inside)
        if fits:
            os.close(self._account.own(inside, folder=True))
            return inside
        # A random name, kept in our own folder: nobody can take it before us, whatever stands in /tmp.
        place = Path(tempfile.mkdtemp(prefix="lading-pg-", dir="/tmp"))  # TMPDIR can be too long for a socket
        os.close(self._account.own(place, folder=True))
        inside.symlink_to(place)
        return place

    def _sweep(self, place: Path) -> None:
        """Clear what a dead server left. Its process id may be anybody's by now, and PostgreSQL would take that one for
        it."""
        begun = time.monotonic()
        while others := pgguard.processes(self._data):
            if time.monotonic() - begun < 2:  # one that is exiting lets its locks go first
                time.sleep(0.02)
                continue
            raise EmbeddedPostgresError(
                f"another PostgreSQL, not started by lading, uses {self._data}: stop it (processes {others})"
            )
        socket = place / f".s.PGSQL.{pgguard.PORT}"
        for stale in (self._data / "postmaster.pid", socket, socket.with_name(socket.name + ".lock")):
            stale.unlink(missing_ok=True)

    def _failed(self, what: str, output: bytes) -> EmbeddedPostgresError:
        said = output.decode(errors="replace").strip()[-2000:]
        room = shutil.disk_usage(self.folder).free >> 20
        full = f" Its disk has {room} MiB left: free some." if room < 100 else ""
        return EmbeddedPostgresError(f"{what} in {self.folder}.{full} {said or f'It said nothing: see {self._log}'}")


def checked(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings, when they may be given. Raises InvalidRequest for one that would put the server out of reach."""
    for name, value in settings.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name) or "\0" in value:
            raise InvalidRequest(f"{name!r} is no PostgreSQL setting", setting=name)
        if name.lower() in _OURS:
            raise InvalidRequest(f"{name} is set by lading for the embedded PostgreSQL: leave it out", setting=name)
    return dict(settings)


def defaults() -> dict[str, str]:
    """Settings of a server of its own for a catalogue: durable, a quarter of the memory up to 2 GiB, few
    checkpoints."""
    return {
        "shared_buffers": f"{max(16, min(2048, _memory() // 4 >> 20))}MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "30min",
        "random_page_cost": "1.1",
        "jit": "off",
        "wal_compression": "on",  # pglz, in every build from 14 to 18
        "fsync": "on",
        "synchronous_commit": "on",
    }


def _memory() -> int:
    """Bytes of memory this machine, or this container, has."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            sizes.append(int(Path(limit).read_text()))
    return min(sizes)
