"""The embedded PostgreSQL, when no database is configured: one server per folder, shared by the processes of one
host."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from catalog import pgguard
from catalog.pgaccount import Account, make
from catalog.pgbinaries import EmbeddedPostgresError
from catalog.pgguard import State
from catalog.pglaunch import READY_SECONDS, Launch, checked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "running_dsn"]

_ORPHAN_SECONDS = 30


class EmbeddedPostgres:
    """One holder of the server in `folder`; the server runs for as long as any process holds it.

    The first holder starts it, the last one out stops it, also when that one was ended by kill -9. It answers on a unix
    socket alone, private to the owner of the data (and root). `settings` are PostgreSQL's and go on top of ours; they
    count for the holder that starts the server. Raises InvalidRequest for a setting that would move the server out of
    reach.

    `start` and `stop` block, up to minutes when there is much to recover: call them from a thread in an async program.
    One instance is for one thread at a time.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(folder).resolve()
        self._data = self.folder / "data"
        self._settings = checked(settings or {})
        self._account: Account | None = None
        self._place: Path | None = None
        self._start_lock = self._users = -1
        self._process = 0

    @property
    def dsn(self) -> str:
        """For asyncpg and libpq alike. Raises EmbeddedPostgresError before `start` and after `stop`."""
        if self._place is None:
            raise EmbeddedPostgresError(f"the PostgreSQL of {self.folder} is not started here")
        return _dsn(self._place)

    def start(self) -> None:
        """Hold the server; return when it answers. Starts it, makes or recovers its data, as needed.

        Safe to repeat: an instance whose server died starts it again. Raises EmbeddedPostgresError, with the end of the
        server's log, and holds nothing then.
        """
        try:
            self._open()
            with self._alone():
                fcntl.flock(self._users, fcntl.LOCK_SH)
                self._guard()
                self._place = self._bring_up()
        except BaseException as error:
            self._let_go()
            if isinstance(error, OSError):
                named = f": {error.filename}" if error.filename else ""
                hint = "; run as its owner, or choose another folder" if isinstance(error, PermissionError) else ""
                raise EmbeddedPostgresError(
                    f"cannot use {self.folder} for PostgreSQL: {error.strerror}{named}{hint}"
                ) from error
            raise
        atexit.unregister(self.stop)
        atexit.register(self.stop)

    def alive(self) -> bool:
        """Whether the server that `start` found or started is there still. Cheap: nothing is asked of the server
        itself."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, 0)
        except PermissionError:
            pass  # it is there, and another user's
        except (OSError, ValueError, IndexError):
            return False
        return pgguard.held(self.folder / "server.lock")

    def stop(self) -> None:
        """Let the server go; the last holder returns when it has stopped, after cutting off its sessions.

        Safe to repeat and before `start`; registered for the interpreter's exit. A forked child only forgets. Raises
        EmbeddedPostgresError when the server does not stop.
        """
        atexit.unregister(self.stop)
        if self._users < 0:
            return
        try:
            if self._process == os.getpid() and self._account:
                with self._alone():
                    if self._last() and not pgguard.stop(self.folder, self._account.uid):
                        raise EmbeddedPostgresError(
                            f"the PostgreSQL of {self.folder} does not stop: see its postgres.log"
                        )
        finally:
            self._let_go()

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _open(self) -> None:
        if self._users >= 0 and self._process == os.getpid():
            return
        self._let_go()
        self._process = os.getpid()
        make(self.folder)
        self._account = Account.of(self.folder)
        self._start_lock = self._account.own(self.folder / "start.lock")
        self._users = self._account.own(self.folder / "users.lock")
        for name in ("server.lock", "guard.lock"):
            os.close(self._account.own(self.folder / name))

    def _let_go(self) -> None:
        for fd in (self._users, self._start_lock):
            if fd >= 0:
                os.close(fd)
        self._start_lock = self._users = -1
        self._place = None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._start_lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._start_lock, fcntl.LOCK_UN)

    def _last(self) -> bool:
        # From shared to exclusive is two steps for the kernel, and the guard may slip in between: once, as it needs
        # start.lock next.
        for _ in range(2):
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                fcntl.flock(self._users, fcntl.LOCK_SH)
        return False

    def _bring_up(self) -> Path:
        """Wait for the server that is there, or start one; returns the socket's folder."""
        assert self._account is not None
        begun = heard = time.monotonic()
        while True:
            place = pgguard.socket_folder(self.folder, self._account.uid)
            state = pgguard.probe(place)[0] if place else State.GONE
            if place and state is State.READY:
                return place
            now = time.monotonic()
            if state is State.BUSY:
                heard = now
            elif not pgguard.held(self.folder / "server.lock"):
                return Launch(self.folder, self._account, self._settings, self._start_lock).run()
            elif now - heard > pgguard.SILENT_SECONDS:
                pgguard.kill_left_over(self._data)
            if now - heard > _ORPHAN_SECONDS or now - begun > READY_SECONDS:
                raise EmbeddedPostgresError(
                    f"a PostgreSQL in {self.folder} is alive and does not answer, perhaps in another container or on"
                    " another host: "
                    f"end its processes ({pgguard.processes(self._data) or 'none visible here'})"
                )
            pgguard.pause(now - begun)

    def _guard(self) -> None:
        assert self._account is not None
        if not pgguard.held(self.folder / "guard.lock"):
            command = [
                sys.executable,
                "-I",
                "-S",
                str(Path(pgguard.__file__)),
                str(self.folder),
                str(self._account.uid),
            ]
            quiet = subprocess.DEVNULL
            started = subprocess.run(  # noqa: S603  # our own interpreter and script
                command, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/", start_new_session=True, check=False
            )
            if started.returncode:
                raise EmbeddedPostgresError(
                    f"cannot start the guard of PostgreSQL: {command} ended with {started.returncode}"
                )


def running_dsn(folder: Path) -> str | None:
    """The DSN of the live server of `folder`; None when none answers, or not to this user. Starts and changes
    nothing."""
    folder = Path(folder).resolve()
    try:
        place = pgguard.socket_folder(folder, Account.of(folder).uid)
    except (OSError, EmbeddedPostgresError):
        return None
    return _dsn(place) if place and pgguard.probe(place)[0] is State.READY else None


def _dsn(place: Path) -> str:
    # With the port: a PGPORT of the user's means another server.
    return f"postgresql://postgres@/postgres?host={place}&port={pgguard.PORT}"
