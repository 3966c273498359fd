"""The inference routes of OpenAI's API."""

from moorage.gateway.call import Surface

CHAT = Surface(
    "chat",
    "/v1/chat/completions",
    ("generate",),
    streams=True,
    generates=True,
    bound="max_completion_tokens",
    bounds=("max_completion_tokens", "max_tokens"),
)
COMPLETIONS = Surface(
    "completions",
    "/v1/completions",
    ("generate",),
    streams=True,
    generates=True,
    bound="max_tokens",
    bounds=("max_tokens",),
)
EMBEDDINGS = Surface("embeddings", "/v1/embeddings", ("embed",))
TRANSCRIPTIONS = Surface("transcriptions", "/v1/audio/transcriptions", ("transcribe",), streams=True, form=True)
TRANSLATIONS = Surface("translations", "/v1/audio/translations", ("transcribe",), streams=True, form=True)

SURFACES = (CHAT, COMPLETIONS, EMBEDDINGS, TRANSCRIPTIONS, TRANSLATIONS)
