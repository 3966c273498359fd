"""`POST /invocations` (SageMaker's one route): the body decides which surface it is.

The first of these that fits, in vLLM's order:

| fields | surface |
|---|---|
| `messages` | chat |
| `prompt` | completions |
| `input` with `task` | pooling |
| `input` | what the model is for: embeddings, classify, pooling for one that reranks |
| `text_1` and `text_2`, `queries` and `documents`, or `data_1` and `data_2` | score |
| `query` and `documents` | rerank |
| `texts`, `inputs` or `images` | embed (Cohere's) |
| `tokens` | detokenize |
"""

from collections.abc import Collection

from moorage.errors import BadRequest
from moorage.gateway.call import Surface
from moorage.gateway.surfaces import encoders, openai
from moorage.wire.names import Task

INVOCATIONS = Surface("invocations", "/invocations", ("generate", "embed", "rerank", "classify"))

_BY_TASK: dict[Task | None, Surface] = {"classify": encoders.CLASSIFY, "rerank": encoders.POOLING}
"""What a plain `input` asks of a model that does not embed."""

_BEFORE_INPUT = (
    (("messages",), openai.CHAT),
    (("prompt",), openai.COMPLETIONS),
    (("input", "task"), encoders.POOLING),
)
_BEHIND_INPUT = (
    (("text_1", "text_2"), encoders.SCORE),
    (("queries", "documents"), encoders.SCORE),
    (("data_1", "data_2"), encoders.SCORE),
    (("query", "documents"), encoders.RERANK),
    (("texts",), encoders.EMBED),
    (("inputs",), encoders.EMBED),
    (("images",), encoders.EMBED),
    (("tokens",), encoders.DETOKENIZE),
)


def decide(names: Collection[str], task: Task | None) -> Surface:
    """The surface of a body with these fields, for a model to do `task`. Raises BadRequest."""
    rules = (*_BEFORE_INPUT, (("input",), _BY_TASK.get(task, openai.EMBEDDINGS)), *_BEHIND_INPUT)
    for wanted, surface in rules:
        if all(name in names for name in wanted):
            return surface
    known = ", ".join(f"{' and '.join(map(repr, wanted))} ({surface.name})" for wanted, surface in rules)
    raise BadRequest(f"/invocations cannot tell what is asked; the body needs one of {known}")
