"""`POST /invocations` (SageMaker's one route): the body decides which surface it is."""

from moorage.errors import BadRequest
from moorage.gateway.call import Surface
from moorage.gateway.surfaces import openai
from moorage.wire.body import Fields

INVOCATIONS = Surface("invocations", "", ("generate", "embed"), streams=True, needs_model=False)

_BY_FIELD = (
    ("messages", openai.CHAT),
    ("input", openai.EMBEDDINGS),
    ("tokens", openai.DETOKENIZE),
    ("prompt", openai.COMPLETIONS),
)


def decide(fields: Fields) -> Surface:
    for name, surface in _BY_FIELD:
        if name in fields:
            return surface
    known = ", ".join(f"{name!r} ({surface.name})" for name, surface in _BY_FIELD)
    raise BadRequest(f"/invocations cannot tell what is asked; the body needs one of {known}")
