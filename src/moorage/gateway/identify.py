"""Who is calling, and may they."""

from moorage.access import keys
from moorage.errors import Forbidden, NotAuthenticated
from moorage.gateway.call import Principal
from moorage.gateway.exchange import Exchange
from moorage.wire.table import Snapshot

ANONYMOUS = Principal("anonymous")

_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "[::1]", "::1"}


def identify(table: Snapshot, exchange: Exchange) -> Principal:
    """The principal of a call. Raises NotAuthenticated, or Forbidden for a web page reaching into the machine.

    Where no key is needed any key is ignored: clients insist on sending one.
    """
    if table.settings.anonymous:
        _refuse_foreign_pages(exchange)
        return ANONYMOUS
    key = keys.presented(exchange.headers)
    if key is None:
        raise NotAuthenticated("no API key; send one as 'Authorization: Bearer KEY'", code="missing_api_key")
    row = table.keys.get(keys.digest(table.pepper, key))
    if row is None:
        raise NotAuthenticated("this API key is not known here; check it, or ask for one")
    return Principal(row.name)


def _refuse_foreign_pages(exchange: Exchange) -> None:
    """Without keys the browser is the way in: a page of another site may post here, or rebind its name to loopback.

    Only calls that reach us on loopback are judged: a listener opened to others without keys was opened on purpose.
    """
    server = exchange.scope.get("server")
    if not server or server[0] not in ("127.0.0.1", "::1"):
        return
    for header in (b"host", b"origin"):
        value = exchange.header(header)
        if value is None:
            continue
        name = value.partition("://")[2] if header == b"origin" else value
        host = name.rpartition(":")[0] if name.rpartition(":")[2].isdigit() else name
        if host.lower() not in _LOOPBACK_NAMES:
            raise Forbidden(
                f"{header.decode()} {value!r} is not this machine; without API keys only local programs may call "
                "(set auth.keys to serve others)"
            )
