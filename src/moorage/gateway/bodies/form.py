"""A body of multipart/form-data with a file in it: never held in memory, sent on as it came."""

from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from typing import cast

from moorage.errors import BadRequest
from moorage.gateway.bodies.spool import Spool
from moorage.gateway.call import Call, T
from moorage.gateway.exchange import Exchange
from moorage.http.upload import Upload
from moorage.wire.multipart import FormReader
from moorage.wire.table import ModelRow, TargetRow

SETTING = "server.max_upload_size"

_READ = ("model", "stream")
"""Fields that decide where a call goes and how it is answered."""
_FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}


class FormBody:
    """`gateway.call.Body` of a form. The one edit it may suffer is its model's name."""

    def __init__(self, content_type: str, form: FormReader, spool: Spool) -> None:
        self._content_type = content_type
        self._form = form
        self._fields = {field.name: field for field in form.fields}
        self._spool = spool

    @classmethod
    async def receive(cls, exchange: Exchange, limit_bytes: int, folder: str) -> "FormBody":
        """Raises BadRequest, UnsupportedType, TooLarge, NoRoom, ClientLeft."""
        content_types = [value.decode("latin-1") for name, value in exchange.headers if name == b"content-type"]
        form, spool = FormReader(content_types, keep=_READ), Spool(folder)
        try:
            async with aclosing(exchange.pieces(limit_bytes, SETTING)) as pieces:
                async for piece in pieces:
                    # Some clients begin with an empty line. Without it the form begins with its first boundary.
                    kept = piece if spool.size else piece.lstrip(b"\r\n")
                    if kept:
                        form.feed(kept)
                        await spool.append(kept)
            form.finish()
        except BaseException:
            spool.close()
            raise
        return cls(content_types[0], form, spool)

    @property
    def names(self) -> Collection[str]:
        return self._form.names

    def read(self, name: str, kind: type[T], default: T) -> T:
        field = self._fields.get(name)
        if field is None:
            return default
        try:
            text = field.value.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"{name!r} is not UTF-8", param=name) from error
        if kind is str:
            if not text:
                raise BadRequest(f"{name!r} is empty; say it, or leave it out", param=name)
            return cast("T", text)
        if kind is bool and (flag := _FLAGS.get(text.strip().lower())) is not None:
            return cast("T", flag)
        raise BadRequest(f"{name!r} is {text[:100]!r}; it may be true or false", param=name)

    def for_target(self, call: Call, model: ModelRow, target: TargetRow) -> Upload:
        field = self._fields.get("model")
        name = (call.asked if target.echoes_model else target.served_name).encode()
        if field is None:
            part = b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
            begin, end, put = 0, 0, part % (self._form.boundary.encode(), name)
        else:
            begin, end, put = field.begin, field.end, name

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in self._spool.read(0, begin):
                yield piece
            yield put
            async for piece in self._spool.read(end, self._spool.size):
                yield piece

        return Upload(self._content_type, self._spool.size - (end - begin) + len(put), pieces)

    def close(self) -> None:
        self._spool.close()
