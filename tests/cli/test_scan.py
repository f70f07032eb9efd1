"""`lading scan` as people run it."""

from __future__ import annotations

import json

from tests.cli.support import lading, on_terminal
from tests.client.support import Bench


async def _filled(bench: Bench) -> None:
    """One file of each sort, and nine that are well."""
    for n in range(12):
        await bench.client.put(bench.local("f", b"%d" % n * (n + 1)), f"/vo/f{n}", se="disk1")
    bench.object("disk1", b"0").unlink()
    bench.object("disk1", b"11").write_bytes(b"1")
    (bench.disks["disk1"] / "dark").write_bytes(b"dark")


async def test_findings_are_lines_and_the_sums_are_the_last(bench: Bench) -> None:
    await _filled(bench)
    done = await lading(bench, "scan", "disk1", "--grace", "0s")
    assert done.code == 1, done.err
    *findings, summary = done.rows
    assert {row["kind"] for row in findings} == {"lost", "dark", "mismatch"}
    assert (summary["kind"], summary["same"], summary["lost"]) == ("summary", 10, 1)


async def test_a_report_takes_the_findings(bench: Bench) -> None:
    await _filled(bench)
    report = bench.here / "report.jsonl"
    done = await lading(bench, "scan", "disk1", "--grace", "0s", "--report", report)
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted(line["kind"] for line in lines[:-1]) == ["dark", "lost", "mismatch"]
    assert lines[-1]["kind"] == "summary"
    assert done.row == lines[-1]


async def test_people_get_a_table(bench: Bench) -> None:
    await _filled(bench)
    shown = await on_terminal(bench, "scan", "disk1", "--grace", "0s")
    assert shown.code == 1
    assert "lost" in shown.text
    assert "2 B not" not in shown.text
    assert "1 B not 2 B" in shown.text
    assert "12 objects, 12 replicas, 10 the same, 1 lost" in shown.text


async def test_all_is_well(bench: Bench) -> None:
    await bench.client.put(bench.local("f", b"1"), "/vo/f", se="disk1")
    done = await lading(bench, "scan", "disk1", "--grace", "0s")
    assert (done.code, done.row["same"]) == (0, 1)
    assert (await lading(bench, "scan", "disk1")).code == 0


async def test_a_dump_from_a_file_and_from_a_pipe(bench: Bench) -> None:
    await _filled(bench)
    text = b"/x/dark 4\n"
    path = bench.here / "dump.txt"
    path.write_bytes(text)
    options = ("--recorded", "0s", "--grace", "0s", "--strip", "/x/")
    for given, stdin in ((path, b""), ("-", text)):
        done = await lading(bench, "scan", "disk1", "--dump", given, *options, stdin=stdin)
        assert (done.code, done.rows[-1]["dark"], done.rows[-1]["lost"]) == (1, 1, 12), done.err


async def test_wrong_use_is_told(bench: Bench) -> None:
    for args, word in (
        (("--grace", "soon"), "no age"),
        (("--recorded", "1d"), "--dump"),
        (("--fix", "mark-lost", "--fix", "suspect-lost"), "only one thing"),
        (("--dump", "/nowhere"), "/nowhere"),
        (("--dump", "-"), "say when"),
    ):
        done = await lading(bench, "scan", "disk1", *args, stdin=b"a 1\n")
        assert done.code in (1, 2), done
        assert word in done.err
    done = await lading(bench, "scan", "nowhere")
    assert done.code == 5


async def test_a_wrong_dump_is_refused_by_its_line(bench: Bench) -> None:
    await _filled(bench)
    done = await lading(bench, "scan", "disk1", "--dump", "-", "--recorded", "0s", stdin=b"a 1\nb\n")
    assert (done.code, done.out) == (2, b"")
    assert "line 2" in done.err


async def test_fixes_what_it_is_told(bench: Bench) -> None:
    await _filled(bench)
    options = (
        "scan",
        "disk1",
        "--grace",
        "0s",
        "--fix",
        "mark-lost",
        "--fix",
        "suspect-mismatch",
        "--fix",
        "delete-dark",
    )
    dry = await lading(bench, *options, "--dry-run")
    assert (dry.code, dry.rows[-1]["fixed"]) == (1, 3)
    done = await lading(bench, *options)
    assert (done.code, done.rows[-1]["fixed"]) == (0, 3), done.err
    assert {row["did"] for row in done.rows if row["kind"] == "fixed"} == {"mark-lost", "suspect", "delete"}


async def test_too_much_is_refused_after_the_findings(bench: Bench) -> None:
    await _filled(bench)
    for path in list(bench.disks["disk1"].glob("*/*/*")):
        path.unlink()
    for _ in range(2):  # whether the error comes with the rest or after it
        done = await lading(bench, "scan", "disk1", "--grace", "0s", "--fix", "mark-lost")
        assert (done.code, len(done.rows)) == (6, 13), done.err
        assert "12 of 12 replicas are lost" in done.err
    done = await lading(bench, "scan", "disk1", "--grace", "0s", "--fix", "mark-lost", "--however-many")
    assert done.rows[-1]["fixed"] == 12


async def test_adopts_what_lies_there(bench: Bench) -> None:
    for name in ("data/a", "data/b"):
        path = bench.disks["disk1"] / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"1")
    options = ("se", "adopt", "disk1", "--under", "data/", "--to", "/vo/in", "--grace", "0s")
    dry = await lading(bench, *options, "--dry-run", "--no-json")
    assert (dry.code, "2 would be adopted (2 B), 0 skipped" in dry.text) == (0, True), dry
    done = await lading(bench, *options, "--checksums", "computed")
    assert [row["kind"] for row in done.rows] == ["adopted", "adopted", "summary"]
    assert (done.code, done.rows[-1]["adopted"]) == (0, 2)
    assert (await lading(bench, *options)).row["known"] == 2
    (bench.disks["disk1"] / "data" / "c\nd").write_bytes(b"1")
    report = bench.here / "report"
    done = await lading(bench, *options, "--report", report)
    assert (done.code, done.row["skipped"]) == (1, 1)
    assert json.loads(report.read_text().splitlines()[0])["pfn"] == "data/c\nd"
    done = await lading(bench, *options)
    assert done.code in (1, 2)
    assert "control" in done.err
