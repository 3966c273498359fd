"""What a call consumed."""

from msgspec import UNSET, Struct, UnsetType


class Usage(Struct, kw_only=True):
    """Tokens that the model read, those it adds to a text included."""

    prompt_tokens: int
    total_tokens: int


class PromptTokensDetails(Struct, kw_only=True):
    cached_tokens: int
    """Tokens of the prompt that an earlier call had left in the engine's cache."""


class GenerationUsage(Usage, kw_only=True):
    """What text generation adds: `total_tokens` are both."""

    completion_tokens: int
    prompt_tokens_details: PromptTokensDetails | UnsetType | None = UNSET


class BilledUnits(Struct, kw_only=True, omit_defaults=True):
    input_tokens: int | None = None
    search_units: int | None = None


class ApiVersion(Struct, kw_only=True):
    version: str


class ReplyMeta(Struct, kw_only=True):
    """Cohere's words around a reply."""

    api_version: ApiVersion
    billed_units: BilledUnits
