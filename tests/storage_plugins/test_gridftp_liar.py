"""What a GridFTP element makes of a server that lies, babbles or falls silent: a typed error, soon, and no bytes that
are not those asked for."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage_plugins import registry
from storage_plugins.base import Element
from storage_plugins.chunks import BATCH, chunked
from storage_plugins.errors import (
    ChecksumMismatch,
    Denied,
    InvalidPath,
    NoSpace,
    ObjectExists,
    ObjectNotFound,
    StorageError,
    Transient,
    Unavailable,
    Unsupported,
)
from storage_plugins.gridftp_element import GridftpElement
from storage_plugins.gridftp_replies import Replies, Reply, refused
from storage_plugins.gridftp_tree import entry_of
from storage_plugins.testing_tools import get, names, put
from storage_plugins.verify import verify
from tests.storage_plugins.ftp_liar import EOD, EOF, MARKER, FtpLiar, block, ftp_liar, tells

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FILE = os.urandom(3 * BATCH + 5)
END = block(EOF, 1) + block(EOD)


@pytest.fixture
async def liar() -> AsyncIterator[FtpLiar]:
    async with ftp_liar() as server:
        server.files["/x"] = len(FILE)
        yield server


@contextlib.asynccontextmanager
async def opened(server: FtpLiar, **options: Any) -> AsyncIterator[Element]:
    basic = {"url": f"ftp://127.0.0.1:{server.port}", "timeout": 0.5, "marker": False}
    element = registry.open("gridftp", {**basic, **options}, name="liar")
    try:
        yield element
    finally:
        await asyncio.wait_for(element.aclose(), 20)


async def fails(server: FtpLiar, kind: type[StorageError], match: str | None = None, **options: Any) -> None:
    """Reading /x raises just this, and soon."""
    async with opened(server, **options) as element:
        with pytest.raises(StorageError, match=match) as raised:
            await asyncio.wait_for(get(element, "x"), 20)
        assert type(raised.value) is kind


# ── the control connection ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("banner", "kind"),
    [
        (None, Unavailable),
        (b"", Unavailable),
        (b"SSH-2.0-OpenSSH_9.2\r\n", StorageError),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", StorageError),
        (b"\x00\xff\x16\x03\x01\r\n", StorageError),
        (b"x" * (1 << 18), StorageError),
        (b"220-" + b"x" * (1 << 16) + b"\r\n" + (b"more" * 10000 + b"\r\n") * 40, StorageError),
        (b"220-endless\r\n", Unavailable),
        (b"120 later\r\n", Unavailable),
        (b"999 what\r\n", StorageError),
        (b"421 Too many users\r\n", Unavailable),
        (b"530 Not you\r\n", Unavailable),
    ],
)
async def test_banners(liar: FtpLiar, banner: bytes | None, kind: type[StorageError]) -> None:
    liar.banner = banner
    await fails(liar, kind)


async def test_nobody_there(liar: FtpLiar) -> None:
    await liar.stop()
    await fails(liar, Unavailable, "no connection")


async def test_a_password_is_in_no_message(liar: FtpLiar) -> None:
    liar.answers["PASS"] = "530 User joe may not log in with hunter2"
    await fails(liar, Denied, "log in with …", username="joe", password="hunter2")


async def test_a_server_without_mlst(liar: FtpLiar) -> None:
    liar.features = ("SIZE", "MDTM")
    await fails(liar, Unsupported, "fsspec")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (None, Transient),
        ("gibberish", StorageError),
        ("250 End", Transient),
        ("250-\r\n Type=file; x\r\n250 End", Transient),
        ("250-\r\n Size=5; x\r\n250 End", Transient),
        ("250-\r\n Type=file;Size=minus; x\r\n250 End", Transient),
        ("250-\r\n Type=OS.unix=pipe;Size=5; x\r\n250 End", InvalidPath),
        ("421 Good-bye", Unavailable),
        ("550 Permission denied", Denied),
        ("451-GlobusError: v=1\r\n451-GridFTP-Errno: 5\r\n451 End.", Transient),
        ("550 Something odd", StorageError),
    ],
)
async def test_answers_to_a_look(liar: FtpLiar, answer: str | None, kind: type[StorageError]) -> None:
    liar.answers["MLST"] = answer
    await fails(liar, kind)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(550, ("No such file or directory",)), ObjectNotFound),
        (Reply(550, ("GridFTP-Errno: 2",)), ObjectNotFound),
        (Reply(550, ("GridFTP-Errno: 13",)), Denied),
        (Reply(553, ("GridFTP-Errno: 17",)), ObjectExists),
        (Reply(451, ("GridFTP-Errno: 36",)), InvalidPath),
        (Reply(451, ("GridFTP-Errno: 28",)), NoSpace),
        (Reply(451, ("GridFTP-Errno: 4711",)), Transient),
        (Reply(452, ("full",)), NoSpace),
        (Reply(500, ("Unknown checksum algorithm requested.",)), Unsupported),
        (Reply(500, ("Command failed",)), Transient),
        (Reply(425, ("No data connection",)), Transient),
        (Reply(550, ("",)), StorageError),
        (Reply(530, ("Log in first",)), Denied),
    ],
)
def test_what_replies_mean(reply: Reply, kind: type[StorageError]) -> None:
    assert type(refused(reply, "RETR", "x")) is kind


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"") + b"\n"), max_size=30))
def test_whatever_comes_is_a_reply_or_a_typed_error(lines: list[bytes]) -> None:
    async def run() -> None:
        waiting = iter([*lines, b"220 x\n"])

        async def readline() -> bytes:
            try:
                return next(waiting)
            except StopIteration:
                raise Transient("the end") from None

        replies = Replies(readline)
        with contextlib.suppress(StorageError):
            while True:
                assert 100 <= (await replies.next()).code < 700

    asyncio.run(run())


@given(st.text(max_size=60))
def test_whatever_is_listed_is_an_entry_or_a_typed_error(line: str) -> None:
    with contextlib.suppress(Transient):
        assert entry_of(line).size >= 0


# ── where data goes ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_we_are_not_sent_to_another_host() -> None:
    async with ftp_liar("127.0.0.2") as server:
        server.files["/x"] = len(FILE)
        server.data = tells(FILE)
        await fails(server, StorageError, "option 'other_hosts'", passive=True)
        async with opened(server, passive=True, other_hosts=True) as element:
            assert await get(element, "x") == FILE


@pytest.mark.parametrize("answer", ["227 here", "227 (1,2,3)", "227 (127,0,0,1,0,0)", "227 (127,0,0,300,4,1)", "229 x"])
async def test_nonsense_about_where_data_goes(liar: FtpLiar, answer: str) -> None:
    liar.answers["PASV"] = answer
    await fails(liar, StorageError, "where it waits", passive=True)


async def test_a_server_that_does_not_connect(liar: FtpLiar) -> None:
    liar.answers["RETR"] = "150 It begins."
    await fails(liar, Transient, "option 'passive'")


async def test_a_stranger_s_connection_is_not_taken(liar: FtpLiar) -> None:
    """Whoever guesses the port has to come from the server's address."""
    liar.answers |= {"RETR": "150 It begins.", "PORT": "200 Noted."}
    async with opened(liar, timeout=2) as element:
        reading = asyncio.create_task(get(element, "x"))
        while not any(command.startswith("RETR") for command in liar.commands):  # noqa: ASYNC110  (it has no event for each command)
            await asyncio.sleep(0.01)
        numbers = next(c for c in liar.commands if c.startswith("PORT")).split(",")
        port = int(numbers[4]) * 256 + int(numbers[5])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.3", 0))
        assert await reader.read() == b""
        writer.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def test_a_session_is_used_again_after_breaking_off(liar: FtpLiar) -> None:
    """Leaving early costs no new log-in: the server is told to abort, and what it says to that is waited for."""

    async def stop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(FILE[:BATCH])
        await reader.read()

    liar.answers |= {"RETR": "150 It begins.", "ABOR": "426 Broken off.\r\n226 Abort successful."}
    async with opened(liar, passive=True, timeout=5) as element:
        assert isinstance(element, GridftpElement)
        for _ in range(2):
            liar.data = stop
            async with contextlib.aclosing(element.read("x")) as chunks:
                assert FILE.startswith(bytes(await anext(chunks)))
            await element._sessions.settled()
        liar.answers.pop("RETR")
        liar.data = tells(FILE)
        assert await get(element, "x") == FILE
    verbs = [command.partition(" ")[0] for command in liar.commands]
    assert (verbs.count("USER"), verbs.count("ABOR")) == (1, 2)


