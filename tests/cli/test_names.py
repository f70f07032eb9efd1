"""Commands on names, run as processes against the real server."""

from __future__ import annotations

import json

import pytest

from lading.cli.names import plain
from lading.cli.output import unfolded
from lading.cli.symbolic import applied, octal
from lading.model.errors import InvalidRequest
from lading.model.file import FileSpec
from tests.cli.support import lading, on_terminal
from tests.client.support import Bench


async def seeded(bench: Bench) -> None:
    names = ["a.csv", "b.csv", "d/c.csv", "d/e/f.txt", ".hidden", "we[i]rd"]
    await bench.client.register([FileSpec(f"/vo/{n}", len(n), checksums={"adler32": "00000001"}) for n in names])


async def test_ls(bench: Bench) -> None:
    await seeded(bench)
    done = await lading(bench, "ls", "/vo")
    assert done.code == 0
    assert [r["lfn"] for r in done.rows] == ["/vo/.hidden", "/vo/a.csv", "/vo/b.csv", "/vo/d", "/vo/we[i]rd"]
    row = done.rows[1]
    assert (row["kind"], row["size"], row["checksums"]) == ("file", 5, {"adler32": "00000001"})
    assert set(row) >= {"guid", "owner", "group", "mode", "ctime", "mtime", "status", "replicas", "target", "acl"}
    assert (await lading(bench, "ls", "-R", "/vo", "--count")).text == "8\n"
    assert (await lading(bench, "ls", "-d", "/vo")).row["lfn"] == "/vo"
    assert (await lading(bench, "ls")).row["lfn"] == "/vo"
    mixed = await lading(bench, "ls", "/vo/a.csv", "/vo/no", "lfn:///vo/d")
    assert mixed.code == 1
    assert [r.get("lfn", r.get("item")) for r in mixed.rows] == ["/vo/a.csv", "/vo/no", "/vo/d/c.csv", "/vo/d/e"]
    assert mixed.rows[1]["error"]["code"] == "not_found"
    assert mixed.err == "lading: '/vo/no' does not exist\n"
    assert (await lading(bench, "ls", "/vo/no")).code == 5


async def test_patterns(bench: Bench) -> None:
    await seeded(bench)

    async def ls(*patterns: str) -> list[str]:
        return [r["lfn"] for r in (await lading(bench, "ls", "-d", *patterns)).rows]

    assert await ls("/vo/*.csv") == ["/vo/a.csv", "/vo/b.csv"]
    assert await ls("/vo/[ab].csv", "/vo/?") == ["/vo/a.csv", "/vo/b.csv", "/vo/d"]
    assert await ls("/vo/.h*") == ["/vo/.hidden"]
    assert await ls("/*/*/c.csv") == ["/vo/d/c.csv"]
    assert await ls("/vo/**/*.csv") == ["/vo/a.csv", "/vo/b.csv", "/vo/d/c.csv"]
    assert await ls("/vo/we[i]rd") == ["/vo/we[i]rd"]  # what is there by that very name is meant
    none = await lading(bench, "ls", "/vo/*.root")
    assert (none.code, none.err) == (5, "lading: nothing matches '/vo/*.root'\n")


async def test_a_link_that_leads_nowhere_is_listed_as_itself(bench: Bench) -> None:
    await seeded(bench)
    await bench.client.link([("/vo/gone", "/vo/none/x"), ("/vo/loop", "/vo/loop"), ("/vo/l", "/vo/d")])
    done = await lading(bench, "ls", "/vo/gone", "/vo/loop", "/vo/l")
    assert (done.code, done.err) == (0, "")
    assert [(row["lfn"], row["kind"]) for row in done.rows] == [
        ("/vo/gone", "link"), ("/vo/loop", "link"), ("/vo/d/c.csv", "file"), ("/vo/d/e", "directory"),
    ]  # fmt: skip
    assert (await lading(bench, "ls", "/vo/gone/x")).code == 5


