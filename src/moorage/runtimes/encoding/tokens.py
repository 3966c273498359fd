"""`/tokenize` and `/detokenize` of an encoder."""

from moorage.errors import BadRequest
from moorage.runtimes.encoding import inputs
from moorage.runtimes.encoding.port import TextEncoder
from moorage.wire.api.tokens import DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse


async def tokenize(request: TokenizeRequest, encoder: TextEncoder) -> TokenizeResponse:
    """`add_special_tokens` is true when left out: so counted, a text has the tokens a call is charged."""
    if request.messages is not None:
        raise BadRequest("messages: an encoder has no chat template; give prompt", param="messages")
    if request.prompt is None:
        raise BadRequest("prompt is required", param="prompt", code="missing_required_parameter")
    if len(request.prompt) > inputs.CHARS_MAX:
        raise BadRequest(f"prompt: more than {inputs.CHARS_MAX} characters; split it", param="prompt")
    (item,) = await encoder.encode([request.prompt], special=request.add_special_tokens is not False)
    ids = list(item.ids)
    return TokenizeResponse(
        count=len(ids),
        max_model_len=encoder.profile.context,
        tokens=ids,
        token_strs=encoder.pieces(ids) if request.return_token_strs else None,
    )


async def detokenize(request: DetokenizeRequest, encoder: TextEncoder) -> DetokenizeResponse:
    inputs.check_tokens(request.tokens, "tokens", encoder.profile)
    return DetokenizeResponse(prompt=await encoder.decode(request.tokens))