async def test_a_restart_is_not_left_to_the_next_transfer(liar: FtpLiar) -> None:
    """A REST holds for whatever transfer comes next, a write too: a session where none came is not used again."""
    liar.features = ("MLST", "SIZE")
    liar.answers["RETR"] = "425 Not now"
    async with opened(liar) as element:
        with pytest.raises(Transient):
            await get(element, "x", 5)
        liar.answers.pop("RETR")
        liar.data = tells(FILE[5:])
        for _ in range(2):
            assert await get(element, "x", 5) == FILE[5:]
    verbs = [command.partition(" ")[0] for command in liar.commands]
    assert (verbs.count("USER"), verbs.count("REST")) == (2, 3)


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("sent", [FILE[:-1], b"", FILE[:BATCH]])
async def test_less_than_promised_in_a_stream(liar: FtpLiar, sent: bytes) -> None:
    liar.data = tells(sent)
    await fails(liar, Transient, "did not come", passive=True)


async def test_more_than_promised_is_cut(liar: FtpLiar) -> None:
    liar.data = tells(FILE + b"more")
    async with opened(liar, passive=True) as element:
        assert await get(element, "x") == FILE


async def test_a_stream_that_stops(liar: FtpLiar) -> None:
    async def stop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(FILE[:BATCH])
        await reader.read()

    liar.data = stop
    await fails(liar, Transient, "no data within", passive=True)


