"""Regular expressions that cannot hang the master: a match takes time in proportion to the text.

Patterns come from frameworks, so a backtracking engine is out of the question. A pattern becomes
a small program that is run over the text with all its threads in step (Thompson, "Regular
expression search algorithm", 1968). The syntax is that of RE2, as Mesos uses it, with its limit
on the size of a program; see `regex_syntax`.
"""

from __future__ import annotations

from msgspec import Struct

from tepui.allocator.regex_syntax import (
    Alternatives,
    At,
    Chars,
    Place,
    Repeat,
    Sequence,
    Syntax,
    parse,
)

PROGRAM_SIZE_MAX = 100  # Mesos: --offer_constraints_re2_max_program_size
ANSWERS_MAX = 4096  # texts whose answer a pattern remembers: racks and zones repeat


class TooComplex(ValueError):
    """The program of a pattern would be too large."""


class Take(Struct, frozen=True):
    """Take one character, go on with the next instruction."""

    chars: Chars


class Check(Struct, frozen=True):
    """Go on with the next instruction if this is such a place."""

    place: Place


class Fork(Struct, frozen=True):
    """Go on in several places; offsets from here."""

    ways: tuple[int, ...]


Instruction = Take | Check | Fork


class Pattern:
    """A compiled pattern."""

    __slots__ = ("_answers", "_program")

    def __init__(self, program: tuple[Instruction, ...]) -> None:
        self._program = program
        self._answers: dict[str, bool] = {}

    def matches(self, text: str) -> bool:
        """Whether the pattern matches all of `text`."""
        answer = self._answers.get(text)
        if answer is None:
            if len(self._answers) >= ANSWERS_MAX:
                self._answers.clear()
            answer = self._answers[text] = self._run(text)
        return answer

    def _run(self, text: str) -> bool:
        threads = self._follow([0], text, 0)
        for at, char in enumerate(text):
            if not threads:
                return False
            taken = []
            for thread in threads:
                # The last thread stands behind the program: it has matched, and takes nothing.
                if thread < len(self._program):
                    instruction = self._program[thread]
                    if isinstance(instruction, Take) and instruction.chars.hold(char):
                        taken.append(thread + 1)
            threads = self._follow(taken, text, at + 1)
        return len(self._program) in threads

    def _follow(self, starts: list[int], text: str, at: int) -> list[int]:
        """Where threads stand that started at `starts`: before a character, or at the end."""
        seen: set[int] = set()
        waiting = starts[::-1]
        standing: list[int] = []
        while waiting:
            thread = waiting.pop()
            if thread in seen:
                continue
            seen.add(thread)
            instruction = self._program[thread] if thread < len(self._program) else None
            if isinstance(instruction, Fork):
                waiting += [thread + way for way in instruction.ways]
            elif isinstance(instruction, Check):
                if instruction.place.is_at(text, at):
                    waiting.append(thread + 1)
            else:
                standing.append(thread)
        return standing


def compile_pattern(pattern: str) -> Pattern:
    """The pattern, ready to match; raises `ValueError` with RE2's text, or `TooComplex`."""
    syntax = parse(pattern)
    size = _size(syntax) + 1
    if size > PROGRAM_SIZE_MAX:
        raise TooComplex(
            f"program size of {size} is larger than maximum of {PROGRAM_SIZE_MAX} allowed"
        )
    return Pattern(tuple(_program(syntax)))


def _size(syntax: Syntax) -> int:
    """How long the program is, known before it is made."""
    match syntax:
        case Chars() | At():
            return 1
        case Sequence(parts=parts):
            return sum(map(_size, parts))
        case Alternatives(ways=ways):
            return sum(map(_size, ways)) + 2 * len(ways) - 1
        case Repeat(of=of, least=least, most=most):
            if most is None:
                return _size(of) * max(least, 1) + (1 if least else 2)
            return _size(of) * least + (_size(of) + 1) * (most - least)


def _program(syntax: Syntax) -> list[Instruction]:
    match syntax:
        case Chars():
            return [Take(syntax)]
        case At(place=place):
            return [Check(place)]
        case Sequence(parts=parts):
            return [instruction for part in parts for instruction in _program(part)]
        case Alternatives(ways=ways):
            return _alternatives([_program(way) for way in ways])
        case Repeat(of=of, least=least, most=most):
            return _repeat(_program(of), least, most)


def _alternatives(ways: list[list[Instruction]]) -> list[Instruction]:
    """`fork L1 … Ln; L1: way 1; jump end; …; Ln: way n`."""
    starts: list[int] = []
    at = 1
    for way in ways:
        starts.append(at)
        at += len(way) + 1
    program: list[Instruction] = [Fork(tuple(starts))]
    for way in ways:
        program += way
        program.append(Fork((at - len(program),)))
    return program


def _repeat(body: list[Instruction], least: int, most: int | None) -> list[Instruction]:
    if most is not None:
        maybe = [Fork((1, len(body) + 1)), *body]
        return body * least + maybe * (most - least)
    if least == 0:
        return [Fork((1, len(body) + 2)), *body, Fork((-len(body) - 1,))]
    return [*body * least, Fork((-len(body), 1))]
