"""How far copying has come: bytes done, bytes in all, and the rate of the last seconds."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

WINDOW = 5.0  # seconds that the rate looks back
EVERY = 0.1  # seconds between two calls of `tell`, at least


@dataclass(slots=True)
class Meter:
    """`tell` is called with the meter as bytes go by. `total` is None while it is not known: no guess is shown."""

    tell: Callable[[Meter], None] | None = None
    done: int = 0
    total: int | None = None
    _marks: deque[tuple[float, int]] = field(default_factory=deque, repr=False)
    _told: float = 0.0
    _ahead: int | None = 0

    def add(self, count: int) -> None:
        """`count` bytes more; negative when some have to come again."""
        self.done += count
        now = time.monotonic()
        if now - self._told < EVERY:
            return
        self._told = now
        self._marks.append((now, self.done))
        while now - self._marks[0][0] > WINDOW:
            self._marks.popleft()
        if self.tell:
            self.tell(self)

    def expect(self, sizes: Iterable[int | None], last: bool) -> None:
        """More to come. After the `last` sizes, and if all were known, `total` is their sum."""
        for size in sizes:
            self._ahead = None if size is None or self._ahead is None else self._ahead + size
        self.total = self._ahead if last else None

    @property
    def rate(self) -> float:
        """Bytes a second over the last seconds."""
        if len(self._marks) < 2:
            return 0.0
        (t0, b0), (t1, b1) = self._marks[0], self._marks[-1]
        return max(0.0, (b1 - b0) / (t1 - t0)) if t1 > t0 else 0.0


Progress = Callable[[Meter], None]