async def test_blocks_in_any_order_over_any_connection(liar: FtpLiar) -> None:
    cut = [(at, FILE[at : at + 300_000]) for at in range(0, len(FILE), 300_000)]
    first = [block(0, at, piece) for at, piece in reversed(cut[::2])]
    second = [block(MARKER, 0, b"0-5"), *(block(0, at, piece) for at, piece in cut[1::2])]
    liar.senders = [[*first, block(EOD)], [block(EOF, 2), *second, block(EOD)]]
    async with opened(liar) as element:
        assert await get(element, "x") == FILE


async def test_blocks_far_from_their_turn(liar: FtpLiar) -> None:
    """One connection brings the end first: the window grows, and ends."""
    size = 24 * BATCH // 2
    liar.files["/x"] = size
    blocks = [block(0, at, bytes([at >> 20]) * BATCH) for at in range(0, size, BATCH)]
    liar.senders = [[*reversed(blocks), END]]
    async with opened(liar) as element:
        assert await get(element, "x") == b"".join(one[17:] for one in blocks)
        liar.files["/x"] = 10 * size
        liar.senders = [[block(0, at, bytes(BATCH)) for at in range(10 * size - BATCH, -1, -BATCH)] + [END]]
        with pytest.raises(Transient):
            await asyncio.wait_for(get(element, "x"), 20)


WHOLE = block(0, 0, FILE)


@pytest.mark.parametrize(
    "senders",
    [
        [[block(0, 0, FILE[:-1]), END]],  # short
        [[WHOLE]],  # no end
        [[WHOLE, block(EOD)]],  # no count
        [[WHOLE, block(EOF, 1)]],  # no end of the connection
        [[WHOLE, block(EOF, 2), block(EOD)]],  # a connection that never comes
        [[WHOLE, block(EOF, 0), block(EOD)]],
        [[WHOLE, block(EOF, 1 << 40), block(EOD)]],
        [[WHOLE, block(EOF, 1), block(EOF, 1), block(EOD)]],
        [[block(0, 1, FILE), END]],  # beyond the end
        [[WHOLE, block(0, 5, b"x"), END]],  # twice
        [[block(0, 0, FILE[:10]), block(0, 5, FILE[5:]), END]],  # overlapping
        [[block(0, 0, FILE, count=1 << 62), END]],  # endless
        [[block(0, 1 << 63, FILE), END]],
        [[block(32, 0, FILE), END]],  # marked as faulty
        [[WHOLE[:-5]]],
        [[b"\0" * 5]],
    ],
)
async def test_blocks_that_are_wrong(liar: FtpLiar, senders: list[list[bytes]]) -> None:
    liar.senders = senders
    async with opened(liar) as element:
        with pytest.raises(StorageError) as raised:
            await asyncio.wait_for(get(element, "x"), 20)
        assert type(raised.value) in (Transient, StorageError)


async def test_no_word_of_success(liar: FtpLiar) -> None:
    liar.data = tells(FILE)
    liar.answers["RETR"] = None
    await fails(liar, Transient, "does not say", passive=True)
    liar.answers["RETR"] = "426 Something broke"
    await fails(liar, Transient, "Something broke", passive=True)


