"""`python -m bench.storage`: each plug-in beside the best client of the same server, by turns; the table as Markdown.

A file of 1 GiB is written and read with adler32 on the fly, and small files of 10 kB are written, several at a time. The client
does no checksum. Both sides run as processes of their own, and the server is the one of the tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from ..bytes import _noise as noise
from ..report import Figure, Stage, limit, markdown, rate
from ..timing import Pair
from .contests import AT_ONCE, CONTESTS, ENVIRONMENT, Contest
from .mover import Orders

SIZE = 1 << 30
_SMALL = 10_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.storage", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--only", default="", help=f"with commas between: {','.join(CONTESTS)}")
    parser.add_argument("--small", type=int, default=10_000, help="small files (default 10,000)")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    given.only = given.only.split(",") if given.only else list(CONTESTS)
    if unknown := set(given.only) - set(CONTESTS):
        parser.error(f"no such plug-in: {', '.join(sorted(unknown))}")
    return given


def _ours(orders: Orders) -> tuple[float, float]:
    """(seconds, MB at most)."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.storage.mover"], input=msgspec.json.encode(orders), stdout=-1, check=True
    )
    told = msgspec.json.decode(done.stdout)
    return told["seconds"], told["memory"] / 1e6


def _theirs(command: str, contest: Contest) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, shell=True, stdout=-1, stderr=-2, env={**ENVIRONMENT, **contest.env}, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout.decode()[-2000:]}")
    return time.perf_counter() - begun


def _measure(contest: Contest, source: Path, small: Path, repeats: int) -> list[Figure]:
    put, get, many = Pair(), Pair(), Pair()
    memory = 0.0
    count = len(os.listdir(small))
    _ours(Orders(contest.type, contest.options, "prepare", ""))
    for turn in range(repeats):
        for pair, work, command in (
            (put, "put", contest.put and contest.put(source, "big")),
            (get, "get", contest.get and contest.get("big")),
        ):
            if not command:
                if contest.prepare and not turn:
                    contest.prepare(source, "big")
                continue
            orders = Orders(contest.type, contest.options, work, "big", str(source))
            for _ in range(2):  # each right after itself: see bench/bytes.py
                seconds, used = _ours(orders)
            memory = max(memory, used)
            pair.ours.append(SIZE / 1e6 / seconds)
            for _ in range(2):
                seconds = _theirs(command, contest)
            pair.raw.append(SIZE / 1e6 / seconds)
    if contest.many:
        for turn in range(2):
            orders = Orders(
                contest.type, contest.options | contest.unsynced, "many", f"ours{turn}", str(small), AT_ONCE
            )
            many.ours.append(count / _ours(orders)[0])
            many.raw.append(count / _theirs(contest.many(small, f"theirs{turn}"), contest))
    figures = []
    for name, pair in (("write", put), ("read", get)):
        if pair.raw:
            figures.append(
                rate(f"{contest.type}: {name} 1 GiB, {contest.client}", "MB/s", *pair.best(), contest.target)
            )
    if many.raw:
        told = f"{contest.type}: write {count:,} files of 10 kB, {contest.many_client}"
        figures.append(rate(told, "files/s", *many.best(), 0.7))
    return [*figures, limit(f"{contest.type}: memory", "MB", memory, contest.memory)]


def main() -> None:
    given = _arguments()
    place = Path(tempfile.mkdtemp(prefix="lading-bench-", dir="/var/tmp"))
    place.chmod(0o755)
    try:
        source, small = place / "source", place / "small"
        noise(source)
        small.mkdir()
        for number in range(given.small):
            (small / f"{number:06}").write_bytes(os.urandom(_SMALL))
        figures: list[Figure] = []
        for name in given.only:
            folder = place / name
            folder.mkdir()
            folder.chmod(0o755)
            with CONTESTS[name](folder) as contest:
                found = _measure(contest, source, small, given.repeats)
            print(markdown([Stage(given.small, found)]), file=sys.stderr, flush=True)
            figures += found
            shutil.rmtree(folder)
        print(markdown([Stage(given.small, figures)]))
    finally:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
