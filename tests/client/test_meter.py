from __future__ import annotations

import pytest

import lading.client.meter
from lading.client.meter import Meter


def test_rate_and_total(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(lading.client.meter.time, "monotonic", lambda: now)
    told: list[tuple[int, int | None, float]] = []
    meter = Meter(lambda m: told.append((m.done, m.total, m.rate)))
    meter.expect([100, 200], last=False)
    assert meter.total is None  # more files may come
    for _ in range(20):
        meter.add(10)
        now += 1
    meter.expect([50], last=True)
    assert meter.total == 350
    meter.add(-10)
    assert told[-1] == (190, 350, pytest.approx(30 / 5))
    assert told[10] == (110, None, 10.0)


def test_it_is_not_called_for_every_chunk() -> None:
    told = []
    meter = Meter(told.append)
    for _ in range(10_000):
        meter.add(1)
    assert meter.done == 10_000
    assert len(told) < 1000


def test_one_unknown_size_makes_the_total_unknown() -> None:
    meter = Meter()
    meter.expect([1, None, 3], last=True)
    assert meter.total is None
