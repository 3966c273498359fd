"""What an engine says that a call took."""

import msgspec
from msgspec import Struct

from moorage.errors import UpstreamError
from moorage.wire.body import Fields


class Usage(Struct, frozen=True):
    """What an engine says a call took: OpenAI's usage block in its spellings, as far as we read it.

    Chat and embeddings say prompt_tokens and completion_tokens, speech input_tokens and output_tokens, some rerankers
    only total_tokens, Cohere's routes `meta` instead.
    """

    class Details(Struct, frozen=True):
        cached_tokens: int | None = None

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: Details | None = None

    @property
    def read_tokens(self) -> int:
        for said in (self.prompt_tokens, self.input_tokens):
            if said is not None:
                return said
        return max(0, (self.total_tokens or 0) - self.written_tokens)

    @property
    def written_tokens(self) -> int:
        return self.completion_tokens or self.output_tokens or 0

    @property
    def cached_tokens(self) -> int:
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0


class Meta(Struct, frozen=True):
    """`meta` of Cohere's replies, as far as we read it."""

    class Units(Struct, frozen=True):
        input_tokens: float | None = None
        output_tokens: float | None = None

    billed_units: Units | None = None
    tokens: Units | None = None

    def usage(self) -> Usage | None:
        units = self.tokens or self.billed_units
        if units is None or units.input_tokens is None:
            return None
        return Usage(input_tokens=int(units.input_tokens), output_tokens=int(units.output_tokens or 0))


_usage = msgspec.json.Decoder(Usage | None).decode
_meta = msgspec.json.Decoder(Meta | None).decode


def usage_of(fields: Fields) -> Usage | None:
    """What a reply, or an event of one, says. Raises UpstreamError for what cannot be read."""
    try:
        if (said := fields.get("usage")) is not None:
            return _usage(said)
        if (said := fields.get("meta")) is not None:
            meta = _meta(said)
            return meta.usage() if meta else None
    except msgspec.DecodeError as error:
        raise UpstreamError("the engine's usage block is malformed") from error
    return None
