"""The statements of rules and of care go by indexes, however many files are under way, failed or surplus."""

from __future__ import annotations

from pathlib import Path

from catalog.db import Connection
from tests.catalog.world import World
from tests.plans import plans_of
from transfer.care.store import CareStore
from transfer.rules.store import RulesStore

MANY = 30_000
store, care = RulesStore(), CareStore()


async def test_what_is_asked_of_a_thousand_files(dsn: str, tmp_path: Path) -> None:
    world = World(dsn, tmp_path)
    await world.sql("insert into lane(source, target, activity, group_id) values (1, 2, 'rules', 1)")
    await world.sql(
        "insert into request(kind, user_id, selection, activity, group_id, state, planned, rule_id, created)"
        " select 'replicate', 1, '{}', 'rules', 1, 'running', true, n, 1 from generate_series(1, 3) n"
    )
    await world.sql(
        "insert into rule(user_id, scopes, selection, top, wants, grace, request_id, created, due)"
        " select 1, '[]', '{}', '/', '[]', 0, n, 1, 9 from generate_series(1, 3) n"
    )
    series = f"generate_series(1, {MANY}) n"
    await world.sql(f"insert into queued select n, 1, 0, 1 + n % 3, n, 1, 0, 0, 0 from {series}")
    await world.sql(f"insert into surplus select n, 1, n from {series}")
    await world.sql(f"insert into rule_file(file_id, due) select n, n from {series}")
    await world.sql(
        f"insert into failure(request_id, file_id, target, error, at) select 1 + n % 3, n, 2, 'x', n from {series}"
    )
    await world.sql(f"insert into mend(file_id, due) select n, n from {series}")
    await world.sql("vacuum analyze")
    ids = list(range(100, 200))

    async def work(connection: Connection) -> None:
        assert len(await store.take(connection, 500, 100)) == 100
        assert (await store.waiting(connection, 501))["files"]
        assert len(await store.coming(connection, [1, 2], ids)) == 67
        assert len(await store.failed(connection, [1, 2], ids, 0)) == 67
        assert len(await store.surplus(connection, ids)) == 100
        await store.forget_surplus(connection, [(i, 1) for i in ids])
        await store.order(connection, 1, [(1, 2, i, 1) for i in ids])
        assert await store.files(connection, ids) == []
        assert await store.claim(connection, 99, 100) is not None

        assert await care.any_to_mend(connection, 500)
        assert len(await care.take(connection, 500, 100)) == 100
        assert await care.waiting(connection, 1, 1000) == 1000

    try:
        plans = await plans_of(dsn, work)
    finally:
        await world.close()
    for plan in plans:
        assert not plan.scans & {"queued", "failure", "surplus", "rule_file", "mend"}, plan
    [coming] = [p for p in plans if "union select file_id, target from active" in " ".join(p.statement.split())]
    assert coming.uses("queued_request", "request_id", "file_id"), coming
    [ordered] = [p for p in plans if "delete from failure" in p.statement]
    assert ordered.uses("failure_file", "request_id", "file_id"), ordered
    [due] = [p for p in plans if "delete from rule_file" in p.statement]
    assert due.uses("rule_file_due", "due"), due
