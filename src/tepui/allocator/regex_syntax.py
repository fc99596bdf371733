r"""The syntax of RE2, read into a tree (https://github.com/google/re2/wiki/Syntax).

Not read: Unicode classes (`\pL`). Which way a repetition prefers (`a*?`) makes no difference to
whether all of a text matches, and is ignored. Errors have the texts of RE2.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

REPEAT_MAX = 1000  # RE2: kMaxRepeat
DEPTH_MAX = 100  # nested groups

Span = tuple[int, int]  # code points, both inclusive
_CODE_MAX = 0x10FFFF


class Chars(Struct, frozen=True):
    """One character: within `spans` or, when negated, outside of them."""

    spans: tuple[Span, ...]
    is_negated: bool = False
    ignores_case: bool = False

    def hold(self, char: str) -> bool:
        """Whether `char` is one of them."""
        found = self._within(char) or (
            self.ignores_case and (self._within(char.lower()) or self._within(char.upper()))
        )
        return found is not self.is_negated

    def _within(self, char: str) -> bool:
        return len(char) == 1 and any(a <= ord(char) <= b for a, b in self.spans)


class Place(Enum):
    """A condition between two characters."""

    TEXT_BEGIN = "text_begin"
    TEXT_END = "text_end"
    LINE_BEGIN = "line_begin"
    LINE_END = "line_end"
    WORD_EDGE = "word_edge"
    NO_WORD_EDGE = "no_word_edge"

    def is_at(self, text: str, at: int) -> bool:
        """Whether `text` has such a place before its character `at`."""
        match self:
            case Place.TEXT_BEGIN:
                return at == 0
            case Place.TEXT_END:
                return at == len(text)
            case Place.LINE_BEGIN:
                return at == 0 or text[at - 1] == "\n"
            case Place.LINE_END:
                return at == len(text) or text[at] == "\n"
            case Place.WORD_EDGE:
                return _is_word_edge(text, at)
            case Place.NO_WORD_EDGE:
                return not _is_word_edge(text, at)


class At(Struct, frozen=True):
    """No character, but a place."""

    place: Place


class Sequence(Struct, frozen=True):
    """All parts, one after the other."""

    parts: tuple[Syntax, ...]


class Alternatives(Struct, frozen=True):
    """One of the ways."""

    ways: tuple[Syntax, ...]


class Repeat(Struct, frozen=True):
    """`of`, at least and at most so often; None: without end."""

    of: Syntax
    least: int
    most: int | None


Syntax = Chars | At | Sequence | Alternatives | Repeat

_DIGIT: tuple[Span, ...] = ((48, 57),)
_UPPER: tuple[Span, ...] = ((65, 90),)
_LOWER: tuple[Span, ...] = ((97, 122),)
_ALPHA = _UPPER + _LOWER
_WORD = _DIGIT + _ALPHA + ((95, 95),)
_SPACE: tuple[Span, ...] = ((9, 10), (12, 13), (32, 32))
_ANY = Chars(((0, _CODE_MAX),))
_NO_NEWLINE = Chars(((10, 10),), is_negated=True)

_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_POSIX: dict[str, tuple[Span, ...]] = {
    "alnum": _DIGIT + _ALPHA,
    "alpha": _ALPHA,
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": ((33, 126),),
    "lower": _LOWER,
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": _UPPER,
    "word": _WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_PLACES = {
    "A": Place.TEXT_BEGIN,
    "z": Place.TEXT_END,
    "b": Place.WORD_EDGE,
    "B": Place.NO_WORD_EDGE,
}
_CONTROLS = {"a": 7, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
_OCTAL = "01234567"
_HEX = "0123456789abcdefABCDEF"


def parse(pattern: str) -> Syntax:
    """The tree of `pattern`; raises `ValueError` saying what is wrong."""
    reader = _Reader(pattern)
    tree = reader.alternatives()
    if reader.at < len(pattern):
        raise ValueError(f"unexpected ): {pattern}")
    return tree


def _is_word_edge(text: str, at: int) -> bool:
    return _is_word(text[at - 1 : at]) is not _is_word(text[at : at + 1])


def _is_word(char: str) -> bool:
    return bool(char) and any(a <= ord(char) <= b for a, b in _WORD)


class _Flags(Struct, frozen=True):
    """What `(?flags)` has switched on."""

    ignores_case: bool = False  # i
    dot_takes_newline: bool = False  # s
    is_multi_line: bool = False  # m


_FLAGS = {"i": "ignores_case", "s": "dot_takes_newline", "m": "is_multi_line"}


class _Reader:
    """A pattern and how far it has been read."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.flags = _Flags()
        self.depth = 0

    def alternatives(self) -> Syntax:
        ways = [self.sequence()]
        while self.skip("|"):
            ways.append(self.sequence())
        return ways[0] if len(ways) == 1 else Alternatives(tuple(ways))

    def sequence(self) -> Syntax:
        parts: list[Syntax] = []
        while self.peek() not in ("", "|", ")"):
            if self.skip("\\Q"):
                parts += self.quoted()
                continue
            part = self.one()
            if part is not None:
                parts.append(self.repeated(part))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def one(self) -> Syntax | None:
        """One thing that can be repeated; None where only flags were set."""
        start = self.at
        if self.repetition() is not None:
            raise ValueError(
                f"no argument for repetition operator: {self.pattern[start : self.at]}"
            )
        match char := self.take():
            case "(":
                return self.group(start)
            case "[":
                return self.char_class(start)
            case ".":
                return _ANY if self.flags.dot_takes_newline else _NO_NEWLINE
            case "^":
                return At(Place.LINE_BEGIN if self.flags.is_multi_line else Place.TEXT_BEGIN)
            case "$":
                return At(Place.LINE_END if self.flags.is_multi_line else Place.TEXT_END)
            case "\\":
                return self.escape(start)
            case _:
                return self.literal(ord(char))

    def repeated(self, part: Syntax) -> Syntax:
        start = self.at
        bounds = self.repetition()
        if bounds is None:
            return part
        if self.repetition() is not None:
            raise ValueError(f"bad repetition operator: {self.pattern[start : self.at]}")
        least, most = bounds
        if least > REPEAT_MAX or (most is not None and not least <= most <= REPEAT_MAX):
            raise ValueError(f"invalid repetition size: {self.pattern[start : self.at]}")
        return Repeat(part, least, most)

    def repetition(self) -> tuple[int, int | None] | None:
        """A repetition operator with what follows to make it lazy, if one comes next."""
        if self.skip("*"):
            bounds: tuple[int, int | None] | None = (0, None)
        elif self.skip("+"):
            bounds = (1, None)
        elif self.skip("?"):
            bounds = (0, 1)
        else:
            bounds = self.counts()
        if bounds is not None:
            self.skip("?")
        return bounds

    def counts(self) -> tuple[int, int | None] | None:
        """`{2}`, `{2,}` or `{2,3}`; anything else in braces is literal, and is not read."""
        start = self.at
        if self.skip("{") and (least := self.number()) is not None:
            most: int | None = least
            if self.skip(","):
                most = self.number()
            if self.skip("}"):
                return least, most
        self.at = start
        return None

    def number(self) -> int | None:
        start = self.at
        while self.peek() in _DIGITS:
            self.at += 1
        digits = self.pattern[start : self.at]
        return int(digits[:10]) if digits else None

    def group(self, start: int) -> Syntax | None:
        """What follows a parenthesis; the flags within end with it."""
        outer = self.flags
        if self.skip("?") and not self.skip(":"):
            if self.skip("P<") or self.skip("<"):
                self.group_name(start)
            elif not self.group_flags(start):
                return None
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise ValueError(f"expression nests too deeply: {self.pattern}")
        inner = self.alternatives()
        if not self.skip(")"):
            raise ValueError(f"missing ): {self.pattern}")
        self.depth -= 1
        self.flags = outer
        return inner

    def group_name(self, start: int) -> None:
        end = self.pattern.find(">", self.at)
        name = self.pattern[self.at : end] if end >= 0 else ""
        if not name or not all(_is_word(char) for char in name):
            shown = self.pattern[start : end + 1] if end >= 0 else self.pattern[start:]
            raise ValueError(f"invalid named capture group: {shown}")
        self.at = end + 1

    def group_flags(self, start: int) -> bool:
        """`i`, `-s` and so on are read; whether a group follows them."""
        value = True
        flags = self.flags
        while True:
            match char := self.take():
                case ")":
                    self.flags = flags
                    return False
                case ":":
                    self.flags = flags
                    return True
                case "-" if value:
                    value = False
                case "i" | "s" | "m":
                    flags = replace(flags, **{_FLAGS[char]: value})
                case "U":
                    pass  # which way repetitions prefer
                case "":
                    raise ValueError(f"missing ): {self.pattern}")
                case _:
                    raise ValueError(f"invalid perl operator: {self.pattern[start : self.at]}")

    def quoted(self) -> list[Syntax]:
        r"""The literals up to `\E` or the end."""
        end = self.pattern.find("\\E", self.at)
        text = self.pattern[self.at : end] if end >= 0 else self.pattern[self.at :]
        self.at = end + 2 if end >= 0 else len(self.pattern)
        parts: list[Syntax] = [self.literal(ord(char)) for char in text]
        if parts:
            parts[-1] = self.repeated(parts[-1])
        return parts

    def escape(self, start: int) -> Syntax:
        char = self.peek()
        if char in _PLACES and char:
            self.at += 1
            return At(_PLACES[char])
        if char == "C":
            self.at += 1
            return _ANY
        if (spans := self.perl_class()) is not None:
            return Chars(spans)
        return self.literal(self.escaped_code(start))

    def perl_class(self) -> tuple[Span, ...] | None:
        """What stands for `d`, `W` and so on, if one comes next."""
        char = self.peek()
        spans = _CLASSES.get(char.lower())
        if spans is None:
            return None
        self.at += 1
        return spans if char.islower() else _inverted(spans)

    def escaped_code(self, start: int) -> int:
        """The character that an escape stands for."""
        char = self.take()
        if not char:
            raise ValueError("trailing \\ at end of regexp")
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char == "x":
            return self.hex_code(start)
        if char == "0" or (char in _OCTAL and self.peek() in _OCTAL_DIGITS):
            digits = char
            while len(digits) < 3 and self.peek() in _OCTAL_DIGITS:
                digits += self.take()
            return int(digits, 8)
        if char.isascii() and not _is_word(char):
            return ord(char)
        raise ValueError(f"invalid escape sequence: {self.pattern[start : self.at]}")

    def hex_code(self, start: int) -> int:
        if self.skip("{"):
            end = self.pattern.find("}", self.at)
            digits = self.pattern[self.at : end] if end >= 0 else ""
            self.at = end + 1 if end >= 0 else len(self.pattern)
        else:
            digits = self.pattern[self.at : self.at + 2]
            self.at = min(self.at + 2, len(self.pattern))
            if len(digits) < 2:
                digits = ""
        code = int(digits, 16) if digits and all(d in _HEX for d in digits[:9]) else _CODE_MAX + 1
        if len(digits) > 8 or code > _CODE_MAX:
            raise ValueError(f"invalid escape sequence: {self.pattern[start : self.at]}")
        return code

    def char_class(self, start: int) -> Syntax:
        """What follows a bracket."""
        is_negated = self.skip("^")
        spans: list[Span] = []
        is_first = True
        while is_first or self.peek() != "]":
            is_first = False
            if not self.peek():
                raise ValueError(f"missing ]: {self.pattern[start:]}")
            if self.pattern.startswith("[:", self.at) and ":]" in self.pattern[self.at + 2 :]:
                spans += self.posix_class()
            elif self.pattern.startswith("\\", self.at):
                spans += self.escape_in_class(start)
            else:
                spans.append(self.span(ord(self.take()), self.at - 1, start))
        self.skip("]")
        return Chars(tuple(spans), is_negated, self.flags.ignores_case)

    def posix_class(self) -> tuple[Span, ...]:
        end = self.pattern.index(":]", self.at + 2)
        shown = self.pattern[self.at : end + 2]
        name = shown[2:-2].removeprefix("^")
        if name not in _POSIX:
            raise ValueError(f"invalid character class range: {shown}")
        self.at = end + 2
        return _inverted(_POSIX[name]) if shown[2:3] == "^" else _POSIX[name]

    def escape_in_class(self, bracket: int) -> tuple[Span, ...]:
        start = self.at
        self.at += 1
        if (spans := self.perl_class()) is not None:
            return spans
        return (self.span(self.escaped_code(start), start, bracket),)

    def span(self, low: int, start: int, bracket: int) -> Span:
        """`low` alone, or the range that begins with it."""
        follows = self.pattern[self.at : self.at + 2]
        if len(follows) < 2 or follows[0] != "-" or follows[1] == "]":
            return (low, low)
        self.at += 1
        at = self.at
        high = self.escaped_code(at) if self.skip("\\") else ord(self.take())
        if high < low:
            shown = self.pattern[start : self.at]
            raise ValueError(f"invalid character class range: {shown}")
        return (low, high)

    def literal(self, code: int) -> Chars:
        return Chars(((code, code),), ignores_case=self.flags.ignores_case)

    def peek(self) -> str:
        """The next character; empty at the end."""
        return self.pattern[self.at : self.at + 1]

    def take(self) -> str:
        """The next character, read; empty at the end."""
        char = self.peek()
        self.at += len(char)
        return char

    def skip(self, text: str) -> bool:
        """Whether `text` came next; then it is read."""
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found


_DIGITS = tuple("0123456789")
_OCTAL_DIGITS = tuple(_OCTAL)


def _inverted(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """All other characters."""
    outside: list[Span] = []
    low = 0
    for a, b in sorted(spans):
        if a > low:
            outside.append((low, a - 1))
        low = max(low, b + 1)
    if low <= _CODE_MAX:
        outside.append((low, _CODE_MAX))
    return tuple(outside)
