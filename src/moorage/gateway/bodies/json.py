"""A body of JSON: its top-level spans."""

from collections.abc import Collection

from moorage.errors import UnsupportedType
from moorage.gateway import edits
from moorage.gateway.call import Call, T
from moorage.gateway.exchange import Exchange
from moorage.wire import body
from moorage.wire.body import Fields
from moorage.wire.table import ModelRow, TargetRow


class JsonBody:
    """`gateway.call.Body` of a JSON object."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    @classmethod
    async def receive(cls, exchange: Exchange, limit_bytes: int) -> "JsonBody":
        """Raises BadRequest, UnsupportedType, TooLarge, ClientLeft."""
        _expect_json(exchange.header(b"content-type"))
        return cls(body.parse(await exchange.read(limit_bytes)))

    @property
    def names(self) -> Collection[str]:
        return self._fields.keys()

    def read(self, name: str, kind: type[T], default: T) -> T:
        return body.read(self._fields, name, kind, default)

    def for_target(self, call: Call, model: ModelRow, target: TargetRow) -> bytes:
        return edits.for_target(self._fields, call, model, target)

    def close(self) -> None:
        """It holds nothing but memory."""


def _expect_json(content_type: str | None) -> None:
    """One that is left out is forgiven. Others are not: a form of a web page elsewhere cannot name this type."""
    if content_type is None or content_type == "application/json":
        return
    kind = content_type.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedType(
            f"send the body as JSON, with 'Content-Type: application/json', not {content_type[:100]!r}"
        )
