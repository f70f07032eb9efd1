"""Elements, people, rights, account: as processes."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

from lading.client.credentials import path as credentials_path
from lading.model.file import FileSpec
from tests.cli.support import lading, on_terminal
from tests.client.support import Bench


async def test_se(bench: Bench, tmp_path: Path) -> None:
    options = [
        "--option",
        f"path={tmp_path / 'disk3'}",
        "-o",
        "threads=4",
        "--site",
        "lyon",
        "--cost",
        "5",
        "--tag",
        "fast",
    ]
    dry = await lading(bench, "se", "add", "disk3", "posix", *options, "--dry-run")
    assert dry.row["dry_run"] is True
    assert (await lading(bench, "se", "show", "disk3")).code == 5
    added = await lading(bench, "se", "add", "disk3", "posix", *options, "--no-delete", "--layout", "identity")
    assert added.code == 0, added.err
    row = added.row
    assert (row["site"], row["cost"], row["tags"], row["can_delete"], row["layout"]) == (
        "lyon",
        5,
        ["fast"],
        False,
        "identity",
    )
    assert int(row["options"]["threads"]) == 4
    assert (await lading(bench, "se", "ls")).rows[-1]["name"] == "disk3"
    changed = await lading(bench, "se", "set", "disk3", "--state", "read-only", "--delete", "--unset", "threads")
    assert (changed.row["state"], changed.row["can_delete"], "threads" in changed.row["options"]) == (
        "read-only",
        True,
        False,
    )
    assert (await lading(bench, "se", "set", "disk3", "--cost", "9", "--dry-run")).row["changes"] == ["cost"]
    assert (await lading(bench, "se", "show", "disk3")).row["cost"] == 5
    assert (await lading(bench, "se", "set", "disk3")).code == 2
    wrong = await lading(bench, "se", "set", "disk3", "--state", "sleepy")
    assert wrong.code == 2
    assert "state" in wrong.err
    assert (await lading(bench, "se", "probe", "disk1", "disk2")).rows[0]["ok"] is True
    links = (await lading(bench, "se", "matrix", "disk1", "disk2", "disk3")).rows
    assert [(x["source"], x["target"], x.get("ways")) for x in links if x["target"] != "disk1"] == [
        ("disk1", "disk2", ["server", "stream"]), ("disk1", "disk3", []),
        ("disk2", "disk3", []), ("disk3", "disk2", ["server", "stream"]),
    ]  # fmt: skip
    tried = (await lading(bench, "se", "matrix", "disk1", "disk2", "--probe")).rows
    assert [x["trial"]["ok"] for x in tried] == [True, True]
    assert (await lading(bench, "se", "probe", "disk1", "none")).code == 1
    assert (await lading(bench, "se", "add", "x", "posix", "--option", "pth=/x")).code == 2
    assert (await lading(bench, "se", "add", "x", "posix", "--option", "path")).code == 2
    assert (await lading(bench, "se", "rm", "disk3", "--dry-run")).row["replicas"] == 0
    assert (await lading(bench, "se", "rm", "disk3")).code == 0
    assert (await lading(bench, "se", "rm", "disk3")).code == 5
    types = await lading(bench, "se", "types")
    assert "posix" in [t["name"] for t in types.rows]
    shown = await on_terminal(bench, "se", "types")
    assert "the root folder" in shown.text
    assert "disk1" in (await on_terminal(bench, "se", "ls")).text
    shown = (await on_terminal(bench, "se", "show", "disk1")).text
    assert "path=" in shown
    assert re.search(r"created +20\d\d-\d\d-\d\d \d\d:", shown), "no microseconds since 1970 for people"


async def test_an_element_that_fails_is_shown_as_out(bench: Bench) -> None:
    await bench.client.write("/vo/x", b"content")
    assert (await lading(bench, "se", "set", "disk1", "--max-rate", "1000000")).row["max_rate"] == 1_000_000
    away = bench.disks["disk1"].rename(bench.here / "away")
    while not (await bench.client.elements.show("disk1")).out_since:
        assert (await bench.server.call("GET", "/v1/data/vo/x"))[0] == 503
    assert "root folder is not there" in (await lading(bench, "se", "ls")).rows[0]["fault"]
    assert "OUT since 20" in (await on_terminal(bench, "se", "ls")).text
    assert "'disk1' is out until it answers again" in str(await bench.server.call("GET", "/v1/data/vo/x"))
    away.rename(bench.disks["disk1"])
    assert (await lading(bench, "se", "probe", "disk1")).row["ok"] is True
    assert (await lading(bench, "se", "show", "disk1")).row["out_since"] is None
    assert (await lading(bench, "get", "/vo/x", "out", "--no-direct")).code == 0


async def test_a_probe_that_fails(bench: Bench) -> None:
    shutil.rmtree(bench.disks["disk1"])
    bench.disks["disk1"].write_bytes(b"no folder any more")
    done = await lading(bench, "se", "probe", "disk1")
    assert done.code == 8
    assert "disk1" in done.err
    assert done.rows[0]["ok"] is False


async def test_people_and_tokens(bench: Bench) -> None:
    assert (await lading(bench, "group", "add", "lab")).code == 0
    assert (await lading(bench, "user", "add", "alice", "--group", "lab", "--dn", "/C=FR/CN=alice", "--dry-run")).row[
        "dry_run"
    ]
    made = await lading(bench, "user", "add", "alice", "--group", "lab", "--dn", "/C=FR/CN=alice")
    assert made.row["dns"] == ["/C=FR/CN=alice"]
    assert (await lading(bench, "user", "add", "alice")).code == 6
    assert (await lading(bench, "user", "set", "alice", "--email", "a@b.c")).row["email"] == "a@b.c"
    assert (await lading(bench, "user", "set", "alice")).code == 2
    assert "alice" in [u["name"] for u in (await lading(bench, "user", "ls")).rows]
    assert (await lading(bench, "user", "show", "alice")).row["groups"] == ["lab"]
    assert (await lading(bench, "vo", "set", "biomed", "--admin", "alice")).row["admins"] == ["alice"]
    assert "biomed" in [v["name"] for v in (await lading(bench, "vo", "ls")).rows]
    assert "lab" in [g["name"] for g in (await lading(bench, "group", "ls")).rows]
    token = (
        await lading(bench, "token", "add", "--user", "alice", "--scope", "read", "--days", "1", "--name", "job")
    ).row
    alice = {"LADING_TOKEN": token["token"]}
    me = (await lading(bench, "whoami", **alice)).row
    assert (me["user"], me["url"]) == ("alice", bench.server.url)
    assert (await lading(bench, "mkdir", "-p", "/biomed/x", **alice)).code == 4
    assert (await lading(bench, "user", "ls", **alice)).code in (0, 4)
    assert token["id"] in [t["id"] for t in (await lading(bench, "token", "ls", "--user", "alice")).rows]
    assert "token" not in (await lading(bench, "token", "ls", "--user", "alice")).rows[0]
    assert (await lading(bench, "token", "rm", token["id"], "--dry-run")).code == 0
    assert (await lading(bench, "token", "rm", token["id"])).code == 0
    assert (await lading(bench, "whoami", **alice)).code == 3
    assert (await lading(bench, "user", "set", "alice", "--disabled")).row["disabled"] is True
    assert (await lading(bench, "vo", "rm", "biomed")).code == 0
    assert (await lading(bench, "user", "rm", "alice")).code == 0
    assert (await lading(bench, "group", "rm", "lab")).code == 0


async def test_rights(bench: Bench) -> None:
    c = bench.client
    await c.register([FileSpec("/vo/d/a", 1), FileSpec("/vo/d/s/b", 1)])
    await lading(bench, "user", "add", "alice")
    await lading(bench, "group", "add", "lab")
    assert (await lading(bench, "chmod", "640", "/vo/d/a")).code == 0
    assert (await c.entry("/vo/d/a")).mode == 0o640
    assert (await lading(bench, "chmod", "-r", "u=rwX,go=", "/vo/d")).code == 0
    modes = {lfn: (await c.entry(lfn)).mode for lfn in ("/vo/d", "/vo/d/a", "/vo/d/s", "/vo/d/s/b")}
    assert modes == {"/vo/d": 0o700, "/vo/d/a": 0o600, "/vo/d/s": 0o700, "/vo/d/s/b": 0o600}
    assert (await lading(bench, "chmod", "u+q", "/vo/d")).code == 2
    assert (await lading(bench, "chmod", "a+r", "/vo/no")).code == 5
    assert (await lading(bench, "chmod", "777", "/vo/d", "--dry-run")).code == 0
    assert (await c.entry("/vo/d")).mode == 0o700
    assert (await lading(bench, "chown", "-r", "alice:lab", "/vo/d")).code == 0
    entry = await c.entry("/vo/d/s/b")
    assert (entry.owner, entry.group) == ("alice", "lab")
    assert (await lading(bench, "chown", ":admin", "/vo/d/a")).code == 0
    assert (await c.entry("/vo/d/a")).owner == "alice"
    assert (await lading(bench, "chown", ":", "/vo/d/a")).code == 2
    assert (await lading(bench, "comment", "by hand", "/vo/d/a")).code == 0
    assert (await c.entry("/vo/d/a")).comment == "by hand"
    entries = ["-m", "user:alice:r-x", "-m", "default:group:lab:rwx"]
    assert (await lading(bench, "acl", "set", "/vo/d", *entries)).code == 0
    row = (await lading(bench, "acl", "get", "/vo/d")).row
    assert {"user:alice:r-x", "default:group:lab:rwx"} <= set(row["acl"])
    assert "user:alice:r-x" in (await on_terminal(bench, "acl", "get", "/vo/d")).text
    assert (await lading(bench, "acl", "set", "/vo/d", "-x", "user:alice:")).code == 0
    assert "user:alice:r-x" not in (await lading(bench, "acl", "get", "/vo/d")).row["acl"]
    assert (await lading(bench, "acl", "set", "/vo/d", "--clear")).code == 0
    assert (await lading(bench, "acl", "get", "/vo/d")).row["acl"] == []
    assert (await lading(bench, "acl", "set", "/vo/d", "-m", "nonsense")).code == 2
    assert (await lading(bench, "acl", "set", "/vo/d")).code == 2


async def test_alias_and_audit(bench: Bench) -> None:
    await bench.client.register([FileSpec("/vo/new/f", 1)])
    assert (await lading(bench, "alias", "set", "/old", "/vo/new", "--dry-run")).row["dry_run"]
    assert (await lading(bench, "alias", "set", "/old", "/vo/new")).code == 0
    assert (await lading(bench, "alias", "ls")).row == {"prefix": "/old", "target": "/vo/new"}
    assert (await lading(bench, "stat", "/old/f")).code == 0
    assert (await lading(bench, "alias", "rm", "/old")).code == 0
    assert (await lading(bench, "stat", "/old/f")).code == 5
    rows = (await lading(bench, "audit", "--user", "admin", "--since", "1h", "--limit", "3")).rows
    assert len(rows) == 3
    assert rows[0]["at"] >= rows[-1]["at"]
    assert int((await lading(bench, "audit", "--count")).text) > 3
    assert (await lading(bench, "audit", "--since", "yesterday-ish")).code == 2
    assert "admin" in (await on_terminal(bench, "audit")).text


async def test_login(bench: Bench) -> None:
    token = bench.server.token
    bad = await lading(None, "login", bench.server.url, stdin=b"wrong-token\n")
    assert bad.code == 3
    assert not credentials_path().exists()
    done = await lading(None, "login", bench.server.url, stdin=token.encode() + b"\n")
    assert done.code == 0, done.err
    assert done.row["user"] == "admin"
    assert token not in done.text + done.err
    assert stat.S_IMODE(credentials_path().stat().st_mode) == 0o600
    assert (await lading(None, "whoami")).row["user"] == "admin"
    bench.local("token", token.encode() + b"\n")
    second = await lading(None, "login", bench.server.url, "--name", "two", "--token-file", str(bench.here / "token"))
    assert second.row["server"] == "two"
    assert (await lading(None, "--server", "default", "whoami")).row["user"] == "admin"
    assert (await lading(None, "--server", "three", "whoami")).code == 3
    assert (await lading(None, "logout")).row == {"server": "two"}
    assert (await lading(None, "logout", "default")).code == 0
    nobody = await lading(None, "whoami")
    assert nobody.code == 3
    assert "lading login" in nobody.err
    assert (await lading(None, "login", "nonsense")).code == 2


async def test_wrong_use_and_a_server_that_is_away(bench: Bench) -> None:
    assert (await lading(bench, "frobnicate")).code == 2
    assert (await lading(bench, "ls", "--nonsense")).code == 2
    assert (await lading(bench, "--version")).text.startswith("lading ")
    away = await lading(bench, "ls", LADING_URL="http://127.0.0.1:1")
    assert away.code == 8
    assert away.err.startswith("lading: no answer from http://127.0.0.1:1")
    assert len(away.err.splitlines()) == 1


async def test_completion(bench: Bench) -> None:
    await bench.client.register([FileSpec("/vo/alpha", 1), FileSpec("/vo/alps/x", 1), FileSpec("/vo/beta", 1)])
    asked = {"_LADING_COMPLETE": "complete_bash", "COMP_WORDS": "lading stat /vo/al", "COMP_CWORD": "2"}
    import asyncio
    import sys

    from tests.cli.support import environment

    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("lading")), env=environment(bench, **asked), stdout=-1, stderr=-1
    )
    out, err = await process.communicate()
    assert out.decode().split() == ["/vo/alpha", "/vo/alps/"], err
