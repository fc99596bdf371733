"""JSON text to Python values by the rules Mesos parses with, and its words for what is no JSON.

`parse` asks the standard library first. What that refuses, and what the two disagree about, goes to
a scanner of Mesos's grammar, which also takes `01`, `1.` and `-.5` and knows the exact error text:
the line and what was left of it after the last character read.

Source: picojson 1.3 as Mesos configures it; answers of Mesos 1.12 to broken bodies.
"""

from __future__ import annotations

import json
import re
from math import inf
from typing import Any, NoReturn

# Differs from Mesos, which stops at 200: what was decoded here must also fit the 100 levels that
# protobuf decoders take, inside whatever message carries it on.
DEPTH_MAX = 64
NEAR_CHARS_MAX = 1024  # of the offending line, quoted in an error
INTEGER_DIGITS_MAX = 20  # 2**64 has 20; longer integers are read as doubles, as Mesos does

_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # or a pair: the scanner tells them apart
# A string, or what began as one and never ends: were that left to be tried again from each of its
# quotes, the time would grow with the square of the body.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = re.compile(r"[^\[\]{}]+")
_SQUARE = str.maketrans("{}", "[]")  # which of the two they are, is looked at later
_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_HEX4 = re.compile(r"[0-9a-fA-F]{0,4}")
_NUMBER_CHARS = re.compile(r"[0-9+\-eE.]*")
_INTEGER = re.compile(r"-?[0-9]+")
_DOUBLE = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_INFINITIES = {"Infinity": inf, "-Infinity": -inf}
_WORDS = {"n": ("null", None), "t": ("true", True), "f": ("false", False)}


class NotJSON(Exception):
    """The text is no JSON; `str()` is the sentence Mesos says so with."""


def parse(text: str) -> Any:
    """The value of `text`; raises NotJSON. Of a name that occurs twice the last value counts.

    Infinity and -Infinity are taken (Mesos writes them but does not read them), NaN is not.
    """
    if _LONE_SURROGATE.search(text) or depth(text) > DEPTH_MAX:
        return _scan(text)
    try:
        return json.loads(text, parse_int=_integer, parse_float=_double, parse_constant=_constant)
    except ValueError:  # JSONDecodeError, or a constant
        return _scan(text)


def depth(text: str) -> int:
    """How deep the brackets of `text` nest; exact for JSON, some number for anything else."""
    if text.count("{") + text.count("[") <= DEPTH_MAX:
        return 0  # it cannot be too deep, which is all that is asked
    left = _NO_BRACKETS.sub("", _STRING.sub("", text)).translate(_SQUARE)
    for level in range(DEPTH_MAX + 1):  # each round takes the innermost away, at the speed of C
        if not left:
            return level
        inner = len(left)
        left = left.replace("[]", "")
        if len(left) == inner:
            break  # it is no JSON
    return DEPTH_MAX + 1


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= INTEGER_DIGITS_MAX else _double(digits)


def _double(digits: str) -> float:
    value = float(digits)
    if value in (inf, -inf):
        raise NotJSON("Value out of range")
    return value


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError(name)
    return _INFINITIES[name]


def _scan(text: str) -> Any:
    scanner = _Scanner(text)
    value = scanner.value(0)
    end = len(text.rstrip(" \t\r\n"))
    if scanner.read != end:
        rest = text[scanner.read : end] if scanner.read < end else text[scanner.read :]
        raise NotJSON(
            "Parsed JSON included non-whitespace trailing characters: " + rest[:NEAR_CHARS_MAX]
        )
    return value


class _Scanner:
    """One pass over `text`. `at` is the next character; `read` counts those looked at."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.read = 0

    def value(self, level: int) -> Any:
        self._skip_space()
        first = self.text[self.at : self.at + 1]
        if first == "{" or first == "[":
            self._take()
            if level == DEPTH_MAX:
                self._fail()
            return self._object(level + 1) if first == "{" else self._array(level + 1)
        if first == '"':
            self._take()
            return self._string()
        if first in _WORDS:
            word, value = _WORDS[first]
            for letter in word:
                self._expect(letter)
            return value
        return self._number()

    def _object(self, level: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._next_is("}"):
            return found
        while True:
            self._skip_space()
            self._expect('"')
            name = self._string()
            self._skip_space()
            self._expect(":")
            found[name] = self.value(level)
            if not self._next_is(","):
                break
        self._expect("}")
        return found

    def _array(self, level: int) -> list[Any]:
        found: list[Any] = []
        if self._next_is("]"):
            return found
        while True:
            found.append(self.value(level))
            if not self._next_is(","):
                break
        self._expect("]")
        return found

    def _string(self) -> str:
        pieces: list[str] = []
        while True:
            plain = _PLAIN.match(self.text, self.at)
            assert plain is not None  # it matches the empty string
            pieces.append(plain.group())
            self.at = plain.end()
            stop = self.text[self.at : self.at + 1]
            if stop == '"':
                self._take()
                return "".join(pieces)
            if stop != "\\":
                self._fail(peeked=True)
            self._take()
            pieces.append(self._escape())

    def _escape(self) -> str:
        letter = self.text[self.at : self.at + 1]
        self._take()
        if letter == "u":
            return self._code_point()
        if letter not in _ESCAPES:
            self._fail()
        return _ESCAPES[letter]

    def _code_point(self) -> str:
        first = self._hex4()
        if not 0xD800 <= first <= 0xDFFF:
            return chr(first)
        if first >= 0xDC00:
            self._fail()
        self._expect("\\")
        self._expect("u")
        second = self._hex4()
        if not 0xDC00 <= second <= 0xDFFF:
            self._fail()
        return chr(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))

    def _hex4(self) -> int:
        digits = _HEX4.match(self.text, self.at)
        assert digits is not None  # it matches the empty string
        self.at = digits.end()
        if len(digits.group()) < 4:
            self._fail(peeked=True)
        return int(digits.group(), 16)

    def _number(self) -> int | float:
        for name, value in _INFINITIES.items():
            if self.text.startswith(name, self.at):
                self.at = self.read = self.at + len(name)
                return value
        first = self.text[self.at : self.at + 1]
        if not first or first not in "-0123456789":
            self._fail(peeked=True)
        chars = _NUMBER_CHARS.match(self.text, self.at)
        assert chars is not None  # it matches the empty string
        self.at = chars.end()
        self.read = min(self.at + 1, len(self.text))
        if _INTEGER.fullmatch(chars.group()):
            return _integer(chars.group())
        if _DOUBLE.fullmatch(chars.group()):
            return _double(chars.group())
        return self._fail(peeked=True)

    def _skip_space(self) -> None:
        space = _SPACE.match(self.text, self.at)
        assert space is not None  # it matches the empty string
        self.at = space.end()

    def _next_is(self, letter: str) -> bool:
        self._skip_space()
        if self.text.startswith(letter, self.at):
            self._take()
            return True
        return False

    def _expect(self, letter: str) -> None:
        if not self.text.startswith(letter, self.at):
            self._fail(peeked=True)
        self._take()

    def _take(self) -> None:
        self.at = self.read = min(self.at + 1, len(self.text))

    def _fail(self, *, peeked: bool = False) -> NoReturn:
        """Say where it went wrong; `peeked` when the next character was what was wrong."""
        self.read = min(self.at + 1, len(self.text)) if peeked else self.at
        line = 1 + self.text.count("\n", 0, max(self.read - 1, 0))
        rest = self.text[self.at : self.at + NEAR_CHARS_MAX].partition("\n")[0]
        near = "".join(letter for letter in rest if letter >= " ")
        raise NotJSON(f"syntax error at line {line} near: {near}")
