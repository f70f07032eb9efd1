"""What job wrappers rely on: all inputs or none, a shared cache, outputs that are stored once, a server that goes away."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lading import Client
from lading.client.cache import Cache
from lading.client.fetch import STAGING
from lading.model.element import ElementChange, ElementState
from lading.model.errors import InvalidRequest
from tests.client.support import Bench


async def filled(bench: Bench, count: int = 5, size: int = 100_000) -> dict[str, bytes]:
    """{LFN: content} of files on disk1."""
    files = {f"/vo/in/f{n}": os.urandom(size + n) for n in range(count)}
    for lfn, content in files.items():
        await bench.client.put(bench.local("f", content), lfn, se="disk1", checksums=["adler32", "sha256"])
    return files


def shown(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != STAGING}


async def test_all_inputs_come_and_come_once(bench: Bench) -> None:
    files, folder = await filled(bench), bench.here / "job"
    for how in ("copied", "there"):
        outcomes = await bench.client.fetch([*files, "/vo/in/f0"], folder)
        assert [(o.item, o.get().how, o.changed) for o in outcomes] == [(lfn, how, how == "copied") for lfn in files]
        assert shown(folder) == {lfn.rpartition("/")[2]: content for lfn, content in files.items()}
        assert not (folder / STAGING).exists()


async def test_with_one_missing_none_is_shown_and_the_others_need_not_come_again(bench: Bench) -> None:
    files, folder = await filled(bench), bench.here / "job"
    names = [*files, "/vo/in/late"]
    outcomes = await bench.client.fetch(names, folder)
    assert [o.error and o.error.code for o in outcomes] == [None] * 5 + ["not_found"]
    assert shown(folder) == {}
    for content in files.values():
        bench.object("disk1", content).unlink()
    await bench.client.put(bench.local("f", b"late"), "/vo/in/late", se="disk1")
    assert all(o.error is None for o in await bench.client.fetch(names, folder))
    assert shown(folder)["late"] == b"late"
    assert len(shown(folder)) == 6


async def test_what_is_spoilt_in_between_comes_again(bench: Bench) -> None:
    files, folder = await filled(bench, 1), bench.here / "job"
    await bench.client.fetch([*files, "/vo/none"], folder)
    [staged] = (folder / STAGING).iterdir()
    staged.write_bytes(b"spoilt")
    await bench.client.fetch(list(files), folder)
    assert list(shown(folder).values()) == list(files.values())


async def test_other_files_are_not_written_over(bench: Bench) -> None:
    files, folder = await filled(bench, 2), bench.here / "job"
    folder.mkdir()
    (folder / "f1").write_bytes(b"mine")
    outcomes = await bench.client.fetch(list(files), folder)
    assert [o.error and o.error.code for o in outcomes] == [None, "conflict"]
    assert shown(folder) == {"f1": b"mine"}
    with pytest.raises(InvalidRequest, match="one name"):
        await bench.client.fetch(["/vo/in/f0", "/vo/other/f0"], folder)
    with pytest.raises(InvalidRequest, match="no input"):
        await bench.client.fetch([f"/vo/in/{STAGING}"], folder)


async def test_a_wrong_source_is_passed_over(bench: Bench) -> None:
    files = await filled(bench, 1)
    [(lfn, content)] = files.items()
    bench.object("disk1", content).write_bytes(bytes(len(content)))
    [outcome] = await bench.client.fetch([lfn], bench.here / "job")
    assert outcome.error is not None
    assert shown(bench.here / "job") == {}


async def test_the_cache_serves_the_jobs_of_a_node(bench: Bench) -> None:
    files, cache = await filled(bench), bench.here / "cache"
    jobs = [bench.client.fetch(list(files), bench.here / f"job{n}", cache=cache) for n in range(4)]
    told = [o.get() for outcomes in await asyncio.gather(*jobs) for o in outcomes]
    assert sorted(f.how for f in told) == ["cached"] * 15 + ["copied"] * 5
    for content in files.values():
        bench.object("disk1", content).unlink()  # nobody needs the element any more
    linked = await bench.client.fetch(list(files), bench.here / "linked", cache=cache, link="hard")
    assert [o.get().how for o in linked] == ["cached"] * 5
    assert {p.stat().st_nlink for p in (bench.here / "linked").iterdir()} == {2}
    assert {p.stat().st_mode & 0o777 for p in (bench.here / "linked").iterdir()} == {0o444}
    assert {p.stat().st_nlink for p in (bench.here / "job0").iterdir()} == {1}, "a job's own, without --link"
    for folder in ("job0", "job1", "job2", "job3", "linked"):
        assert sorted(shown(bench.here / folder).values()) == sorted(files.values())


async def test_a_spoilt_file_of_the_cache_is_brought_again(bench: Bench) -> None:
    files, cache = await filled(bench, 1), bench.here / "cache"
    await bench.client.fetch(list(files), bench.here / "one", cache=cache)
    [kept] = (cache / "objects").glob("*/*")
    kept.chmod(0o644)
    kept.write_bytes(bytes(kept.stat().st_size))
    [outcome] = await bench.client.fetch(list(files), bench.here / "two", cache=cache)
    assert outcome.get().how == "copied"
    assert list(shown(bench.here / "two").values()) == list(files.values())


async def test_the_cache_keeps_to_its_limit(bench: Bench) -> None:
    files, folder = await filled(bench, 6), bench.here / "cache"
    names = list(files)
    for n, lfn in enumerate(names):
        await bench.client.fetch([lfn], bench.here / f"job{n}", cache=folder, cache_limit=350_000)
        for path in (folder / "objects").glob("*/*"):
            os.utime(path, (n, n))
    assert sum(p.stat().st_size for p in (folder / "objects").glob("*/*")) <= 350_000
    [last] = await bench.client.fetch([names[-1]], bench.here / "again", cache=folder, cache_limit=350_000)
    assert last.get().how == "cached"
    large = await bench.client.fetch(names, bench.here / "large", cache=folder, cache_limit=1000)
    assert all(o.error is None for o in large), "what is too large goes by it"
    assert list((folder / "objects").glob("*/*")) == []


async def test_an_elements_own_files_are_linked_when_nobody_may_write_to_them(bench: Bench) -> None:
    files = await filled(bench, 2)
    first, second = (bench.object("disk1", content) for content in files.values())
    first.chmod(0o444)
    for kind in ("hard", "symbolic"):
        folder = bench.here / kind
        outcomes = await bench.client.fetch(list(files), folder, link=kind)
        assert [o.get().how for o in outcomes] == ["linked", "copied"]
        assert os.path.samefile(folder / "f0", first)
        assert (folder / "f0").is_symlink() == (kind == "symbolic")
        assert not os.path.samefile(folder / "f1", second)
        assert sorted(shown(folder).values()) == sorted(files.values())


async def test_outputs_go_to_the_first_element_that_works(bench: Bench) -> None:
    await bench.declare(run="int")
    await bench.client.put(bench.local("raw", b"raw"), "/vo/raw", se="disk1")
    await bench.client.elements.set("disk1", ElementChange(state=ElementState.READ_ONLY))
    pairs = [(bench.local(f"o{n}", b"%d" % n), f"/vo/out/o{n}") for n in range(3)]
    options = {"ses": ["disk1", "disk2"], "to": "disk1", "metadata": {"run": 7}, "ancestors": ["/vo/raw"]}
    kept = await bench.client.store(pairs, **options)
    assert [(o.get().se, o.changed) for o in kept.outcomes] == [("disk2", True)] * 3
    again = await bench.client.store(pairs, **options)
    assert [o.changed for o in again.outcomes] == [False] * 3
    assert again.request == kept.request is not None
    described = await bench.client.get_metadata([lfn for _, lfn in pairs])
    assert [o.get().values["run"] for o in described] == [7] * 3
    [parents] = await bench.client.relatives(["/vo/out/o0"])
    assert [r.lfn for r in parents.get()] == ["/vo/raw"]
    assert [r.copies async for r in bench.client.requests.list()] == [1]


async def test_what_a_killed_job_left_undone_is_done(bench: Bench) -> None:
    await bench.declare(run="int")
    pairs = [(bench.local("o", b"bytes"), "/vo/out/o")]
    await bench.client.put(*pairs[0], se="disk1")  # and then it died
    kept = await bench.client.store(pairs, ses=["disk2"], metadata={"run": 7})
    assert [(o.get().se, o.changed) for o in kept.outcomes] == [(None, False)]
    [described] = await bench.client.get_metadata(["/vo/out/o"])
    assert described.get().values["run"] == 7


async def test_outputs_that_are_refused_keep_no_other_back(bench: Bench) -> None:
    await bench.client.put(bench.local("x", b"other"), "/vo/out/taken", se="disk1")
    pairs = [
        (bench.local("good", b"good"), "/vo/out/good"),
        (bench.local("taken", b"mine"), "/vo/out/taken"),
        (str(bench.here / "none"), "/vo/out/none"),
    ]
    kept = await bench.client.store(pairs, ses=["disk1", "disk2"], ancestors=["/vo/not there"])
    assert [o.error and o.error.code for o in kept.outcomes] == ["not_found", "conflict", "local_error"]
    assert (await bench.client.read("/vo/out/good")) == b"good"


@dataclass
class Gate:
    """A way to the server that can be shut, as if the server were stopped, and is cut after so many bytes."""

    target: int
    port: int = 0
    cut_after: int | None = None
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        assert self._server
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        ends = {writer, back}
        self._open |= ends
        with suppress(OSError):
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        for end in ends:
            end.close()
        self._open -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
            if self.cut_after is not None and (left := self.cut_after - len(data)) < 0:
                self.cut_after = None
                await self.shut()
                asyncio.get_running_loop().call_later(1.5, lambda: asyncio.ensure_future(self.open()))
            elif self.cut_after is not None:
                self.cut_after = left
        writer.close()


async def test_a_server_that_goes_away_in_the_middle_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.client.get.path_of", lambda _: None)  # all comes through the server
    files = await filled(bench, 4, 3_000_000)
    gate = Gate(int(bench.server.url.rpartition(":")[2]))
    await gate.open()
    async with Client(f"http://127.0.0.1:{gate.port}", bench.server.token, tries=20) as client:
        client.remote.update((None, "disk1", "disk2"))
        gate.cut_after = 4_000_000
        outcomes = await client.fetch(list(files), bench.here / "job", ses=["disk1"], parallel=2)
        assert [o.error for o in outcomes] == [None] * 4
        assert gate.cut_after is None
        gate.cut_after = 4_000_000
        pairs = [(str(bench.here / "job" / f"f{n}"), f"/vo/out/f{n}") for n in range(4)]
        kept = await client.store(pairs, ses=["disk2", "disk1"], parallel=2)
        assert [o.error for o in kept.outcomes] == [None] * 4
    await gate.shut()
    assert [await bench.client.read(f"/vo/out/f{n}") for n in range(4)] == list(files.values())


async def test_a_cache_is_not_waited_for_when_nothing_comes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds the part of a file and brings nothing more."""
    files, folder = await filled(bench, 1), bench.here / "cache"
    [found] = await bench.client.resolve(list(files))
    file = found.get()
    assert file is not None
    place = Cache(folder, 1 << 30).place(file, file.checksums)
    assert place is not None
    place.parent.mkdir(parents=True)

    with place.with_name(f"{place.name}.lading-part").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr("lading.client.cache._PATIENCE", 0.5)
        [outcome] = await bench.client.fetch(list(files), bench.here / "job", cache=folder)
    assert outcome.get().how == "copied"
    assert list(shown(bench.here / "job").values()) == list(files.values())
