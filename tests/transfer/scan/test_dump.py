"""Dumps: both formats, what is left out, and those that are not what they should be."""

from __future__ import annotations

import gzip
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.model.errors import InvalidRequest
from tests.transfer.conftest import adler32
from tests.transfer.scan.conftest import Scans, found
from transfer.scan.dump import LONGEST, Dump
from transfer.scan.lines import groups, place, whole
from transfer.scan.runs import Runs

BODY = b"0123456789"
XML = """<?xml version="1.0" encoding="utf-8"?>
<!-- made by hand -->
<dump recorded="2026-11-24T03:00:00"><for>vo:test</for><entry-set>
<entry name="a &amp; b"><size>12</size><checksum algorithm="AD">0a1b2c3d</checksum><last-modified>1</last-modified></entry>
<entry name="c"><size>0</size></entry>
</entry-set></dump>
"""


def read(data: bytes, step: int = 1 << 20, **how: str) -> tuple[Dump, list[tuple[bytes, Any]]]:
    dump = Dump(**how)
    lines = [line for at in range(0, len(data), step) for line in dump.feed(data[at : at + step])]
    runs = Runs()
    runs.add(lines + dump.finish())
    found = [place(*group) for batch in whole(runs.merged()) for group in groups(batch)]
    return dump, [(p.key, p.objects[0]) for p in found]


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda d: gzip.compress(d[:9]) + gzip.compress(d[9:])])
def test_text_in_pieces_of_any_size(step: int, pack: Any) -> None:
    data = pack(b"a/b 12\n\nc 5 1a2b\r\nwith blanks\t7\t-\nd\t0\n")
    _, objects = read(data, step)
    told = [(name, o.size, o.checksums) for name, o in objects]
    assert told == [
        (b"a/b", 12, {}), (b"c", 5, {"adler32": "00001a2b"}), (b"d", 0, {}), (b"with blanks", 7, {}),
    ]  # fmt: skip


@pytest.mark.parametrize("step", [1, 11, 1 << 20])
def test_xml_in_pieces_of_any_size(step: int) -> None:
    dump, objects = read(XML.encode(), step)
    assert [(n, o.size, o.mtime, o.checksums) for n, o in objects] == [
        (b"a & b", 12, 1_000_000, {"adler32": "0a1b2c3d"}),
        (b"c", 0, None, {}),
    ]
    assert dump.recorded == 1_795_489_200_000_000


PART = st.sampled_from(["", "a", "a/", "/", ".lading-", "b", "\\1", "é"])
LINE = st.tuples(
    st.lists(PART, max_size=4).map("".join), st.sampled_from([" 1", "\t1", " 07", " 1 0a1b2c3d", "\t1\t0A"])
)


@given(st.lists(LINE, max_size=6), PART, PART, st.lists(PART, max_size=2).map("".join))
def test_plain_lines_are_taken_as_each_by_itself(lines: Any, strip: str, prepend: str, under: str) -> None:
    data = "".join(f"{name or 'x'}{rest}\n" for name, rest in lines).encode() or b"x 1\n"

    def taken(plain: bool) -> Any:
        dump = Dump(strip=strip, prepend=prepend, under=under)
        if not plain:
            dump._pattern = None
        return dump.feed(data) + dump.finish(), dump.left_out

    assert taken(True) == taken(False)


def test_names_that_are_not_utf8_come_through() -> None:
    latin = b'<?xml version="1.0" encoding="iso-8859-1"?><dump><entry name="caf\xe9"><size>1</size></entry></dump>'
    assert [n for n, _ in read(latin)[1]] == [b"caf\xe9"]
    assert [n for n, _ in read(b"caf\xe9 1\n")[1]] == [b"caf\xe9"]


def test_strip_prepend_and_what_is_the_elements_own() -> None:
    data = b"/pnfs/vo/a 1\n/pnfs/other/b 1\n/pnfs/vo/.lading-tmp/x 1\n"
    dump, objects = read(data, strip="/pnfs/vo/")
    assert ([n for n, _ in objects], dump.left_out) == ([b"a"], 1)
    dump, objects = read(data, strip="/pnfs/", prepend="x/", under="x/vo")
    assert ([n for n, _ in objects], dump.left_out) == ([b"x/vo/.lading-tmp/x", b"x/vo/a"], 1)


