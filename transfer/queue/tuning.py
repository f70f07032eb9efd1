"""How many places a link has that nobody has set: more while that moves more, fewer when tries fail. Pure.

Additive up, multiplicative down, as TCP and FTS's optimizer have it; by what the link moved in the last period.
"""

from __future__ import annotations

LEAST, MOST = 2.0, 60.0
_ENOUGH = 3  # tries that something can be learnt from
_ERRORS = 0.1  # the share of tries that may fail
_FASTER, _SLOWER = 1.05, 0.8
_STEADY = 0.25  # of a place: one more is tried after four steady periods


def decide(
    window: float, was: float, rate: float, done: int, failed: int, *, waiting: bool, most: float = MOST
) -> tuple[float, str]:
    """(places from now on, why), of a link that had `window` places and moved `rate` bytes a second, `was` before that.
    `failed`: tries that are to be done again. `waiting`: there was more to do than places. Without a change: why is
    empty."""
    tries = done + failed
    most = min(most, MOST)
    if tries >= _ENOUGH and failed > _ERRORS * tries:
        after, why = max(window * 0.7, LEAST), f"{failed} of {tries} tries failed"
    elif done < _ENOUGH or not waiting:
        return window, ""
    elif rate > was * _FASTER:
        after, why = window + 1, f"{_mb(rate)} after {_mb(was)}: one more"
    elif rate < was * _SLOWER:
        after, why = max(window - 1, LEAST), f"{_mb(rate)} after {_mb(was)}: one fewer"
    else:
        after, why = window + _STEADY, f"steady at {_mb(rate)}: one more is tried by and by"
    after = min(after, max(most, 1.0))
    return after, why if after != window else ""


def _mb(rate: float) -> str:
    return f"{rate / 1e6:.1f} MB/s"
