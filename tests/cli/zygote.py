"""Processes that run `lading` without the second that Python takes to import it: forks of one that has.

Each is a process of its own, with its own arguments, environment, folder and file descriptors, as if it had been started
anew; several hundred are, in a run of the tests. What starting anew is about (`test_light`, signals) starts anew.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache

_MAIN = "lading.cli.main"


@cache
def _zygote() -> socket.socket:
    """Where the one of this process hears; it ends with us."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen([sys.executable, "-m", __name__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    atexit.register(process.wait)
    atexit.register(ours.close)
    return ours


def run(arguments: Sequence[str], environment: Mapping[str, str], folder: str, files: tuple[int, int, int]) -> int:
    """The exit code of `lading ARGUMENTS` with these as standard input, output and errors. Waits for its end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            order = json.dumps([list(arguments), dict(environment), folder]).encode()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            socket.send_fds(_zygote(), [b"x"], [theirs.fileno()])
        socket.send_fds(ours, [order], list(files))
        return int(ours.recv(100))


def _serve(listening: socket.socket) -> None:
    """Until nobody is there any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, found, _, _ = socket.recv_fds(listening, 1, 1)
        if not message:
            return
        with socket.socket(fileno=found[0]) as asked:
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listening.close()
                _answer(asked)
                os._exit(0)


def _answer(asked: socket.socket) -> None:
    order, files, _, _ = socket.recv_fds(asked, 1 << 20, 3)
    arguments, environment, folder = json.loads(order)
    child = os.fork()
    if child == 0:
        asked.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, 100)
        os._exit(_lading(arguments, environment, folder))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    asked.send(str(code).encode())


def _lading(arguments: list[str], environment: dict[str, str], folder: str) -> int:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode) for n, mode in ((0, "r"), (1, "w"), (2, "w")))
    main = importlib.import_module(_MAIN)
    sys.argv = [str(main.__file__), *arguments]
    code: object = 0
    try:
        main.app()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 120  # as Python itself has it
    return code if isinstance(code, int) else 0 if code is None else 1


if __name__ == "__main__":
    for part in ("lading.cli", "lading.client", "lading.model"):
        for module in pkgutil.iter_modules(importlib.import_module(part).__path__):
            if module.name != "fs":  # it wants an extra
                importlib.import_module(f"{part}.{module.name}")
    for library in ("rich.table", "rich.progress", "rich.console"):
        importlib.import_module(library)
    _serve(socket.socket(fileno=int(sys.argv[1])))
