"""A JSON body as its top-level spans, so that a call is forwarded as it came except for named edits.

Values nobody edits keep their bytes: no number is reformatted, no unknown field dropped. Two things do change on
purpose: white space between top-level fields goes, and of a field given twice only the last is kept, so that gateway
and engine can never read two different values of one field.
"""

from typing import TypeVar

import msgspec

from moorage.errors import BadRequest

T = TypeVar("T")

Fields = dict[str, msgspec.Raw]

_decode = msgspec.json.Decoder(Fields).decode
_encode = msgspec.json.Encoder().encode


def parse(body: bytes) -> Fields:
    """The top-level fields of a JSON object, values as raw spans. Raises BadRequest."""
    if not body.strip():
        raise BadRequest("the request body is empty; send a JSON object")
    try:
        if not body.isascii():
            body.decode()
        return _decode(body)
    except UnicodeDecodeError as error:
        raise BadRequest(f"the request body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}") from error
    except RecursionError as error:
        raise BadRequest("the request body is nested too deeply") from error
    except msgspec.ValidationError as error:
        raise BadRequest(f"the request body must be a JSON object ({error})") from error
    except msgspec.DecodeError as error:
        raise BadRequest(f"the request body is not valid JSON: {_reason(error)}") from error


def join(fields: Fields) -> bytes:
    """The object again, fields in their order."""
    return b"{" + b",".join([_encode(name) + b":" + bytes(value) for name, value in fields.items()]) + b"}"


def read(fields: Fields, name: str, kind: type[T], default: T) -> T:
    """One field by type; `default` where it is missing or null. Raises BadRequest naming the field."""
    raw = fields.get(name)
    if raw is None:
        return default
    raw = bytes(raw)
    if raw == b"null":
        return default
    try:
        return msgspec.json.decode(raw, type=kind)
    except RecursionError as error:
        raise BadRequest(f"{name!r} is nested too deeply", param=name) from error
    except msgspec.DecodeError as error:
        raise BadRequest(f"{name!r} is wrong: {_reason(error)}", param=name) from error


def value(item: object) -> msgspec.Raw:
    """A value to put into `Fields`. Raises BadRequest for one nested too deeply."""
    try:
        return msgspec.Raw(_encode(item))
    except RecursionError as error:
        raise BadRequest("the request body is nested too deeply") from error


def _reason(error: msgspec.DecodeError) -> str:
    return str(error).removeprefix("JSON is malformed: ").replace("`", "")
