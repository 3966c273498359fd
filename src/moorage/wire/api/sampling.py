"""What chat and text completions share."""

from typing import Annotated

from msgspec import Meta, Struct

from moorage.wire.api.fields import Bias, Choices, Penalty, Repetition, Seed, Share, Stop


class StreamOptions(Struct):
    include_usage: bool | None = None


class Sampling(Struct, kw_only=True):
    """What chat and text completions share. `top_k` and the fields below it are extensions that vLLM has too."""

    model: str = ""
    n: Choices | None = None
    """Choices for each prompt; 1 when left out."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    """0 takes the likeliest token. What is left out, here and below, is what the model's file says, or the engine."""
    top_p: Share | None = None
    """Sample among the likeliest tokens that together have this probability."""
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Seed | None = None
    """Same seed, prompt and parameters: mostly the same reply."""
    stop: str | Stop | None = None
    """Texts that end the reply; they are not part of it."""
    logit_bias: dict[str, Bias] | None = None
    """Token id → what is added to its logit."""
    top_k: Annotated[int, Meta(ge=-1, le=1 << 20)] | None = None
    """Sample among so many of the likeliest tokens; -1 and 0 among all."""
    min_p: Share | None = None
    """Sample among tokens at least so likely as this share of the likeliest one's probability."""
    repetition_penalty: Repetition | None = None
    """Above 1: tokens that came before become less likely."""
    repeat_penalty: Repetition | None = None
    """llama.cpp's name for `repetition_penalty`, which wins."""
    ignore_eos: bool | None = None
    """Go on beyond the end that the model sees, up to the bound."""

    @property
    def include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)
