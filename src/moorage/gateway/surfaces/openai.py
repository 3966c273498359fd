"""The inference routes of OpenAI's API, and the two of vLLM that count tokens."""

from moorage.gateway.call import Surface

CHAT = Surface(
    "chat",
    "/v1/chat/completions",
    ("generate",),
    streams=True,
    bound="max_completion_tokens",
    bounds=("max_completion_tokens", "max_tokens"),
)
COMPLETIONS = Surface(
    "completions", "/v1/completions", ("generate",), streams=True, bound="max_tokens", bounds=("max_tokens",)
)
EMBEDDINGS = Surface("embeddings", "/v1/embeddings", ("embed",))
TOKENIZE = Surface("tokenize", "/tokenize", ("generate", "embed"), needs_model=False)
DETOKENIZE = Surface("detokenize", "/detokenize", ("generate", "embed"), needs_model=False)

SURFACES: dict[str, Surface] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
    "/tokenize": TOKENIZE,
    "/detokenize": DETOKENIZE,
}
"""Public path → surface: the hot routes, found by this dict before any router is asked."""
