"""No row is dropped in silence: what was read of a table is what was imported, skipped and quarantined of it."""

from __future__ import annotations

from lading.model.errors import CatalogError

from .records import Source
from .report_store import Outcome

_WAYS = ("imported", "skipped", "quarantined")


class Unbalanced(CatalogError):
    """Rows are missing from the account, or stand in it twice. It is looked at before anything is written."""

    code = "import_unbalanced"


def tables(source: Source, outcome: Outcome) -> dict[str, dict[str, int]]:
    """Per table of the source `read` and what became of the rows. What nobody reads is skipped. Raises Unbalanced."""
    entries, copies = outcome.entries, outcome.copies
    by_kind = {
        "entry": (
            entries["directories"] + entries["files"] + entries["links"],
            entries["skipped"],
            entries["quarantined"],
        ),
        # The second one on an element is skipped: its SFN is kept beside the first one's.
        "replica": (copies["imported"], copies["skipped"], copies["quarantined"]),
        "user": (outcome.people["users"], 0, 0),
        "group": (outcome.people["groups"], 0, 0),
    }
    by_kind |= {r["kind"]: (r["imported"], r["skipped"], r["quarantined"]) for r in outcome.small}
    lost: dict[str, list[int]] = {}
    for r in outcome.lost:
        lost.setdefault(r["kind"], [0, 0, 0])[min(r["verdict"], 2)] += r["n"]
    found = {}
    for table, kind in source.tables.items():
        counts = [a + b for a, b in zip(by_kind.get(kind, (0, 0, 0)), lost.get(kind, (0, 0, 0)), strict=True)]
        found[table] = {"read": source.read[table], **dict(zip(_WAYS, counts, strict=True))}
        if sum(counts) != source.read[table]:
            raise Unbalanced(
                f"{source.read[table]} rows of {table} were read and {sum(counts)} are accounted for: nothing was imported. "
                "That is a fault of lading: please report it",
                table=table,
                **found[table],
            )
    for table, rows in sorted(source.info.other_tables.items()):
        found[table] = {"read": rows, "imported": 0, "skipped": rows, "quarantined": 0}
    return found
