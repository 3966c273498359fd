"""Embeddings: one library call an input, so that a client that leaves stops a long batch."""

import asyncio
import base64
import struct
from typing import Any

from moorage.errors import BadRequest
from moorage.runtimes.llamacpp.caller import Caller
from moorage.runtimes.llamacpp.completions import Prompt, check_length, prompts
from moorage.runtimes.llamacpp.listener import Listener, ModelInfo
from moorage.wire.api.embeddings import EmbeddingRequest, EncodingFormat

Json = dict[str, Any]


async def embed(request: EmbeddingRequest, info: ModelInfo, caller: Caller, listener: Listener) -> Json:
    """The reply's body. Raises BadRequest."""
    encoding = request.encoding_format or "float"
    inputs = prompts(request.input, "input", info)
    if request.dimensions is not None and request.dimensions != info.embedding_length:
        raise BadRequest(
            f"dimensions: this model's embeddings have {info.embedding_length} dimensions and cannot be shortened",
            param="dimensions",
        )
    for text in inputs:
        # The library would answer that it failed.
        await check_length(text, info.context, listener)
    replies = await _embedded(inputs, caller)
    tokens = sum(reply["usage"]["prompt_tokens"] for reply in replies)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(reply["data"][0]["embedding"], encoding)}
            for index, reply in enumerate(replies)
        ],
        "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


async def _embedded(inputs: list[Prompt], caller: Caller) -> list[Json]:
    """Replies in order; at most as many at once as there are slots."""
    replies: list[Json] = [{} for _ in inputs]
    pending = iter(enumerate(inputs))

    async def lane() -> None:
        for place, text in pending:
            replies[place] = await caller.embed({"input": text, "encoding_format": "float"})

    lanes = [asyncio.create_task(lane()) for _ in range(min(caller.slots.total, len(inputs)))]
    try:
        await asyncio.gather(*lanes)
    finally:
        for task in lanes:
            task.cancel()
    return replies


def _encoded(vector: list[float], encoding: EncodingFormat) -> list[float] | str:
    if encoding == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
