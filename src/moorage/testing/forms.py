"""A multipart form as the fake engine reads it: whole, and apart from how the gateway does."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header


@dataclass
class Part:
    headers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    body: bytearray = field(default_factory=bytearray)

    @property
    def options(self) -> dict[bytes, bytes]:
        return parse_options_header(self.headers.get("content-disposition", b""))[1]

    @property
    def name(self) -> str:
        return self.options.get(b"name", b"").decode(errors="replace")

    @property
    def filename(self) -> str | None:
        name = self.options.get(b"filename")
        return None if name is None else name.decode(errors="replace")


class Form:
    """The parts of a form, in their order."""

    def __init__(self, content_type: str, body: bytes) -> None:
        """Raises ValueError for what is no whole form."""
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise ValueError(f"{content_type!r} is no form")
        self.parts: list[Part] = []
        self._header = bytearray()
        self._value = bytearray()
        self._whole = False
        try:
            parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": lambda: self.parts.append(Part()),
                    "on_header_field": lambda data, begin, end: self._header.extend(data[begin:end]),
                    "on_header_value": lambda data, begin, end: self._value.extend(data[begin:end]),
                    "on_header_end": self._header_end,
                    "on_part_data": lambda data, begin, end: self.parts[-1].body.extend(data[begin:end]),
                    "on_end": self._end,
                },
            )
            parser.write(body)
        except FormParserError as error:
            raise ValueError(str(error)) from error
        if not self._whole:
            raise ValueError("the form is cut")

    @property
    def fields(self) -> dict[str, str]:
        """The parts that are no files; of one given twice the last."""
        return {part.name: part.body.decode(errors="replace") for part in self.parts if part.filename is None}

    @property
    def file(self) -> Part | None:
        return next((part for part in self.parts if part.filename is not None), None)

    def _header_end(self) -> None:
        self.parts[-1].headers[self._header.decode().lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _end(self) -> None:
        self._whole = True
