"""`/v1/embeddings` in OpenAI's shape and `/v2/embed` in Cohere's."""

import secrets
from collections.abc import Sequence

from moorage.errors import BadRequest
from moorage.runtimes.encoding import inputs
from moorage.runtimes.encoding.numbers import by_type, check_dimensions, packed, vectors
from moorage.runtimes.encoding.port import Cut, Encoder, Item, Profile
from moorage.wire.api.embed_v2 import EmbedInput, EmbedRequest, EmbedResponse
from moorage.wire.api.embeddings import Embedding, EmbeddingRequest, EmbeddingResponse
from moorage.wire.api.usage import ApiVersion, BilledUnits, ReplyMeta, Usage

PROMPTS = {
    "search_query": inputs.QUERY,
    "search_document": inputs.DOCUMENT,
    "classification": ("classification", "Classification"),
    "clustering": ("clustering", "Clustering"),
}
"""Cohere's purposes, and under which names models keep the prompt of each."""


async def embeddings(request: EmbeddingRequest, encoder: Encoder) -> EmbeddingResponse:
    """Raises BadRequest."""
    profile = encoder.profile
    check_dimensions(request.dimensions, profile)
    cut = inputs.cut_of(request, profile)
    texts = inputs.prompted(inputs.texts(request.input), _prompt(request.prompt_name, profile))
    items = await inputs.encoded(encoder, texts, inputs.places("input", request.input, len(texts)), cut)
    found = await vectors(encoder, items, request.dimensions)
    data = [
        Embedding(index=index, embedding=packed(vector) if request.encoding_format == "base64" else vector.tolist())
        for index, vector in enumerate(found)
    ]
    return EmbeddingResponse(model=request.model, data=data, usage=usage(items))


async def embed(request: EmbedRequest, encoder: Encoder) -> EmbedResponse:
    """Raises BadRequest."""
    profile = encoder.profile
    check_dimensions(request.output_dimension, profile, "output_dimension")
    param, plain = _texts(request)
    prompt = inputs.prompt_of(profile, *PROMPTS.get(request.input_type or "", ()))
    texts = inputs.prompted(plain, prompt)
    most = min(request.max_tokens or profile.context, profile.context)
    cut = None if request.truncate == "NONE" else Cut(most, "left" if request.truncate == "START" else "right")
    if most <= profile.specials:
        raise BadRequest(f"max_tokens: {most} leaves no room for text", param="max_tokens")
    places = [f"{param}[{index}]" for index in range(len(texts))]
    items = await inputs.encoded(encoder, texts, places, cut, how="shorten it, or set truncate to START or END")
    for item, place in zip(items, places, strict=True):
        if len(item.ids) > most:
            raise inputs.too_long(place, f"the text has {len(item.ids)} tokens, max_tokens allows {most}")
    found = await vectors(encoder, items, request.output_dimension)
    billed = BilledUnits(input_tokens=usage(items).total_tokens)
    return EmbedResponse(
        id=f"embd-{secrets.token_hex(12)}",
        model=request.model,
        embeddings=by_type(found, request.embedding_types or ["float"]),
        texts=plain,
        meta=ReplyMeta(api_version=ApiVersion(version="2"), billed_units=billed),
    )


def usage(items: Sequence[Item]) -> Usage:
    tokens = sum(len(item.ids) for item in items)
    return Usage(prompt_tokens=tokens, total_tokens=tokens)


def _prompt(name: str | None, profile: Profile) -> str:
    if name is None:
        return inputs.prompt_of(profile)
    if name not in profile.prompts:
        known = ", ".join(repr(known) for known in profile.prompts) or "none"
        raise BadRequest(f"prompt_name: the model has no prompt {name!r}; it has {known}", param="prompt_name")
    return profile.prompts[name]


def _texts(request: EmbedRequest) -> tuple[str, list[str]]:
    """The field that carries the texts, and these."""
    if (request.texts is None) == (request.inputs is None):
        raise BadRequest("give either texts or inputs", param="texts")
    if request.texts is not None:
        return "texts", request.texts
    return "inputs", [_text(entry, index) for index, entry in enumerate(request.inputs or ())]


def _text(entry: EmbedInput, index: int) -> str:
    parts: list[str] = []
    for place, part in enumerate(entry.content):
        where = f"inputs[{index}].content[{place}]"
        if part.type != "text":
            raise BadRequest(
                f"{where}: this model reads text, not {part.type!r}", param=where, code="unsupported_content"
            )
        if not part.text:
            raise BadRequest(f"{where}.text: a text is missing or empty", param=f"{where}.text")
        parts.append(part.text)
    return " ".join(parts)
