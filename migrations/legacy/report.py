"""The report of an import as JSON: what was read, what became of it, what was odd, and the totals to hold it against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import balance
from .anomalies import ALL
from .parties import Party
from .records import Source, printable, visible
from .report_store import Outcome, ReportStore


async def build(
    store: ReportStore,
    source: Source,
    outcome: Outcome,
    people: Sequence[Party],
    actions: Mapping[str, str],
    depth: int,
    subtrees: int,
    examples: int,
) -> dict[str, Any]:
    """Everything but what loading adds (`written`, `catalogue`) and the circumstances (`run`, `timing`).

    All text of the source is shown with its control characters escaped. Numbers of bytes may go beyond 2^53.
    """
    tree = await store.tree()
    other = await store.other()
    statuses, distinct, hosts = await store.replicas()
    owners, groups = await store.owners()
    entries, copies = outcome.entries, outcome.copies
    imported_bytes, elements, host_map = await store.imported()
    counts, samples = await store.anomalies(examples)
    parties = {(p.kind, p.legacy_id): p for p in people}
    files_by_uid = {r["id"]: r for r in owners}
    files_by_gid = {r["id"]: r for r in groups}
    return {
        "source": _source(source),
        "tables": balance.tables(source, outcome),
        "anomalies": _anomalies(counts, samples, actions, source),
        "imported": {
            "directories": entries["directories"],
            "files": entries["files"],
            "links": entries["links"],
            "replicas": copies["imported"],
            "merged_replicas": copies["merged"],
            "bytes": int(imported_bytes),
        },
        "found": {
            "tree": {
                **tree,
                "bytes_active": int(tree["bytes_active"]),
                "files_reachable_deleted": tree["files_reachable"] - tree["files_active"],
            },
            "files": await _files(store),
            "other": other,
            "replicas": {
                "rows": sum(r["n"] for r in statuses),
                "by_status": {
                    "NULL" if r["status"] is None else printable(r["status"].encode()): r["n"] for r in statuses
                },
                "active": sum(r["active"] for r in statuses),
                "active_distinct_file_host": distinct,
                "ctime_null": sum(r["no_ctime"] for r in statuses),
            },
        },
        "hosts": {
            _shown(r["host"]): {k: int(r[k]) for k in ("replicas", "bytes", "active_replicas", "active_bytes")}
            for r in hosts
        },
        "elements": {
            r["name"]: {"replicas": r["replicas"], "bytes": int(r["bytes"]), "placeholder": r["placeholder"]}
            for r in elements
        },
        "users": _people("u", parties, files_by_uid),
        "groups": _people("g", parties, files_by_gid),
        "per_user": {str(r["id"]): _party(parties.get(("u", r["id"])), r) for r in owners},
        "per_group": {str(r["id"]): _party(parties.get(("g", r["id"])), r) for r in groups},
        "subtrees": {
            _shown(r["top"]) or "/": {
                "files": r["files"],
                "bytes": int(r["bytes"]),
                "active_replicas": r["active_replicas"],
                "subdirs": r["subdirs"],
            }
            for r in await store.subtrees(depth, subtrees)
        },
        "unmapped": _unmapped(parties, files_by_uid, files_by_gid, host_map),
    }


def _shown(text: str | None) -> str:
    return printable((text or "").encode())


def _source(source: Source) -> dict[str, Any]:
    info = source.info
    return {
        "kind": source.kind,
        "product": info.product,
        "schema": info.schema,
        "set_names": info.set_names,
        "column_charsets": sorted(info.column_charsets),
        "unknown_columns": info.unknown_columns,
        "non_ascii_cells": info.non_ascii_cells,
        "double_encoded_cells": info.double_encoded,
        "warnings": info.warnings,
    }


def _anomalies(counts: Mapping[str, int], samples: Any, actions: Mapping[str, str], source: Source) -> dict[str, Any]:
    tables = {kind: table for table, kind in source.tables.items()}
    found: dict[str, Any] = {
        code: {
            "count": counts[code],
            "action": actions[code],
            "table": tables.get(a.kind),
            "what": a.what,
            "examples": [],
        }
        for code, a in ALL.items()
        if counts.get(code)
    }
    for r in samples:
        # Values that SQL made are not fit to print yet; in the others every backslash is doubled already.
        value = None if r["value"] is None else visible(r["value"][:300])
        found[r["code"]]["examples"].append({"id": r["id"], "value": value})
    return found


async def _files(store: ReportStore) -> dict[str, Any]:
    by_status: dict[str, int] = {}
    by_checksum: dict[str, int] = {}
    for r in await store.files():
        by_status[r["status"]] = by_status.get(r["status"], 0) + r["n"]
        by_checksum[r["checksum"]] = by_checksum.get(r["checksum"], 0) + r["n"]
    return {"by_status": by_status, "by_checksum": by_checksum}


def _party(party: Party | None, row: Any) -> dict[str, Any]:
    found = {"files": row["files"], "bytes": int(row["bytes"])}
    return (
        found
        if party is None
        else {"given": _shown(party.given) or None, "name": party.name, "how": party.how, **found}
    )


def _people(kind: str, parties: Mapping[tuple[str, int], Party], files: Mapping[int, Any]) -> dict[str, int]:
    """`mapped` as the map has them written; of `unmapped`, `variant` in another spelling and `known` to lading already."""
    rows = [p for (k, _), p in parties.items() if k == kind and p.given is not None]
    exact = [p for p in rows if p.how == "exact"]
    return {
        "rows": len(rows),
        "mapped": len(exact),
        "unmapped": len(rows) - len(exact),
        "variant": sum(p.how == "variant" for p in rows),
        "known": sum(p.how == "known" for p in rows),
        "placeholders": sum(p.how == "placeholder" for (k, _), p in parties.items() if k == kind),
        "distinct_names_mapped": len({p.name for p in exact}),
        "with_files": len(files),
    }


def _unmapped(
    parties: Mapping[tuple[str, int], Party], uids: Mapping[int, Any], gids: Mapping[int, Any], hosts: Any
) -> dict[str, Any]:
    """What a line in a mapping file would bring in, what weighs most first."""

    def people(kind: str, key: str, files: Mapping[int, Any]) -> list[dict[str, Any]]:
        found = [
            {
                key: p.given,
                "id": p.legacy_id,
                "files": files[i]["files"] if i in files else 0,
                "bytes": int(files[i]["bytes"]) if i in files else 0,
            }
            for (k, i), p in parties.items()
            if k == kind and p.how == "placeholder"
        ]
        return sorted(found, key=lambda u: (-u["files"], u["id"]))

    unknown: dict[str, int] = {}
    for r in hosts:
        if r["placeholder"]:
            unknown[r["element"]] = unknown.get(r["element"], 0) + r["n"]
    return {
        "users": people("u", "dn", uids),
        "groups": people("g", "fqan", gids),
        "hosts": [{"host": h, "replicas": n} for h, n in sorted(unknown.items(), key=lambda x: -x[1])],
    }


def timing(seconds: Mapping[str, float], rows: int) -> dict[str, Any]:
    whole = sum(seconds.get(k, 0) for k in ("stage", "plan", "load"))  # the report is made beside the load
    return {
        "seconds": {k: round(v, 3) for k, v in seconds.items()},
        "total_seconds": round(whole, 3),
        "rows": rows,
        "rows_per_second": round(rows / whole) if whole else 0,
    }
