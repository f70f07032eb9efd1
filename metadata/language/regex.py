"""Regular expressions: the subset that means the same in PostgreSQL (ARE), in Python and in `automaton`.

    text             any character but \\ . ^ $ * + ? ( ) [ { |   (escape them: \\.)        case counts
    .                any character, a line break too
    [a-z_] [^0-9]    classes; inside, escape \\ [ ] ^ and a - that is no range
    \\d \\w \\s         digit, [A-Za-z0-9_], white space: ASCII; \\D \\W \\S outside of classes; \\n \\r \\t
    ( ) (?: ) |      groups, alternatives
    * + ? {2} {2,} {2,5}    at most 100, and not on something that holds one itself
    ^ $              the ends of the value (not of lines)

Refused: back-references, look-around, lazy and possessive quantifiers, options (?i), word edges (\\b), named classes.
"""

from __future__ import annotations

from functools import lru_cache

from .automaton import ANY, MAX_STATES, Anchor, Automaton, Chars, Choice, Pattern, Repeat, Sequence_, states

MAX_LENGTH = 200
_MAX_REPEAT = 100
_MAX_GROUPS = 20
_SPECIAL = "\\.^$*+?()[]{}|"
_SPACES = ((" ", " "), ("\t", "\r"))
_CLASSES = {"d": (("0", "9"),), "w": (("A", "Z"), ("a", "z"), ("0", "9"), ("_", "_")), "s": _SPACES}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}


class RegexError(ValueError):
    """`offset` is where in the expression; the message says what and what to write instead."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


@lru_cache(maxsize=256)
def parse_regex(text: str) -> Pattern:
    """Raises RegexError for what is not of the subset, is longer than 200 characters, or grows too large."""
    if len(text) > MAX_LENGTH:
        raise RegexError(f"a regular expression has at most {MAX_LENGTH} characters", MAX_LENGTH)
    if "\0" in text:
        raise RegexError("a NUL can't stand in a regular expression", text.index("\0"))
    reader = _Reader(text)
    pattern = reader.choice(0)
    if reader.here < len(text):
        raise RegexError("this ) closes nothing; write \\) for the character", reader.here)
    if states(pattern) > MAX_STATES:
        raise RegexError("the counted repetitions make the expression too large", 0)
    return pattern


@lru_cache(maxsize=256)
def _automaton(text: str) -> Automaton:
    return Automaton(parse_regex(text))


def search(text: str, value: str) -> bool:
    """True when the expression matches somewhere in `value`: in time linear in `value`. Raises RegexError."""
    return _automaton(text).search(value)


def portable(text: str) -> str:
    """The same expression without shorthands: what to hand to PostgreSQL's `~`. Raises RegexError."""
    return render(parse_regex(text))


def render(pattern: Pattern) -> str:
    """A pattern as an expression of the subset."""
    match pattern:
        case Chars():
            return _class(pattern)
        case Anchor():
            return pattern.value
        case Sequence_():
            return "".join(f"(?:{render(i)})" if isinstance(i, Choice) else render(i) for i in pattern.items)
        case Choice():
            return "|".join(render(i) for i in pattern.items)
        case Repeat():
            inner = render(pattern.item)
            return (inner if isinstance(pattern.item, Chars) else f"(?:{inner})") + _count(pattern)


def _count(repeat: Repeat) -> str:
    short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((repeat.least, repeat.most))
    most = "" if repeat.most is None else repeat.most
    return short or (f"{{{most}}}" if repeat.least == repeat.most else f"{{{repeat.least},{most}}}")


def _class(chars: Chars) -> str:
    if chars == ANY:
        return "."
    if not chars.negated and len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1]:
        char = chars.ranges[0][0]
        return f"\\{char}" if char in _SPECIAL else char
    inner = "".join(_bare(low) if low == high else f"{_bare(low)}-{_bare(high)}" for low, high in chars.ranges)
    return f"[{'^' if chars.negated else ''}{inner}]"


