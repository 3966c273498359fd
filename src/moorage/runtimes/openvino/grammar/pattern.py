"""Regular expressions of schemas as EBNF over the characters of a JSON string.

What a pattern wants beside characters, groups, alternatives and counts is refused. A pattern that is not anchored
(`^`, `$`) may have any text on that side, as JSON Schema has it.
"""

from moorage.runtimes.openvino.grammar.notation import (
    LAST,
    PLAIN,
    Range,
    Unfit,
    complement,
    counted,
    either,
    in_class,
    intersected,
    quoted,
)

DIGITS: list[Range] = [(0x30, 0x39)]
WORD: list[Range] = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
SPACE: list[Range] = [(0x20, 0x20)]
"""Of the characters `\\s` stands for, the one that needs no escape in JSON."""
KINDS = {"d": DIGITS, "w": WORD, "s": SPACE}
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}
ESCAPED = ('"', "\\", "\n", "\t", "\r")
COUNT_MAX = 128
LENGTH_MAX = 1024


def pattern(text: str) -> str:
    """What matches between the quotes of a JSON string. Raises Unfit."""
    if len(text) > LENGTH_MAX:
        raise Unfit(f"a pattern is longer than {LENGTH_MAX} characters")
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def read(self) -> str:
        expression = self._alternatives(outermost=True)
        if self._place < len(self._text):
            raise self._unfit("it closes a group that is not open")
        return expression

    def _alternatives(self, *, outermost: bool) -> str:
        found = [self._sequence(outermost=outermost)]
        while self._take("|"):
            found.append(self._sequence(outermost=outermost))
        return either(found)

    def _sequence(self, *, outermost: bool) -> str:
        anything = counted(in_class(PLAIN), 0, None)
        words = [] if not outermost or self._take("^") else [anything]
        closed = not outermost
        while self._place < len(self._text) and self._peek() not in "|)":
            if outermost and self._take("$"):
                closed = True
                break
            words.append(self._quantified(self._atom()))
        if not closed:
            words.append(anything)
        return " ".join(words) or '""'

    def _atom(self) -> str:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == ".":
            return in_class(PLAIN)
        if char == "\\":
            return self._escape()
        if char in "*+?{}^$":
            raise self._unfit(f"{char!r} has no place there")
        return _literal(char)

    def _group(self) -> str:
        if self._take("?") and not self._take(":"):
            raise self._unfit("it looks ahead or behind, or names a group")
        expression = self._alternatives(outermost=False)
        if not self._take(")"):
            raise self._unfit("a group is not closed")
        return f"({expression})"

    def _escape(self) -> str:
        char = self._next()
        if char.lower() in KINDS:
            ranges = KINDS[char.lower()]
            return in_class(intersected(complement(ranges) if char.isupper() else ranges, PLAIN))
        return _literal(self._escaped(char))

    def _escaped(self, char: str) -> str:
        if char in ESCAPES:
            return ESCAPES[char]
        if char in "ux":
            size = 4 if char == "u" else 2
            digits = self._text[self._place : self._place + size]
            self._place += size
            try:
                return chr(int(digits, 16))
            except ValueError:
                raise self._unfit(f"\\{char}{digits} is no character") from None
        if char.isalnum():
            raise self._unfit(f"\\{char} is not known here")
        return char

    def _class(self) -> str:
        """Of characters that JSON escapes, those that are named; of a negated class none."""
        negated = self._take("^")
        found: list[Range] = []
        first = True
        while first or self._peek() != "]":
            first = False
            low = self._member()
            if isinstance(low, list):
                found += low
            elif self._peek() == "-" and self._text[self._place + 1 : self._place + 2] not in ("", "]"):
                self._next()
                high = self._member()
                if isinstance(high, list) or high < low:
                    raise self._unfit("a range of characters is upside down")
                found.append((low, high))
            else:
                found.append((low, low))
        self._next()
        if negated:
            return in_class(intersected(complement(found), PLAIN))
        escaped = [char for char in ESCAPED if any(low <= ord(char) <= high for low, high in found)]
        plain = intersected(found, PLAIN)
        return either([*([in_class(plain)] if plain or not escaped else []), *map(_literal, escaped)])

    def _member(self) -> int | list[Range]:
        char = self._next()
        if char != "\\":
            return ord(char)
        char = self._next()
        if char.lower() in KINDS:
            ranges = KINDS[char.lower()]
            return complement(ranges) if char.isupper() else ranges
        return ord("\b") if char == "b" else ord(self._escaped(char))

    def _quantified(self, atom: str) -> str:
        char = self._peek()
        if not char or char not in "*+?{":
            return atom
        self._next()
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1), "{": (0, 0)}[char]
        if char == "{":
            least, most = self._counts()
        if self._peek() in ("?", "+") and self._peek():
            raise self._unfit("lazy and possessive counts are not known here")
        return counted(atom, least, most)

    def _counts(self) -> tuple[int, int | None]:
        end = self._text.find("}", self._place)
        words = self._text[self._place : end].split(",") if end >= 0 else []
        if len(words) not in (1, 2) or not words[0].isdecimal() or not all(not w or w.isdecimal() for w in words):
            raise self._unfit("a count in braces is not whole")
        self._place = end + 1
        least = int(words[0])
        most = least if len(words) == 1 else int(words[1]) if words[1] else None
        if max(least, most or 0) > COUNT_MAX:
            raise self._unfit(f"it counts beyond {COUNT_MAX}")
        if most is not None and most < least:
            raise self._unfit("a count in braces is upside down")
        return least, most

    def _peek(self) -> str:
        return self._text[self._place : self._place + 1]

    def _take(self, char: str) -> bool:
        found = self._peek() == char
        self._place += found
        return found

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise self._unfit("it ends too soon")
        self._place += 1
        return char

    def _unfit(self, why: str) -> Unfit:
        return Unfit(f"the pattern {self._text!r} cannot be kept: {why}")


def _literal(char: str) -> str:
    """As JSON writes it within a string."""
    named = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\f": "\\f", "\b": "\\b"}.get(char)
    if named is None and ord(char) < 0x20:
        named = f"\\u{ord(char):04x}"
    if 0xD800 <= ord(char) <= 0xDFFF or ord(char) > LAST:
        raise Unfit("a pattern names half a character")
    return quoted(named or char)
