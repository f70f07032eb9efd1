"""Figures, and the table they make."""

from __future__ import annotations

from msgspec import Struct


class Figure(Struct):
    """One line of the table. `measured` is end to end, `raw` the limit in the same unit, taken in the same run.

    `result` is what `target` is about: the ratio of the two where a raw limit counts, else `measured` itself.
    """

    name: str
    unit: str
    measured: float
    raw: float | None
    result: float
    target: float | None
    at_least: bool = True
    cpu: str = ""

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.result >= self.target if self.at_least else self.result <= self.target


class Stage(Struct):
    """All figures with so many files in the catalogue."""

    files: int
    figures: list[Figure]


def rate(name: str, unit: str, measured: float, raw: float, target: float | None, cpu: str = "") -> Figure:
    """A rate (more is better) whose share of the raw one is what counts."""
    return Figure(name, unit, measured, raw, measured / raw, target, cpu=cpu)


def limit(name: str, unit: str, measured: float, target: float | None, raw: float | None = None) -> Figure:
    """A quantity that must not be more than `target`."""
    return Figure(name, unit, measured, raw, measured, target, at_least=False)


def markdown(stages: list[Stage]) -> str:
    """The table of the last stage; with an earlier one, how each measured value grew since."""
    last, before = stages[-1], stages[0] if len(stages) > 1 else None
    growth = f" {_count(before.files)} -> {_count(last.files)} |" if before else ""
    lines = [
        f"| figure ({_count(last.files)} files) | measured | raw limit | ratio | target | | CPU an item |{growth}",
        f"|---|---|---|---|---|---|---|{'---|' if before else ''}",
    ]
    earlier = {f.name: f for f in before.figures} if before else {}
    for f in last.figures:
        target = "" if f.target is None else f"{'>=' if f.at_least else '<='} {_number(f.target)}"
        raw = "" if f.raw is None else f"{_number(f.raw)}"
        ratio = "" if f.raw is None else f"{f.measured / f.raw:.2f}"
        verdict = "" if f.target is None else "met" if f.met else "**missed**"
        line = f"| {f.name} | {_number(f.measured)} {f.unit} | {raw} | {ratio} | {target} | {verdict} | {f.cpu} |"
        if before:
            then = earlier.get(f.name)
            line += f" x {f.measured / then.measured:.2f} |" if then else " |"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _count(files: int) -> str:
    return f"{files // 1_000_000} M" if files % 1_000_000 == 0 else f"{files // 1000} k"
