"""Storage servers of the tests' own: real programs, started on 127.0.0.1 at a free port, killed at the end."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
_FIRST = 12000 + 2000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8)
_PORTS = iter(random.sample(range(_FIRST, _FIRST + 2000), 2000))


def program(name: str) -> str:
    """The path of an installed program, of the venv first."""
    found = shutil.which(name, path=_PATH)
    assert found, f"'{name}' is not installed: run scripts/servers.sh (make test does)"
    return found


def free_port() -> int:
    """A port that nobody else takes meanwhile: each process of the tests has its own ones and gives none twice, and
    none is of those that the system gives to outgoing connections."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Running:
    """A server that runs. `stop` and `start` are for tests of what happens while it is away."""

    def __init__(self, command: Sequence[str], port: int, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.port = port
        self._command = [program(command[0]), *command[1:]]
        self._log = folder / f"{Path(command[0]).name}-{port}.log"
        self._env = {**os.environ, **(env or {})}
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._env, start_new_session=True
            )
        end = time.monotonic() + 60
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(f"{self._command[0]} does not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Of the process, and of the group of all that it started."""
        return self._process.pid

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def stop(self) -> None:
        """Kill it and all that it started. Safe to repeat."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def running(command: Sequence[str], port: int, folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Running]:
    """`command` as a server that listens on `port`, its output in a log in `folder`."""
    server = Running(command, port, folder, env)
    try:
        yield server
    finally:
        server.stop()