async def test_on_a_terminal_there_are_tables(bench: Bench) -> None:
    await seeded(bench)
    await bench.client.link([("/vo/l", "/vo/d")])
    short = await on_terminal(bench, "ls", "/vo")
    assert short.text.split() == [".hidden", "a.csv", "b.csv", "d/", "l@", "we[i]rd"]
    long = await on_terminal(bench, "ls", "-l", "/vo")
    assert long.text.splitlines()[0].split()[:4] == ["mode", "replicas", "owner", "group"]
    assert "l -> /vo/d" in long.text
    assert "drwx" in long.text
    facts = await on_terminal(bench, "stat", "/vo/a.csv")
    assert "00000001" in facts.text
    assert "5 B (5 bytes)" in facts.text
    assert json.loads((await on_terminal(bench, "stat", "--json", "/vo/a.csv")).text)["size"] == 5
    await bench.client.register([FileSpec("/vo/[red]", 1)])
    assert "[red]" in (await on_terminal(bench, "stat", "/vo/[red]")).text  # no markup


async def test_names_cannot_play_with_the_terminal(bench: Bench) -> None:
    await bench.client.register([FileSpec("/vo/x", 1, comment="\x1b[31mred\x9b0m\x07")])
    for options in ([], ["--json"]):
        done = await on_terminal(bench, "stat", *options, "/vo/x")
        assert "red" in done.text
        assert not {"\x1b", "\x07", "\x9b"} & set(done.text)
    bad = await lading(bench, "stat", "/vo/\x1b[31m")
    assert bad.code == 2
    assert "\x1b" not in bad.err
    assert "control characters" in bad.err


async def test_stat_and_from_file(bench: Bench) -> None:
    await seeded(bench)
    listed = b"/vo/a.csv\n\n/vo/no\r\n/vo/d\n"
    done = await lading(bench, "stat", "--from-file", "-", stdin=listed)
    assert [r.get("kind", "error") for r in done.rows] == ["file", "error", "directory"]
    assert done.code == 1
    bench.local("names", listed)
    assert (await lading(bench, "stat", "--from-file", "names")).rows == done.rows
    assert (await lading(bench, "stat")).code == 2
    assert "No such file" in (await lading(bench, "stat", "--from-file", "nowhere")).err
    assert (await lading(bench, "stat", "--from-file", "-", stdin=b"/vo/\xff\n")).code == 2
    assert (await lading(bench, "stat", b"/vo/\xff".decode("utf-8", "surrogateescape"))).code == 2


async def test_mkdir_mv_ln_rm_trash(bench: Bench) -> None:
    await seeded(bench)
    c = bench.client
    assert (await lading(bench, "mkdir", "/vo/n/m")).code == 5
    assert (await lading(bench, "mkdir", "-p", "/vo/n/m", "--dry-run")).row["dry_run"] is True
    assert not (await c.exists(["/vo/n"]))[0].value
    assert (await lading(bench, "mkdir", "-p", "-m", "750", "/vo/n/m")).row == {"item": "/vo/n/m", "changed": True}
    assert (await c.entry("/vo/n/m")).mode == 0o750
    assert (await lading(bench, "mkdir", "/vo/n")).code == 6
    moved = await lading(bench, "mv", "/vo/*.csv", "/vo/n")
    assert [r["item"] for r in moved.rows] == ["/vo/a.csv", "/vo/b.csv"]
    assert (await c.entry("/vo/n/b.csv")).size == 5
    assert (await lading(bench, "mv", "/vo/n/a.csv", "/vo/n/b.csv", "/vo/.hidden")).code == 2
    assert (await lading(bench, "mv", "/vo/n/a.csv", "/vo/n/b.csv")).code == 6
    assert (await lading(bench, "ln", "../n/a.csv", "/vo/d/l")).code == 0
    assert (await c.entry("/vo/d/l")).size == 5
    refused = await lading(bench, "rm", "/vo/n")
    assert refused.code in (2, 6)
    dry = await lading(bench, "rm", "-r", "/vo/n", "--dry-run")
    assert (dry.row["dry_run"], dry.row["files"]) == (True, 2)
    assert (await c.exists(["/vo/n"]))[0].value
    removed = await lading(bench, "rm", "-r", "/vo/n", "--keep", "1")
    assert removed.row["files"] == 2
    assert removed.row["expires"] - removed.row["removed_at"] == 86_400_000_000
    assert (await lading(bench, "trash", "ls")).row["lfn"] == "/vo/n"
    assert (await lading(bench, "trash", "ls", "--count")).text == "1\n"
    assert (await lading(bench, "trash", "restore", "/vo/n", "--dry-run")).code == 0
    assert (await lading(bench, "trash", "restore", "/vo/n")).row["value"] == "/vo/n"
    assert (await c.entry("/vo/n/b.csv")).size == 5
    assert (await lading(bench, "trash", "restore", "/vo/n")).code == 5
    gone = await lading(bench, "rm", "-r", "--purge", "/vo/n")
    assert gone.code == 0
    assert (await lading(bench, "trash", "purge", 99999)).code == 5


