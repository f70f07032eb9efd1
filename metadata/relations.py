"""SQL of relations: what was made from a file, and what it was made from, at any distance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compile import Clause
    from .params import Params


def provenance(file_id: int, *, ancestors: bool) -> Clause:
    """Is `f` an ancestor (else a descendant) of this file?"""
    near, far = ("child", "parent") if ancestors else ("parent", "child")

    def clause(params: Params) -> str:
        start = params.add(file_id, "bigint")
        return f"""f.id in (with recursive kin(id) as (select e.{far} from edge e where e.{near} = {start}
            union select e.{far} from edge e join kin k on e.{near} = k.id) select id from kin)"""

    return clause
