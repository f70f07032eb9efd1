"""One embedded PostgreSQL seen from outside: does it answer, is anything of it alive, stop it.

Run as a program (`python pgguard.py FOLDER UID`) it is the guard: it waits until no process holds the server any more,
even one ended by kill -9, and stops it then. It uses the standard library alone, because the guard starts without any
package.

Files of a folder: `data`; `s`, the socket's folder or a link to it; and locks, all flock(2), which the kernel lets go
when their last holder dies: `start.lock` (one starts or stops), `users.lock` (shared by every holder), `server.lock`
(every process of the server inherits it: free means that nothing of it lives, whatever postmaster.pid says),
`guard.lock` (one guard).
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import signal
import socket
import stat
import struct
import sys
import time
from pathlib import Path

PORT = 5432
SILENT_SECONDS = 3  # a new postmaster listens after 0.1 s; what still lives and does not answer was left by a dead one
_PARAMETERS = b"user\0postgres\0database\0postgres\0\0"
_HELLO = struct.pack("!ii", 8 + len(_PARAMETERS), 196608) + _PARAMETERS  # StartupMessage of protocol 3.0
_CANNOT_CONNECT_NOW = b"57P03"


class State(enum.Enum):
    READY = "ready"
    BUSY = "busy"  # starting, recovering or shutting down: it is there, and takes no statements yet
    GONE = "gone"


def socket_folder(folder: Path, uid: int) -> Path | None:
    """Where the socket is, or None when that place is missing or is not private to user `uid`."""
    place = folder / "s"
    try:
        if place.is_symlink():
            place = Path(os.readlink(place))
        found = place.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == uid and not found.st_mode & 0o077
    return place if private else None


def probe(place: Path) -> tuple[State, int | None]:
    """Connect and say hello as libpq does; returns the state and, where the kernel tells, the postmaster's process
    id."""
    pid: int | None = None
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        try:
            connection.connect(f"{place}/.s.PGSQL.{PORT}")
            if hasattr(socket, "SO_PEERCRED"):
                pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0] or None
            connection.sendall(_HELLO)
            answer = connection.recv(1024)
            if answer[:1] == b"R":
                connection.sendall(b"X\0\0\0\4")
        except (TimeoutError, BlockingIOError):
            return State.BUSY, pid
        except OSError:
            return (State.BUSY, pid) if pid else (State.GONE, None)
    return (State.BUSY if not answer or _CANNOT_CONNECT_NOW in answer else State.READY), pid


def held(path: Path) -> bool:
    """Whether any process holds the lock `path`; False when it does not exist."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def processes(data: Path) -> list[int]:
    """Every PostgreSQL process that works in `data`, orphans of a killed postmaster too. Empty where there is no
    /proc."""
    found, real = [], os.path.realpath(data)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") == real and Path(os.readlink(entry / "exe")).name.startswith("postgres"):
                found.append(int(entry.name))
        except OSError:  # over, a zombie, or another user's
            continue
    return found


def kill_left_over(data: Path) -> None:
    """End what lives and does not answer: backends of a killed postmaster, busy with a long statement, or a server
    whose socket was deleted. Nothing committed is lost."""
    for pid in processes(data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def pause(waited: float) -> None:
    """Sleep before asking again: longer as one waits, because every probe costs the server a process and a line in its
    log."""
    time.sleep(min(0.5, 0.01 + waited / 20))


def stop(folder: Path, uid: int) -> bool:
    """Stop the server, whose sessions are cut off; safe when it does not run. True once nothing of it is alive."""
    begun, sent = time.monotonic(), None
    while held(folder / "server.lock"):
        waited = time.monotonic() - begun
        how = signal.SIGINT if waited < 120 else signal.SIGQUIT  # "fast", then "immediate": recovery at the next start
        if sent is not how:
            place = socket_folder(folder, uid)
            pid = postmaster(folder, place) if place else None
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
                sent = how
            elif waited > SILENT_SECONDS:
                kill_left_over(folder / "data")
        if waited > (150 if sent else 30):
            return False
        time.sleep(0.01)
    if (folder / "s").is_symlink():  # its folder in /tmp is of no use now, and perhaps never again
        place = socket_folder(folder, uid)
        if place:
            with contextlib.suppress(OSError):
                place.rmdir()
        (folder / "s").unlink()
    return True


def postmaster(folder: Path, place: Path) -> int | None:
    """The process that answers on the socket, never one that a stale postmaster.pid names."""
    state, pid = probe(place)
    if state is State.GONE or pid:
        return pid
    try:  # something answers, so the file is its own
        return int((folder / "data" / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def main(folder: Path, uid: int) -> None:
    """Become the guard of `folder`, unless it has one, and return at once in the process that called."""

    def open_lock(name: str) -> int:
        return os.open(folder / name, os.O_RDWR | os.O_NOFOLLOW)

    guard, start, users = open_lock("guard.lock"), open_lock("start.lock"), open_lock("users.lock")
    try:
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if os.fork():
        return
    while True:
        fcntl.flock(users, fcntl.LOCK_EX)  # waits for as long as anybody holds the server
        fcntl.flock(users, fcntl.LOCK_UN)  # a starter takes start.lock first: so do we
        fcntl.flock(start, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(start, fcntl.LOCK_UN)
            continue
        stop(folder, uid)  # should it fail, the next holder's start or stop deals with it
        os.close(guard)  # before start.lock: the next starter must see that it needs a new guard
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
