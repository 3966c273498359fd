"""multipart/form-data (RFC 7578) read as it comes: its fields, and where in the body they lie. Without I/O.

One reader for the gateway, which needs little of a form, and for the runtime behind it, which needs all: what two
readers understand differently is a hole. Strict for the same reason, since other engines read with their own: no
preamble, no encodings of parts, no file but `file` and that once, names in UTF-8.
"""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from moorage.errors import BadRequest, TooLarge, UnsupportedType
from moorage.wire.api.audio import FILE

PARTS_MAX = 1200
"""OpenAI's list fields take one part an entry."""
FIELD_BYTES_MAX = 256 * 1024
"""Of a part that is no file."""
FIELDS_BYTES_MAX = 1024 * 1024
"""Of all of them together."""

_TYPE = re.compile(r"\s*([^;\s]+)\s*")
_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;"]+)\s*')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,199}[0-9A-Za-z'()+_,./:=?-]")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PLAIN_ENCODINGS = ("7bit", "8bit", "binary")
_SILENT = logging.Logger("form", logging.CRITICAL)  # noqa: LOG001 - nobody else is to find it
"""What clients send wrong is answered, not logged."""


@dataclass(slots=True)
class Field:
    """A part that is no file: its value, and where that lies in the body."""

    name: str
    begin: int = 0
    value: bytes = b""

    @property
    def end(self) -> int:
        return self.begin + len(self.value)


class FormReader:
    """Fed with a body from its first boundary on; knows it whole after `finish`."""

    def __init__(
        self,
        content_types: Sequence[str],
        *,
        keep: Collection[str] | None = None,
        on_file: Callable[[bytes], None] | None = None,
    ) -> None:
        """`content_types` are the request's headers of that name, `keep` the fields whose values are wanted, of which
        each may come once; without it all are. `on_file` is given the file's bytes. Raises UnsupportedType, BadRequest.
        """
        self.boundary = boundary_of(content_types)
        self.fields: list[Field] = []
        """Those that are kept, in the order they came."""
        self.names: set[str] = set()
        self._keep = keep
        self._once = {FILE, *(keep or ())}
        self._on_file = on_file
        self._fed = 0
        self._piece = b""
        self._parts = 0
        self._header = bytearray()
        self._value = bytearray()
        self._headers: dict[str, bytes] = {}
        self._name = ""
        self._field: Field | None = None
        self._size = 0
        self._sizes = 0
        self._begun = self._complete = False
        self._parser = MultipartParser(
            self.boundary.encode(),
            {
                "on_part_begin": self._part_begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._part_data,
                "on_end": self._end,
            },
        )
        self._parser.logger = _SILENT

    def feed(self, piece: bytes) -> None:
        """The empty line that some clients begin with is passed over. Raises BadRequest, TooLarge."""
        if not self._begun:
            begun = piece.lstrip(b"\r\n")
            self._fed += len(piece) - len(begun)
            self._begun, piece = bool(begun), begun
        self._piece = piece
        try:
            self._parser.write(piece)
        except FormParserError as error:
            at = self._fed + max(0, getattr(error, "offset", 0))
            raise BadRequest(f"the form is malformed near its byte {at}: {error}") from error
        self._fed += len(piece)

    def finish(self) -> None:
        """The body has ended. Raises BadRequest for one that is cut, or without a file."""
        if not self._begun:
            raise BadRequest("the request body is empty; send a form with the recording as 'file'")
        if not self._complete:
            raise BadRequest("the form is cut: it ends before its closing boundary")
        if FILE not in self.names:
            raise BadRequest(
                "'file' is missing; send the recording as a file of that name",
                param=FILE,
                code="missing_required_parameter",
            )

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise TooLarge(f"the form has more than {PARTS_MAX} parts")
        self._headers = {}
        self._size = 0

    def _header_name(self, data: bytes, begin: int, end: int) -> None:
        self._header += data[begin:end]

    def _header_value(self, data: bytes, begin: int, end: int) -> None:
        self._value += data[begin:end]

    def _header_end(self) -> None:
        name, value = bytes(self._header).decode("ascii").lower(), bytes(self._value)
        self._header.clear()
        self._value.clear()
        if _CONTROL.search(value):
            raise BadRequest(f"a part of the form has a control character in its {name}")
        if name in self._headers:
            raise BadRequest(f"a part of the form has two headers {name}")
        self._headers[name] = value

    def _headers_end(self) -> None:
        kind, options = _options(self._text("content-disposition"))
        if kind != "form-data" or "name" not in options:
            raise BadRequest("a part of the form has no 'Content-Disposition: form-data; name=…'")
        self._name = name = options["name"]
        self._check_encoding(name)
        self._check_kind(name, options.get("filename"))
        if name in self.names and name in self._once:
            raise BadRequest(f"{name!r} comes twice in the form", param=name)
        self.names.add(name)
        self._field = None
        if name != FILE and (self._keep is None or name in self._keep):
            self._field = Field(name)
            self.fields.append(self._field)

    def _text(self, header: str) -> str:
        try:
            return self._headers.get(header, b"").decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"a part of the form has a {header} that is not UTF-8") from error

    def _check_encoding(self, name: str) -> None:
        encoding = self._text("content-transfer-encoding").strip().lower()
        if encoding and encoding not in _PLAIN_ENCODINGS:
            raise BadRequest(f"{name!r} is sent in {encoding!r}; send its bytes as they are", param=name)
        kind, options = _options(self._text("content-type"))
        if kind.startswith("multipart/"):
            raise BadRequest(f"{name!r} is a form of its own; send one file in one form", param=name)
        charset = options.get("charset", "utf-8").lower()
        if name != FILE and charset not in ("utf-8", "utf8", "us-ascii"):
            raise UnsupportedType(f"{name!r} is sent in {charset!r}; send it in UTF-8", param=name)

    def _check_kind(self, name: str, filename: str | None) -> None:
        if name == FILE and filename is None:
            raise BadRequest("'file' has no filename, so it is no file; send the recording as one", param=FILE)
        if name != FILE and filename is not None:
            raise BadRequest(f"{name!r} is sent as a file; only 'file' may be one", param=name)
        if filename is not None and ".." in re.split(r"[/\\]", filename):
            raise BadRequest(f"the filename {filename[:100]!r} leads out of its folder; send a plain name", param=FILE)

    def _part_data(self, data: bytes, begin: int, end: int) -> None:
        if self._name == FILE:
            if self._on_file is not None:
                self._on_file(data[begin:end])
            return
        size = self._size
        self._size += end - begin
        self._sizes += end - begin
        if self._size > FIELD_BYTES_MAX:
            raise TooLarge(f"{self._name[:100]!r} is larger than {FIELD_BYTES_MAX} bytes", param=self._name[:100])
        if self._sizes > FIELDS_BYTES_MAX:
            raise TooLarge(f"the form's fields are larger than {FIELDS_BYTES_MAX} bytes together")
        field = self._field
        if field is None:
            return
        if size == 0:
            # What looked like a boundary at the end of the piece before is told with bytes that are not this piece's.
            field.begin = self._fed + begin if data is self._piece else self._fed - (end - begin)
        field.value += data[begin:end]

    def _end(self) -> None:
        self._complete = True