def xml(entry: str, head: str = "") -> bytes:
    return f"{head}<dump>\n\n{entry}</dump>".encode()


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "empty"),
        (b"a 1\nb\n", "line 2"),
        (b"a 1\nb 1 2 3\n", "line 2"),
        (b"a 1\nb -1\n", "line 2"),
        (b"a 1\nb 99999999999999999999\n", "line 2"),
        (b"a 1\n\xd9\xa1 \xd9\xa1\n", "line 2"),  # digits, but not ours
        (b"a 1\nb 1 xyz\n", "line 2"),
        (b"a 1\nb 1", "line 2"),  # cut in the middle
        (b"a 1\n" + b"x" * LONGEST + b" 1\n", "line 2"),
        (b"a 1\n" + b"x" * (3 << 20), "line 2"),
        (b" " * (LONGEST + 2), "line 1"),
        (gzip.compress(b"a 1\n" * 1000, mtime=0)[:-9], "ends in the middle"),
        (b"\x1f\x8bnonsense", "gzip"),
        (gzip.compress(b"a 1\n", mtime=0) + b"rubbish", "gzip"),
        (xml("<entry name='a'>"), "line 3"),
        (xml("<entry name='a'><size>x</size></entry>"), "line 3"),
        (xml("<entry name='a'></entry>"), "line 3"),
        (xml("<entry><size>1</size></entry>"), "line 3"),
        (xml("<entry name='&e;'><size>1</size></entry>", "<!DOCTYPE d [<!ENTITY e 'x'>]>"), "DTD"),
        (xml("", "<!DOCTYPE d SYSTEM 'file:///etc/passwd'>"), "DTD"),
        (xml("<entry name='&e;'><size>1</size></entry>"), "line 3"),
        (xml("<entry name='a'><size>1</size><checksum algorithm='AD'>zz</checksum></entry>"), "line 3"),
        (xml("<entry name='a'><size>1</size><last-modified>soon</last-modified></entry>"), "line 3"),
        (xml("<entry name='a'><entry name='b'>"), "line 3"),
        (xml("<x>" * 100), "line 3"),
        (b"<dump>\n<entry name='\xff'>", "line 2"),
        (b"<html>\n</html>", "line 1"),
        (b"<dump>\n<entry name='" + b"x" * (4 << 20), "line"),
        (b"<dump>\n<entry name='" + b"x" * (LONGEST + 1) + b"'><size>1</size></entry></dump>", "line 2"),
        (b"<dump>\n<entry name='a'><size>" + b"1" * (1 << 20) + b"</size></entry></dump>", "line 2"),
        (XML.encode()[:-10], "line"),
        (XML.encode("utf-16"), "line"),
    ],
)
def test_what_is_wrong_is_refused_by_its_line(data: bytes, line: str) -> None:
    with pytest.raises(InvalidRequest, match=line):
        read(data)


def test_a_bomb_unpacks_in_small_pieces() -> None:
    bomb = gzip.compress(b"\0" * (200 << 20))
    with pytest.raises(InvalidRequest, match="line 1: it is longer"):
        read(bomb)


@given(st.binary(max_size=300), st.sampled_from([b"", b"<", b"<dump>", b"\x1f\x8b", b"a 1\n"]))
def test_nothing_but_invalid_request_comes_of_rubbish(data: bytes, head: bytes) -> None:
    with suppress(InvalidRequest):
        read(head + data, 5)


class TestAgainstTheCatalogue:
    async def test_finds_lost_dark_and_different(self, scans: Scans) -> None:
        for name in ("same", "sum", "size", "lost"):
            await scans.put(name, BODY)
        same, size, sums = [await scans.pfn(n) for n in ("same", "size", "sum")]
        data = f"/d/{same} 10 {adler32(BODY)}\n/d/{size} 11\n/d/{sums} 10 00000001\n/d/dark 5\n".encode()
        *lines, summary = await scans.dump(data, strip="/d/")
        assert found(lines, "lost") == ["/vo/lost"]
        assert set(found(lines, "mismatch")) == {"/vo/sum", "/vo/size"}
        assert found(lines, "dark") == ["dark"]
        told = next(line for line in lines if line.get("lfn") == "/vo/sum")
        assert (told["checksum"], told["expected_checksum"]) == ("adler32:00000001", f"adler32:{adler32(BODY)}")
        assert summary["same"] == 1

    async def test_what_came_after_it_is_not_judged(self, scans: Scans) -> None:
        await scans.put("old")
        (await scans.sql("update file set ctime = 1 where name = 'old' returning 1"))
        recorded = time.time_ns() // 1000
        await scans.put("new")
        *lines, summary = await scans.dump(b"some 1\n", recorded=recorded)
        assert (found(lines, "lost"), summary["young"]) == (["/vo/old"], 1)

    async def test_a_copy_made_after_it_is_not_judged(self, scans: Scans) -> None:
        """Of a file that is older than the dump."""
        await scans.put("old")
        await scans.sql("update file set ctime = 1 where name = 'old' returning 1")
        recorded = time.time_ns() // 1000
        assert "error" not in await scans.store.copy("/vo/old")
        *lines, summary = await scans.dump(b"some 1\n", se="two", recorded=recorded)
        assert (found(lines, "lost"), summary["young"]) == ([], 1)

    async def test_it_must_have_a_time(self, scans: Scans) -> None:
        for recorded, data in ((None, b"a 1\n"), (2**60, b"a 1\n")):
            (problem,) = await scans.dump(data, recorded=recorded)
            assert problem["code"] == "invalid_request"
        *_, summary = await scans.dump(XML.encode(), recorded=None)
        assert summary["objects"] == 2

    async def test_nothing_is_told_of_one_that_is_wrong(self, scans: Scans) -> None:
        (await scans.put("a")).unlink()
        data = b"dark 1\n" * 300_000 + b"wrong\n"
        (problem,) = await scans.dump(data, lost="mark-lost", however_many=True)
        assert (problem["code"], problem["status"]) == ("invalid_request", 400)
        assert "line 300001" in problem["detail"]
        assert await scans.store.sources("/vo/a") == [("one", "available")]
