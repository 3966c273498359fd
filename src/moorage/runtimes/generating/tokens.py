"""Tokens in and out, in vLLM's shapes."""

from typing import Any

from moorage.errors import BadRequest
from moorage.runtimes.generating.messages import messages
from moorage.runtimes.generating.port import Generator
from moorage.runtimes.generating.sampling import token_ids
from moorage.runtimes.generating.tools import tool_bodies
from moorage.wire.api.tokens import DetokenizeRequest, TokenizeRequest

Json = dict[str, Any]


async def tokenize(request: TokenizeRequest, generator: Generator) -> Json:
    """`add_special_tokens` is true when left out: so counted, a prompt has the tokens a completion is charged."""
    if (request.prompt is None) == (request.messages is None):
        raise BadRequest("give either prompt or messages", param="prompt")
    if request.messages is not None:
        more: Json = {} if request.add_generation_prompt is not False else {"add_generation_prompt": False}
        text = await generator.prompt(messages(request.messages), tool_bodies(request.tools), **more)
    else:
        text = request.prompt or ""
    tokens = await generator.tokens(text, special=request.add_special_tokens is not False)
    return {
        "count": len(tokens),
        "max_model_len": generator.info.context,
        "tokens": [token.id for token in tokens],
        "token_strs": [token.text for token in tokens] if request.return_token_strs else None,
    }


async def detokenize(request: DetokenizeRequest, generator: Generator) -> Json:
    return {"prompt": await generator.text(token_ids(request.tokens, "tokens", generator.info))}
