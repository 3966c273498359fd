"""What the routes of text generation need of a library: texts to tokens and back, prompts to pieces of replies."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from moorage.runtimes.generating.pieces import Piece, Usage
from moorage.wire.api.sampling import Sampling

Json = dict[str, Any]


@dataclass(frozen=True)
class ModelInfo:
    """What the loaded model is."""

    context: int
    """Tokens of one call, prompt and reply together."""
    parameters: int
    vocabulary: int
    """Token ids are below it."""
    embedding_length: int
    supports_tools: bool
    """Whether the chat template shows tools to the model."""


@dataclass(frozen=True)
class Token:
    id: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Messages:
    """A prompt that the chat template still has to write."""

    messages: list[Json]
    tools: list[Json] | None = None
    parallel_tool_calls: bool = True
    template: Json | None = None
    """The client's own words for the template (`chat_template_kwargs`)."""


Prompt = str | list[int]


@dataclass(frozen=True, kw_only=True)
class Order:
    """One prompt, and what a client wants written behind it."""

    sampling: Sampling
    """The client's request, for the fields that say how tokens are drawn, and how many choices there are."""
    max_tokens: int
    """At most the context."""
    prompt: Prompt | Messages
    place: int = 0
    """Which prompt of the client's call: choice i of it has the index place * n + i."""
    schema: Json | None = None
    """What the reply must fit, as `schema.checked` left it."""
    schema_param: str = ""
    """The client's field it comes from."""
    logprobs: int | None = None
    """Alternatives wanted beside each token's own; None: no logprobs at all."""

    @property
    def choices(self) -> int:
        return self.sampling.n or 1

    @property
    def stops(self) -> list[str]:
        stop = self.sampling.stop
        return [stop] if isinstance(stop, str) else list(stop or ())


class Generator(Protocol):
    """A loaded model that writes."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def fingerprint(self) -> str:
        """Changes with the engine's release, which may change what a seed gives."""
        ...

    async def tokens(self, text: str, *, special: bool) -> list[Token]:
        """`text` in tokens. `special` adds what the model wants at the beginning."""
        ...

    async def text(self, tokens: list[int]) -> str: ...

    async def prompt(self, messages: list[Json], tools: list[Json] | None = None, **more: Any) -> str:
        """`messages` as the chat template writes them, open for the assistant's turn. Raises BadRequest."""
        ...

    def generate(self, orders: Sequence[Order], usage: Usage) -> AsyncGenerator[list[Piece]]:
        """Pieces as they come, of all orders mixed. Leaving early stops the engine's work. Raises MoorageError."""
        ...
