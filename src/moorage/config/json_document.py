"""JSON as plain data, with the place of every value, and words for what people write that is no JSON.

Like YAML's reader it refuses duplicate keys and deep nesting, and repeats nothing of the document in an error.
"""

import json
import re
from bisect import bisect_right
from typing import Any, NoReturn

from moorage.config.document import MAX_DEPTH, MAX_VALUES, Document
from moorage.config.options import Path
from moorage.errors import ConfigError

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,99})(\.[0-9]{1,99})?([eE][-+]?[0-9]{1,9})?(?![\w.])")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_OTHERS_WORDS = {"True": "true", "False": "false", "None": "null", "TRUE": "true", "FALSE": "false", "NULL": "null"}
_BARE = re.compile(r"[A-Za-z_][\w-]*")
_BAD_ESCAPE = re.compile(r'"(?:[^"\\\n]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*\\')


def parse_json(text: str, name: str) -> Document:
    """The document in `text`. Raises ConfigError; `name` is what its messages call it."""
    reader = _Reader(text, name)
    return Document(reader.document(), reader.places)


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._at = 0
        self._values = 0
        self._lines = [0, *(newline.end() for newline in re.finditer("\n", text))]
        self.places: dict[Path, tuple[int, int]] = {}

    def document(self) -> Any:
        if not self._next():
            return None
        value = self._value(())
        if self._next():
            self._refuse("something follows the document; is a bracket closed too early?")
        return value

    def _next(self) -> str:
        """The next character that is not blank, empty at the end."""
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at
        here = self._text[self._at : self._at + 1]
        if here == "#" or self._text.startswith(("//", "/*"), self._at):
            self._refuse("JSON has no comments; remove it, or give the file a name that ends in .yaml and write # …")
        return here

    def _value(self, path: Path) -> Any:
        here = self._next()
        self.places.setdefault(path, self._place(self._at))
        self._values += 1
        if self._values > MAX_VALUES:
            self._refuse(f"more than {MAX_VALUES} values")
        if len(path) > MAX_DEPTH:
            self._refuse(f"nested deeper than {MAX_DEPTH} levels")
        if here == "{":
            return self._object(path)
        if here == "[":
            return self._array(path)
        if here == '"':
            return self._string()
        return self._word()

    def _object(self, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        lines: dict[str, int] = {}
        self._at += 1
        while self._more("}", first=not result):
            start = self._at
            key = self._key()
            line = self._place(start)[0]
            if key in lines:
                self._at = start
                self._refuse(f"a key that line {lines[key]} has already; keep one of the two")
            lines[key] = line
            self.places[(*path, key)] = self._place(start)
            if self._next() != ":":
                self._refuse("a colon should follow the key")
            self._at += 1
            result[key] = self._value((*path, key))
        return result

    def _array(self, path: Path) -> list[Any]:
        result: list[Any] = []
        self._at += 1
        while self._more("]", first=not result):
            result.append(self._value((*path, len(result))))
        return result

    def _more(self, closing: str, *, first: bool) -> bool:
        """Whether another entry follows; steps over the comma before it, or over the closing bracket."""
        here = self._next()
        if here == closing:
            self._at += 1
            return False
        if not here:
            self._refuse(f"the file ends before its last {closing}")
        if first:
            return True
        if here != ",":
            self._refuse(f"a comma or {closing} should stand here")
        comma = self._at
        self._at += 1
        if self._next() == closing:
            self._at = comma
            self._refuse(f"a comma before {closing}; JSON has none after the last entry, remove it")
        return True

    def _key(self) -> str:
        here = self._next()
        if here != '"':
            bare = _BARE.match(self._text, self._at)
            single = "single quotes; JSON takes double ones"
            none = "a key in double quotes should stand here"
            self._refuse(single if here == "'" else f"a key without quotes; {none}" if bare else none)
        return self._string()

    def _string(self) -> str:
        found = _STRING.match(self._text, self._at)
        if found is None:
            if escape := _BAD_ESCAPE.match(self._text, self._at):
                self._at = escape.end() - 1
                self._refuse("a backslash that JSON does not know; write Windows paths with / or with two \\\\")
            self._refuse("text that is not closed on its line; a double quote is missing")
        text: str = json.loads(found[0])
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._refuse("half of a character (\\ud800 to \\udfff must come in pairs)")
        self._at = found.end()
        return text

    def _word(self) -> Any:
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return float(number[0]) if number[1] or number[2] else int(number[0])
        bare = _BARE.match(self._text, self._at)
        word = bare[0] if bare else ""
        if word in _OTHERS_WORDS:
            self._refuse(f"{word} is Python's word; JSON's is {_OTHERS_WORDS[word]}")
        if word not in _WORDS:
            single = self._text.startswith("'", self._at)
            missing = "text without quotes" if word else "a value should stand here"
            self._refuse("single quotes; JSON takes double ones" if single else missing)
        self._at += len(word)
        return _WORDS[word]

    def _place(self, position: int) -> tuple[int, int]:
        line = bisect_right(self._lines, position)
        return line, position - self._lines[line - 1] + 1

    def _refuse(self, what: str) -> NoReturn:
        line, column = self._place(self._at)
        raise ConfigError(f"{self._name}:{line}:{column}: not JSON: {what}")
