"""Rules: standing wishes about the copies of files, and why a copy is where it is."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from .request import LinkPlan, Selection

MAX_WHY = 1000
_Until = Annotated[int, Meta(ge=0, le=2**62)]
_Grace = Annotated[int, Meta(ge=0, le=10 * 366 * 86_400)]
_Priority = Annotated[int, Meta(ge=-100, le=100)]
_Note = Annotated[str, Meta(max_length=500)]


class Want(Struct, forbid_unknown_fields=True, frozen=True):
    """`copies` good copies on elements of the expression `to`."""

    copies: Annotated[int, Meta(ge=1, le=100)]
    to: Annotated[str, Meta(min_length=1, max_length=1000)]


class NewRule(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """POST /v1/rules -> RuleInfo; POST /v1/rule-plan -> RulePlan, and nothing is done.

    Of every file that is chosen now or later (`under` with or without `query`, or `dataset`) all `wants` are kept up
    until the moment `until` (microseconds). One copy counts for every want that its element is of. Copies on elements
    of the wants that no rule needs are dropped after `grace` seconds.
    """

    selection: Selection
    wants: Annotated[list[Want], Meta(min_length=1, max_length=20)]
    until: _Until | None = None
    grace: _Grace = 86_400
    activity: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")] = "rules"
    group: str | None = None
    priority: _Priority = 0
    note: _Note = ""


class RuleChange(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """PATCH /v1/rules/{id} -> RuleInfo. `until` 0: for ever. `check`: look at all its files now, and try again what
    failed."""

    until: _Until | None = None
    grace: _Grace | None = None
    priority: _Priority | None = None
    note: _Note | None = None
    check: bool = False


class RuleCounts(Struct, omit_defaults=True):
    """Of files: `ok` have all that is wanted, `coming` will when the copies on their way are there, of `lacking` ones
    something can't be made now; the others may not be changed by the rule's owner. Of copies: `surplus`."""

    files: int = 0
    ok: int = 0
    coming: int = 0
    lacking: int = 0
    refused: int = 0
    surplus: int = 0


class RuleInfo(Struct, omit_defaults=True):
    """A rule. `counts` are of its last whole look at its files, at `checked`; what changes is seen at once. `request`
    makes its copies: how far it is, what failed and why is shown there. `error`: why it stands still. Microseconds."""

    id: int
    user: str
    selection: Selection
    wants: list[Want]
    request: int
    state: str = "running"
    until: int | None = None
    grace: int = 0
    priority: int = 0
    note: str = ""
    counts: RuleCounts = field(default_factory=RuleCounts)
    checked: int | None = None
    error: str | None = None
    created: int = 0


class RulePlan(Struct, omit_defaults=True):
    """What a rule would come to now: its files, the copies to be made over each link, and why what can't be made can't,
    {why: files}. `whole`: all files were looked at, not only what some seconds allow."""

    counts: RuleCounts = field(default_factory=RuleCounts)
    copies: int = 0
    bytes: int = 0
    links: list[LinkPlan] = []
    lacking: dict[str, int] = {}
    whole: bool = True


class WhyNames(Struct, forbid_unknown_fields=True):
    """POST /v1/why -> Outcomes[Why]"""

    lfns: Annotated[list[str], Meta(max_length=MAX_WHY)]


class WhyWant(Struct, omit_defaults=True):
    """A want of a rule about one file: the elements where copies are and are coming, how many more can't be made, and
    why."""

    rule: int
    copies: int
    to: str
    there: list[str] = []
    coming: list[str] = []
    lacking: int = 0
    why: str | None = None


class WhyCopy(Struct, omit_defaults=True):
    """A copy, the rules that count on it, and when it is dropped because none does."""

    se: str
    state: str
    rules: list[int] = []
    goes: int | None = None


class Why(Struct, omit_defaults=True):
    lfn: str
    copies: list[WhyCopy] = []
    wants: list[WhyWant] = []
