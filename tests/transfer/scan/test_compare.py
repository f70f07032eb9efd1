"""The comparison against sets, and the sorting it stands on."""

from __future__ import annotations

import tracemalloc
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lading.model.errors import InvalidRequest, QuotaExceeded
from lading.model.scan import ScanSummary
from transfer.scan import runs as module
from transfer.scan.compare import compare
from transfer.scan.lines import AFTER, BEFORE, DELETION, UPLOAD, copied, key, mark, object_line, unkey, whole
from transfer.scan.runs import Runs

CUTOFF = 100
NAMES = st.sampled_from(["a", "a/b", "a b", "a\x01", "a\x00", "a\n", "a\x0b", "ä", "\uffff", "\U0001f600", "b"])
AGES = st.sampled_from([CUTOFF - 1, CUTOFF, CUTOFF + 1])
SIZES = st.sampled_from([None, 0, 5])
REPLICAS = st.dictionaries(NAMES, st.tuples(SIZES, st.sampled_from([0, 1, 2, 3, 4]), AGES))
OBJECTS = st.dictionaries(NAMES, st.tuples(st.sampled_from([0, 5]), st.none() | AGES))
SETS = st.sets(NAMES)


def copy_row(pfn: str, fields: str) -> bytes:
    """As PostgreSQL's COPY writes it: `\\` before what would end a field or a row, and before itself."""
    letters = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    return f"{''.join(letters.get(c, c) for c in pfn)}\t{fields}\n".encode()


def merged(told: list[bytes], **small: int) -> list[bytes]:
    runs = Runs(**small)
    try:
        for line in told:
            runs.add([line])
        return [line for lines in whole(runs.merged()) for line in lines]
    finally:
        runs.close()


@settings(max_examples=400)
@given(SETS, REPLICAS, OBJECTS, SETS, SETS, st.booleans(), st.randoms())
def test_as_sets_say(
    before: set[str], replicas: Any, objects: Any, uploads: set[str], going: set[str], dump: bool, random: Random
) -> None:
    lines = [mark(n, BEFORE) for n in before] + [mark(n, UPLOAD) for n in uploads] + [mark(n, DELETION) for n in going]
    for name, (size, state, ctime) in replicas.items():
        lines += copied(copy_row(name, f"{'' if size is None else size},,1,{state},{ctime},"), AFTER)
    lines += [object_line(n.encode(), size, mtime) for n, (size, mtime) in objects.items()]
    random.shuffle(lines)
    summary = ScanSummary("e")
    told = [(f.kind, unkey(f.key).decode()) for f in compare(merged(lines, lines=3, fan=2), CUTOFF, summary, dump=dump)]

    moving = {n for n, (_, state, _) in replicas.items() if state in (1, 4)}
    marked = {n for n, (_, state, _) in replicas.items() if state == 3}
    young = {n for n, (_, _, at) in replicas.items() if at >= CUTOFF}
    fresh = {n for n, (_, at) in objects.items() if at is not None and at >= CUTOFF}
    lost = replicas.keys() - objects.keys() - moving - marked - young - uploads
    lost = lost if dump else lost & before
    dark = objects.keys() - replicas.keys() - uploads - before - going - fresh
    both = {n for n in replicas.keys() & objects.keys() if replicas[n][0] not in (None, objects[n][0])}
    mismatch = both - moving - young - fresh - uploads
    order = sorted(
        [("lost", n) for n in lost] + [("dark", n) for n in dark] + [("mismatch", n) for n in mismatch],
        key=lambda found: found[1].encode(),
    )
    assert told == order
    assert (summary.lost, summary.dark, summary.mismatch) == (len(lost), len(dark), len(mismatch))
    assert (summary.objects, summary.replicas) == (len(objects), len(replicas))
    seen = summary.same + summary.lost + summary.dark + summary.mismatch + summary.young + summary.in_flight
    assert seen + summary.going + summary.known_lost == len(objects.keys() | replicas.keys())


@given(st.lists(st.binary(max_size=5)))
def test_keys_sort_as_names_and_come_back(names: list[bytes]) -> None:
    assert sorted(names) == [unkey(k) for k in sorted(map(key, names))]
    assert not any(b"\0" in key(n) or b"\n" in key(n) for n in names)


@given(st.lists(st.binary(max_size=4)), st.integers(1, 5), st.integers(2, 4))
def test_runs_sort_anything(lines: list[bytes], most: int, fan: int) -> None:
    lines = [line.replace(b"\n", b"") + b"\n" for line in lines]
    runs = Runs(lines=most, fan=fan)
    for line in lines:
        runs.add([line])
    assert list(chain.from_iterable(runs.merged())) == sorted(lines)
    runs.close()


def test_a_name_told_without_end_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="100000 times of 'a'"):
        list(whole([b"a\0s1,,,\n"] * 1_000 for _ in range(200)))


def test_memory_is_that_of_one_run() -> None:
    def peak(count: int) -> int:
        runs = Runs(lines=2_000, fan=8)
        tracemalloc.start()
        for n in range(0, count, 100):
            runs.add([b"%032x\n" % (hash((n, i)) & (1 << 64) - 1) for i in range(100)])
        assert sum(map(len, runs.merged())) == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        runs.close()
        return most

    peak(2_000)
    assert peak(100_000) < 3 * peak(10_000)


def test_a_full_disk_is_told_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full:
        def __init__(self, **_: Any) -> None: ...
        def writelines(self, _: Any) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None: ...

    monkeypatch.setattr(module.tempfile, "TemporaryFile", Full)
    with pytest.raises(QuotaExceeded, match="TMPDIR"):
        module.spool([b"a\n"])
