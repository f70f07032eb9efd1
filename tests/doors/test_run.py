"""`lading-server` as a person starts it: real processes, real signals, the embedded PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "doors.main"]
URL = re.compile(r"running at (http://\S+)")


def _call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def _get(url: str, token: str = "") -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Run:
    """A `lading-server run` under way."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.process = subprocess.Popen(
            [*COMMAND, "run", "--data", str(data), "--port", "0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        said = ""
        while "log in:" not in said:
            line = self.process.stdout.readline()
            assert line, f"it ended with {self.process.wait()} after {said!r}"
            said += line
        found = URL.search(said)
        assert found
        self.url = found[1]

    def children(self) -> list[int]:
        """The pids of the server processes and the worker."""
        out = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        )
        return [int(line.split()[0]) for line in out.stdout.splitlines() if "doors.child" in line]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="lading-run-"))
    folder.chmod(0o755)
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start(data: Path) -> Iterator[Callable[..., Run]]:
    with contextlib.ExitStack() as stack:

        def go(*options: str) -> Run:
            run = Run(data, *options)
            stack.callback(run.process.wait, 60)
            stack.callback(run.process.kill)
            return run

        yield go


def _gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{p}").exists() for p in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_a_server_from_start_to_stop(start: Callable[..., Run], data: Path) -> None:
    run = start("--processes", "2")
    token_file = data / "admin.token"
    token = token_file.read_text().strip()
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((data / "server.json").stat().st_mode) == 0o600
    assert _get(run.url + "/readyz")[0] == 200
    assert '"admin"' in _get(run.url + "/v1/me", token)[1]
    assert len(run.children()) == 3

    dsn = _call("dsn", "--data", str(data))
    assert (dsn.returncode, dsn.stdout.startswith("postgresql://")) == (0, True)
    status = _call("db", "status", "--database-url", dsn.stdout.strip())
    assert re.search(r"PostgreSQL \d+.*UTF8, schema (\d+) of \1$", status.stdout.strip())
    assert _call("db", "check", "--data", str(data)).stdout == "good\n"

    second = _call("run", "--data", str(data), "--port", "0")
    assert (second.returncode, "is in use by process" in second.stderr) == (6, True)
    port = run.url.rpartition(":")[2]
    taken = _call("run", "--data", str(data.parent / "other"), "--port", port)
    assert (taken.returncode, "choose another --port" in taken.stderr) == (6, True)
    assert _get(run.url + "/readyz")[0] == 200

    fresh = _call("token", "admin", "--data", str(data)).stdout.strip()
    assert fresh == token_file.read_text().strip() != token
    assert _get(run.url + "/v1/me", fresh)[0] == _get(run.url + "/v1/me", token)[0] == 200
    assert _call("user", "add", "alice", "--data", str(data)).returncode == 0
    assert _call("user", "add", "alice", "--data", str(data)).returncode == 6
    alice = _call("token", "add", "alice", "--scope", "read", "--data", str(data)).stdout.strip()
    assert '"alice"' in _get(run.url + "/v1/me", alice)[1]
    assert "alice\t" in _call("user", "ls", "--data", str(data)).stdout
    assert _call("user", "set", "alice", "--disable", "--data", str(data)).returncode == 0
    deadline = time.monotonic() + 20
    while _get(run.url + "/v1/me", alice)[0] != 401:
        assert time.monotonic() < deadline

    pids = run.children()
    assert run.stop() == 0
    assert _gone(pids)
    assert not (data / "server.json").exists()
    nothing = _call("dsn", "--data", str(data))
    assert (nothing.returncode, "nothing runs" in nothing.stderr) == (1, True)

    again = start()
    assert token_file.read_text().strip() == fresh
    assert _get(again.url + "/v1/me", fresh)[0] == 200
    assert again.stop(signal.SIGINT) == 0


@pytest.mark.slow
def test_a_dead_server_process_is_replaced_and_no_child_outlives_its_parent(
    start: Callable[..., Run], data: Path
) -> None:
    run = start()
    before = run.children()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while set(run.children()) & set(before) or len(run.children()) < len(before):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert _get(run.url + "/readyz")[0] == 200  # the socket was the parent's: it waited in the queue

    children = run.children()
    run.process.kill()
    run.process.wait(30)
    assert _gone(children)
    assert _call("dsn", "--data", str(data)).returncode == 1
    assert start().stop() == 0


@pytest.mark.slow
def test_an_embedded_database_that_was_killed_comes_back(start: Callable[..., Run], data: Path) -> None:
    run = start()
    token = (data / "admin.token").read_text().strip()
    children = run.children()
    for _ in range(2):
        os.kill(int((data / "postgres/data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while _get(run.url + "/readyz")[0] == 200:
            assert time.monotonic() < deadline
        while _get(run.url + "/readyz")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert _get(run.url + "/v1/me", token)[0] == 200
    assert run.children() == children  # the server processes waited, and found it by themselves
    assert run.stop() == 0


@pytest.mark.slow
async def test_a_server_on_a_database_that_is_there(start: Callable[..., Run], data: Path, dsn: str) -> None:
    run = start("--database-url", dsn)
    assert not (data / "postgres").exists()
    assert _call("dsn", "--data", str(data)).stdout.strip() == dsn
    assert _get(run.url + "/v1/me", (data / "admin.token").read_text().strip())[0] == 200
    arguments = Path(f"/proc/{run.children()[0]}/cmdline").read_bytes()
    assert dsn.encode() not in arguments
    assert run.stop() == 0


@pytest.mark.slow
def test_servers_of_one_database_can_share_a_port(dsn: str) -> None:
    options = ["--database-url", dsn, "--share-port"]
    first = subprocess.Popen(
        [*COMMAND, "serve", *options, "--port", "0", "--migrate"], stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    found = URL.search(first.stdout.readline())
    assert found
    port = found[1].rpartition(":")[2]
    second = subprocess.Popen([*COMMAND, "serve", *options, "--port", port], stdout=subprocess.PIPE, text=True)
    assert second.stdout is not None
    assert found[1] in second.stdout.readline()
    alone = _call("serve", "--database-url", dsn, "--port", port)
    assert (alone.returncode, "choose another --port" in alone.stderr) == (6, True)
    for process in (first, second):
        deadline = time.monotonic() + 20
        while _ready(found[1]) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.terminate()
        assert process.wait(30) == 0


def _ready(url: str) -> int:
    try:
        return _get(url + "/readyz")[0]
    except OSError:
        return 0  # not listening yet


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run"], 2, "--data"),
        (["serve"], 2, "--database-url"),
        (["worker"], 2, "--database-url"),
        (["db", "status"], 2, "--data"),
        (["db", "status", "--database-url", "postgresql://nobody@127.0.0.1:1/x"], 8, "does not answer"),
        (["db", "status", "--database-url", "nonsense"], 2, "scheme"),
        (["run", "--data", "/proc/nowhere"], 2, "/proc/nowhere"),
        (["run", "--data", "x", "--config", "/nowhere.toml"], 2, "nowhere.toml"),
    ],
)
def test_mistakes_end_with_a_line_and_a_code(arguments: list[str], code: int, said: str) -> None:
    done = _call(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
