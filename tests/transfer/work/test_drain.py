"""An element is emptied: each of its copies is made up for elsewhere before it goes."""

from __future__ import annotations

import os
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.transfer.work.conftest import Site, working
from transfer.requests import planner
from transfer.requests.choices import AVAILABLE, SUSPECT, Known, Pool, as_many, copy, drops, leaving, made_up

BODY = os.urandom(100_003)
OTHERS = r"type=disk \ one"


async def drain(site: Site, **options: object) -> dict[str, object]:
    wished = {"to": OTHERS, "source": "one", "copies": 0, **options}
    made = await site.request("move", {"on": "one"}, **wished)
    return await site.ended(made["id"])


async def test_as_many_copies_are_left_as_there_were(idle: Site) -> None:
    names = [f"/vo/d{n % 3}/f{n}" for n in range(11)]
    for name in names:
        await idle.put(name, BODY + name.encode())
    for name in names[:4]:
        await idle.copy(name)
    await idle.put("/vo/elsewhere", BODY, se="two")
    await idle.put("/vo/gone", BODY)
    await idle.server.call("POST", "/v1/remove", {"lfns": ["/vo/gone"]})
    planner.PIECE, kept = 3, planner.PIECE  # so that it is walked in pieces
    try:
        async with working(idle):
            shown = await drain(idle)
            assert (shown["state"], shown["done"], shown.get("failed", 0)) == ("done", 11, 0)
            for name in names:
                good = await idle.sources(name)
                assert len(good) == (2 if name in names[:4] else 1)
                assert "one" not in dict(good)
            assert await idle.sources("/vo/elsewhere") == [("two", "available")]
            await idle.clean()
            assert len(idle.objects("one")) == 1, "what is in the trash"
            again = await drain(idle)
            assert (again["state"], again.get("files", 0)) == ("done", 0)
    finally:
        planner.PIECE = kept
    assert (await idle.get(names[0]))[1] == BODY + names[0].encode()


async def test_a_bad_copy_goes_and_the_only_one_stays_when_it_is_bad(site: Site) -> None:
    for name in ("/vo/spare", "/vo/only"):
        await site.put(name, BODY + name.encode())
    await site.copy("/vo/spare")
    await site.server.call(
        "PATCH", "/v1/elements/one", {"state": "drain"}
    )  # as `se drain` does: nothing is mended there
    for path in site.objects("one"):
        path.write_bytes(b"spoilt")
    await site.ended((await site.request("verify", {"on": "one"}, source="one"))["id"])
    shown = await drain(site)
    assert (shown["done"], shown["failed"]) == (1, 1)
    assert await site.sources("/vo/spare") == [("two", "available")]
    [why] = await site.failures(int(str(shown["id"])))
    assert why["lfn"] == "/vo/only"
    await site.clean()
    assert [p.read_bytes() for p in site.objects("one")] == [b"spoilt"], "it is all that there is"


async def test_two_do_not_empty_one_element(idle: Site) -> None:
    made = await idle.request("move", {"on": "one"}, to=OTHERS, source="one", copies=0)
    body = {"kind": "move", "selection": {"on": "one"}, "to": OTHERS, "source": "one", "copies": 0}
    status, problem = await idle.server.call("POST", "/v1/requests", body)
    assert (status, problem["code"], problem["details"]["request"]) == (409, "conflict", made["id"])
    await idle.change(made["id"], state="cancelled")
    assert (await idle.server.call("POST", "/v1/requests", body))[0] == 201


async def test_what_cannot_be_is_refused(idle: Site) -> None:
    for body in (
        {"kind": "move", "selection": {"on": "none"}, "to": OTHERS, "source": "one", "copies": 0},
        {"kind": "move", "selection": {"on": "one"}, "to": OTHERS, "copies": 0},
        {"kind": "replicate", "selection": {"on": "one"}, "to": OTHERS, "source": "one", "copies": 0},
        {"kind": "move", "selection": {"on": "one", "under": "/vo"}, "to": OTHERS, "source": "one"},
    ):
        for path in ("/v1/requests", "/v1/request-plan"):
            status, _ = await idle.server.call("POST", path, body)
            assert status in (400, 404, 409), body


class At:
    """An element that anything can be written to and read from."""

    readable = writable = True
    fault_reads = placeholder = False
    medium, cost, site, country = "disk", 1, None, None

    def __init__(self, number: int) -> None:
        self.id, self.name = number, str(number)


EVERY: dict[int, Any] = {number: At(number) for number in range(1, 8)}
COPIES = st.dictionaries(st.integers(1, 5), st.sampled_from([AVAILABLE, SUSPECT]), min_size=1)


def good(copies: dict[int, int]) -> int:
    return sum(state == AVAILABLE for state in copies.values())


@given(COPIES, st.frozensets(st.integers(1, 5), min_size=1), st.integers(0, 2), st.randoms())
def test_the_good_copies_are_never_fewer(
    copies: dict[int, int], sources: frozenset[int], fails: int, random: Random
) -> None:
    """Whatever is tried, and in whatever order the copies are made, as worker and planner do it."""
    pool = Pool(EVERY, [e for e in EVERY.values() if e.id not in sources], sources)
    before, file = good(copies), Known(1, "/vo/f", 1, copies)
    choice = copy(file, pool, as_many(file, pool), "disks", anywhere=True)
    if choice.refusal is not None:
        return
    going = drops(file, leaving(file, pool))[0] if not choice.transfers else []
    for target in random.sample(choice.transfers, len(choice.transfers))[fails:]:
        copies[target[1]] = AVAILABLE
        assert good(copies) > before or not before
        for gone in drops(file, made_up(file, leaving(file, pool), 1))[0]:
            del copies[gone]
        assert good(copies) >= max(before, 1)
    for gone in going:
        del copies[gone]
    assert good(copies) >= before
    if not fails or not choice.transfers:
        assert not set(copies) & sources