async def test_du(bench: Bench) -> None:
    await seeded(bench)
    assert (await lading(bench, "du", "/vo/d")).row == {
        "lfn": "/vo/d",
        "files": 2,
        "bytes": 16,
        "directories": 1,
        "elements": {},
    }
    await bench.client.write("/vo/x", b"12345", se="disk1")
    shown = await on_terminal(bench, "du", "-e", "/vo")
    assert "disk1" in shown.text


async def test_a_closed_pipe_is_no_error(bench: Bench) -> None:
    import asyncio
    import sys

    await bench.client.register([FileSpec(f"/vo/d/{i:05}", 1) for i in range(20_000)])
    from tests.cli.support import environment

    process = await asyncio.create_subprocess_shell(
        f"{sys.executable} -m lading.cli.main ls /vo/d | head -1", stdout=-1, stderr=-1, env=environment(bench)
    )
    out, err = await process.communicate()
    assert json.loads(out)["lfn"] == "/vo/d/00000"
    assert err == b""


@pytest.mark.parametrize(
    ("text", "lfn"),
    [
        ("/a/b", "/a/b"),
        ("lfn:///a/b", "/a/b"),
        ("LFN:/a/b", "/a/b"),
        ("lfn://a/b", "/a/b"),
        ("/a/b/", "/a/b"),
        ("lfn:///", "/"),
    ],
)
def test_forms(text: str, lfn: str) -> None:
    assert plain(text) == lfn


@pytest.mark.parametrize("text", ["a", "", "lfn:a", "/a//b", "/a/../b", "/\n"])
def test_no_lfns(text: str) -> None:
    with pytest.raises(InvalidRequest):
        plain(text)


@pytest.mark.parametrize(
    ("text", "mode", "directory", "wanted"),
    [
        ("u+x", 0o644, False, 0o744),
        ("go-rwx", 0o777, False, 0o700),
        ("a=r", 0o777, False, 0o444),
        ("u=rwX,g=rX,o=", 0o600, False, 0o640),
        ("u=rwX,g=rX,o=", 0o600, True, 0o750),
        ("+X", 0o654, False, 0o755),
        ("o=", 0o1777, True, 0o1770),
        ("g+s,+t", 0o755, True, 0o3755),
        ("u-x,u+w", 0o500, False, 0o600),
    ],
)
def test_symbolic_modes(text: str, mode: int, directory: bool, wanted: int) -> None:
    assert applied(text, mode, directory=directory) == wanted


@pytest.mark.parametrize("text", ["", "x", "u+q", "u+r,", "rwxr-xr-x", "+r+w", "8"])
def test_bad_symbolic_modes(text: str) -> None:
    with pytest.raises(InvalidRequest):
        applied(text, 0, directory=False)


@pytest.mark.parametrize("text", ["", "8", "77777", "-1", "0x1", "u+r"])
def test_bad_octal_modes(text: str) -> None:
    with pytest.raises(InvalidRequest):
        octal(text)


@pytest.mark.parametrize(("width", "whole"), [(200, {0, 1, 2}), (80, {0, 1}), (40, {1}), (10, set())])
def test_names_stay_on_one_line_where_there_is_room(width: int, whole: set[int]) -> None:
    rows = [("name", "state", "URL"), ("lxn1183.decommissioned.example", "active", "file:///" + "x" * 70)]
    assert unfolded(rows, width) == whole


async def test_tables_in_a_file_are_not_folded(bench: Bench) -> None:
    await bench.client.register([FileSpec("/vo/" + "n" * 200, 1)])
    done = await lading(bench, "ls", "-l", "--no-json", "/vo")
    assert "n" * 200 in done.text