def _bare(char: str) -> str:
    return f"\\{char}" if char in "\\[]^-" else char


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.here = 0

    def peek(self, size: int = 1) -> str:
        return self.text[self.here : self.here + size]

    def take(self, what: str) -> bool:
        found = self.text.startswith(what, self.here)
        self.here += len(what) if found else 0
        return found

    def choice(self, depth: int) -> Pattern:
        items = [self.sequence(depth)]
        while self.take("|"):
            items.append(self.sequence(depth))
        return items[0] if len(items) == 1 else Choice(tuple(items))

    def sequence(self, depth: int) -> Pattern:
        start, items = self.here, []
        while self.peek() and self.peek() not in "|)":
            items.append(self.repeated(depth))
        if not items:
            raise RegexError("there is nothing here to match; use ? for what may be absent", start)
        return items[0] if len(items) == 1 else Sequence_(tuple(items))

    def repeated(self, depth: int) -> Pattern:
        start = self.here
        item = self.atom(depth)
        least_most = self.quantifier()
        if least_most is None:
            return item
        if isinstance(item, Anchor):
            raise RegexError("^ and $ can't be repeated", start)
        if _repeats(item):
            raise RegexError("a repetition of something that holds a repetition is refused; write it out", start)
        if self.peek() and self.peek() in "*+?{":
            raise RegexError("lazy, possessive and doubled quantifiers are refused", self.here)
        return Repeat(item, *least_most)

    def quantifier(self) -> tuple[int, int | None] | None:
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self.take(sign):
                return least, most
        start = self.here
        if not self.take("{"):
            return None
        first = self.digits()
        second: int | None = first
        if first is not None and self.take(","):
            second = self.digits()
        if first is None or not self.take("}"):
            raise RegexError("a repetition is written {2}, {2,} or {2,5}; write \\{ for the character", start)
        if max(first, second or 0) > _MAX_REPEAT or second == 0 or (second is not None and first > second):
            raise RegexError(f"a repetition counts from the smaller to the larger, at most {_MAX_REPEAT}", start)
        return first, second

    def digits(self) -> int | None:
        start = self.here
        while self.peek() and self.peek() in "0123456789":
            self.here += 1
        return int(self.text[start : self.here]) if self.here > start else None

    def atom(self, depth: int) -> Pattern:
        start, char = self.here, self.peek()
        self.here += 1
        if char == "(":
            return self.group(start, depth)
        if char == "[":
            return self.bracket(start)
        if char == "\\":
            return self.escape(start, inside=False)
        if char == ".":
            return ANY
        if char in "^$":
            return Anchor(char)
        if char in "*+?{":
            raise RegexError(f"there is nothing here for {char} to repeat; write \\{char} for the character", start)
        return Chars(((char, char),))

    def group(self, start: int, depth: int) -> Pattern:
        if depth >= _MAX_GROUPS:
            raise RegexError(f"groups are nested more than {_MAX_GROUPS} deep", start)
        if self.peek() == "?" and not self.take("?:"):
            raise RegexError("look-around, options and named groups are refused; only (?: ) is known", start)
        inner = self.choice(depth + 1)
        if not self.take(")"):
            raise RegexError("this ( is never closed; write \\( for the character", start)
        return inner

    def escape(self, start: int, *, inside: bool) -> Chars:
        char = self.peek()
        self.here += 1
        if char in _CLASSES and char:
            return Chars(_CLASSES[char])
        if not inside and char.lower() in _CLASSES and char:
            return Chars(_CLASSES[char.lower()], negated=True)
        plain = _CONTROLS.get(char, char)
        if not char or (char == plain and (char.isalnum() or char == "_")):
            raise RegexError(
                f"\\{char} is refused: only \\d \\w \\s \\D \\W \\S \\n \\r \\t and \\ before a sign", start
            )
        return Chars(((plain, plain),))

    def bracket(self, start: int) -> Chars:
        negated = self.take("^")
        ranges: list[tuple[str, str]] = []
        while not self.take("]"):
            low = self.member(start)
            if (
                len(low.ranges) == 1
                and low.ranges[0][0] == low.ranges[0][1]
                and self.peek() == "-"
                and self.peek(2) != "-]"
            ):
                at = self.here
                self.here += 1
                high = self.member(start)
                ends = (low.ranges[0][0], high.ranges[0][1])
                if len(high.ranges) > 1 or high.ranges[0][0] != ends[1] or ends[0] > ends[1]:
                    raise RegexError("a range goes from the smaller character to the larger; write \\- for a dash", at)
                ranges.append(ends)
            else:
                ranges += low.ranges
        if not ranges:
            raise RegexError("an empty class; write \\[ for the character", start)
        return Chars(tuple(ranges), negated)

    def member(self, start: int) -> Chars:
        char = self.peek()
        if not char:
            raise RegexError("this [ is never closed; write \\[ for the character", start)
        self.here += 1
        if char == "\\":
            return self.escape(self.here - 1, inside=True)
        if char in "[^":
            raise RegexError(
                f"inside a class write \\{char} (named classes such as [:alpha:] are refused)", self.here - 1
            )
        return Chars(((char, char),))


def _repeats(pattern: Pattern) -> bool:
    if isinstance(pattern, Sequence_ | Choice):
        return any(_repeats(i) for i in pattern.items)
    return isinstance(pattern, Repeat)