def boundary_of(content_types: Sequence[str]) -> str:
    """Raises UnsupportedType for a body that is no form, BadRequest for one without a usable boundary."""
    if len(content_types) > 1:
        raise BadRequest("the request has more than one content-type")
    said = content_types[0] if content_types else ""
    kind = _TYPE.match(said)
    if kind is None or kind[1].lower() != "multipart/form-data":
        raise UnsupportedType(f"send the recording as multipart/form-data; the content-type is {said[:100]!r}")
    _, options = _options(said)
    if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedType(f"send the form in UTF-8; its charset is {options['charset'][:100]!r}")
    boundary = options.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise BadRequest(f"the content-type names no usable boundary: {said[:300]!r}")
    return boundary


def _options(header: str) -> tuple[str, dict[str, str]]:
    """A header's value and its parameters. Raises BadRequest for one that can be read in two ways."""
    kind = _TYPE.match(header)
    if kind is None:
        return "", {}
    options: dict[str, str] = {}
    at = kind.end()
    while at < len(header):
        found = _PARAMETER.match(header, at)
        if found is None:
            if header[at:].strip() in ("", ";"):
                break
            raise BadRequest(f"{header[:300]!r} cannot be read from {header[at : at + 50]!r} on")
        name, value = found[1].lower(), found[2]
        if name in options:
            raise BadRequest(f"{header[:300]!r} says {name!r} twice")
        options[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        at = found.end()
    return kind[1].lower(), options
