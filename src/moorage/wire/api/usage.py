"""What a call consumed."""

from msgspec import Struct


class Usage(Struct, kw_only=True):
    """Tokens that the model read, those it adds to a text included."""

    prompt_tokens: int
    total_tokens: int


class BilledUnits(Struct, kw_only=True, omit_defaults=True):
    input_tokens: int | None = None
    search_units: int | None = None


class ApiVersion(Struct, kw_only=True):
    version: str


class ReplyMeta(Struct, kw_only=True):
    """Cohere's words around a reply."""

    api_version: ApiVersion
    billed_units: BilledUnits
