"""Sequences of calls that nobody thought of: see `machine`."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.postgres import Postgres

from .machine import Machine


def run(postgres: Postgres, *, examples: int, steps: int, derandomize: bool) -> None:
    limits = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        phases=(Phase.generate,),  # a failure is told as it was found: to make it short takes minutes
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        run_state_machine_as_test(lambda: Machine(postgres, runner), settings=limits)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_services_do_as_the_model_does(postgres: Postgres) -> None:
    run(postgres, examples=24, steps=25, derandomize=True)


@pytest.mark.heavy
@pytest.mark.timeout(3600)
def test_the_services_do_as_the_model_does_for_long(postgres: Postgres) -> None:
    """Other sequences every time."""
    run(postgres, examples=200, steps=60, derandomize=False)