# ── what is written, summed up, listed ───────────────────────────────────────────────────────────────────────────────


async def write(element: Element) -> None:
    await asyncio.wait_for(element.write("new", chunked(FILE), size=len(FILE)), 20)


@pytest.mark.parametrize("features", [(), ("PARALLEL",)])
@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"STOR": "226 Done."}, Transient),  # and has less than was sent
        ({"STOR": None}, Transient),
        ({"STOR": "552 Quota exceeded"}, NoSpace),
        ({"STOR": "553 Permission denied"}, Denied),
        ({"STOR": "150 It begins.\r\n426 Disk failure"}, Transient),
        ({"STOR": "nonsense"}, StorageError),
        ({"MKD": "550 Permission denied", "MLST": "550 No such file"}, Unavailable),
    ],
)
async def test_writes_that_fail(
    liar: FtpLiar, answers: dict[str, str | None], kind: type[StorageError], features: tuple[str, ...]
) -> None:
    liar.features = ("MLST", "SIZE", *features)
    liar.answers = answers
    async with opened(liar) as element:
        with pytest.raises(StorageError) as raised:
            await write(element)
        assert type(raised.value) is kind
    assert "/new" not in liar.files
    assert not any(command.startswith("RNTO") for command in liar.commands)


async def test_a_receiver_that_reads_nothing(liar: FtpLiar) -> None:
    async def stop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    liar.data = stop
    liar.answers["STOR"] = "150 It begins."
    liar.files["/big"] = 0
    async with opened(liar) as element:
        with pytest.raises(Transient, match="took no data"):
            await asyncio.wait_for(element.write("new", chunked(bytes(64 * BATCH))), 20)


async def test_no_space_is_told_before(liar: FtpLiar) -> None:
    liar.answers["ALLO"] = "452 Not so much"
    async with opened(liar) as element:
        with pytest.raises(NoSpace):
            await element.write("new", chunked(bytes(16 * BATCH)), size=16 * BATCH)
    assert not any(command.startswith("STOR") for command in liar.commands)


async def test_wrong_checksums(liar: FtpLiar) -> None:
    async with opened(liar) as element:
        liar.answers["CKSM"] = "213 00000001"
        with pytest.raises(ChecksumMismatch):
            await verify(element, "x", {"adler32": "00000002"}, len(FILE))
        liar.answers["CKSM"] = "213 nonsense"
        liar.senders = [[WHOLE, END]]
        with pytest.raises(ChecksumMismatch):  # what is no checksum is none: the bytes are read
            await verify(element, "x", {"adler32": "00000002"}, len(FILE))
        assert any(command.startswith("RETR") for command in liar.commands)


async def test_a_server_that_renames_nothing_onto_something(liar: FtpLiar) -> None:
    liar.answers |= {"RNTO": "553 File exists"}
    async with opened(liar) as element:
        liar.files["/y"] = 1
        with pytest.raises(Unsupported, match="replaces nothing"):
            await element.rename("x", "y", overwrite=True)  # type: ignore[attr-defined]  # a power


@pytest.mark.parametrize(
    "line",
    ["Type=file;Size=1; ../etc/passwd", "Type=file;Size=1; a/b", "Type=dir; ..", "nonsense", "x" * (1 << 18)],
)
async def test_listings_that_lie(liar: FtpLiar, line: str) -> None:
    liar.data = tells(f"Type=cdir; .\r\nType=file;Size=5;Modify=20260101000000; ok\r\n{line}\r\n".encode())
    async with opened(liar) as element:
        with pytest.raises(StorageError):
            await asyncio.wait_for(names(element, ""), 20)


async def test_a_listing_that_breaks_off(liar: FtpLiar) -> None:
    liar.data = tells(b"Type=file;Size=5; ok\r\n")
    liar.answers["MLSD"] = "426 Connection closed"
    async with opened(liar) as element:
        with pytest.raises(Transient):
            await names(element, "")
        liar.answers.pop("MLSD")
        assert await names(element, "") == ["ok"]


async def test_names_that_end_a_command(liar: FtpLiar) -> None:
    async with opened(liar) as element:
        for name in ("a\r\nDELE /x", "a\nb", "a\rb", "ü"):
            for call in (element.stat(name), element.remove(name), put(element, name, b"x")):
                with pytest.raises(InvalidPath):
                    await call
    assert not any("DELE" in command for command in liar.commands)
