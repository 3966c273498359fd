"""JSON strings: of any length, of a bounded one, of a pattern, of a format.

xgrammar computes which tokens fit for every place of a bounded string beforehand, about 3 ms each, and is slow where
the characters of one are themselves rules (1.6 s a token, measured with 400 of them). So a bounded string is a class of
plain characters, without escapes, and its bound is small.
"""

from collections.abc import Mapping

from moorage.runtimes.generating.schema import Bound
from moorage.runtimes.openvino.grammar.notation import PLAIN, Unfit, counted, in_class
from moorage.runtimes.openvino.grammar.pattern import pattern

LENGTH_MAX = 128
"""Of a string whose length a schema bounds."""
OWN_LENGTHS = (8, 16, 32, 64)
"""Of those that only we bound, so that a small model ends them: few, since each is compiled once."""
TRUSTED_LENGTH = 1024
"""Of our own bounds, those that only a model that ends its strings itself is given."""

STRING = (
    '"\\"" ([^"\\\\\\x00-\\x1f] | "\\\\" (["\\\\/bfnrt] | "u" '
    '([0-9a-cefA-CEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2})))* "\\""'
)

_DAY = "(0[1-9]|[12][0-9]|3[01])"
_DATE = f"[0-9]{{4}}-(0[1-9]|1[0-2])-{_DAY}"
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_NAME = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?"
_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
FORMATS: Mapping[str, str] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": "P([0-9]{1,4}D(T[0-9]{1,4}H)?|T[0-9]{1,4}[HMS])",
    "email": f"[a-zA-Z0-9_+-]{{1,32}}(\\.[a-zA-Z0-9_+-]{{1,32}})?@{_NAME}(\\.{_NAME}){{1,3}}",
    "hostname": f"{_NAME}(\\.{_NAME}){{0,3}}",
    "ipv4": f"{_BYTE}\\.{_BYTE}\\.{_BYTE}\\.{_BYTE}",
    "ipv6": "[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}",
    "uri": "https?://[a-zA-Z0-9._~:/?#@!$&'()*+,;=%-]+",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}
"""As regular expressions: each allows less than the format does, and nothing it does not."""


def string(least: int, most: int | Bound | None) -> str:
    """Of `least` to `most` characters. Raises Unfit."""
    if isinstance(most, Bound):
        if most >= TRUSTED_LENGTH and not least:
            return STRING
        most = max(least, *(length for length in OWN_LENGTHS if length <= max(most, OWN_LENGTHS[0])))
    if not least and most is None:
        return STRING
    if most is not None and most < least:
        raise Unfit(f"no string has at least {least} characters and at most {most}")
    if max(least, most or 0) > LENGTH_MAX:
        raise Unfit(
            f"OpenVINO GenAI cannot keep minLength or maxLength beyond {LENGTH_MAX}: leave it out, or run the model "
            "with engine: llama.cpp"
        )
    return f'"\\"" {counted(in_class(PLAIN), least, most)} "\\""'


def matching(expression: str) -> str:
    return f'"\\"" {pattern(expression)} "\\""'


def formatted(name: str) -> str:
    if name not in FORMATS:
        raise Unfit(f"the format {name!r} is unknown; known are {', '.join(sorted(FORMATS))}")
    return matching(f"^{FORMATS[name]}$")
