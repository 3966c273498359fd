"""Text completions as far as they are refused before any engine is asked."""

import pytest

from moorage.errors import BadRequest
from moorage.runtimes.generating.completions import PROMPTS_MAX, Completion
from moorage.runtimes.generating.port import ModelInfo
from moorage.wire.api.completions import CompletionRequest

INFO = ModelInfo(context=64, parameters=0, vocabulary=100, embedding_length=8, supports_tools=False)


def completion(prompts: int, n: int) -> Completion:
    return Completion(CompletionRequest(model="m", prompt=[*("a" for _ in range(prompts))], n=n), INFO)


def test_prompts_and_choices_multiply() -> None:
    """2,048 prompts of 128 choices each kept an engine busy for seconds before the first token of anybody."""
    completion(PROMPTS_MAX // 128, 128)
    with pytest.raises(BadRequest, match="17 prompts with n 128 are more than 2048 choices in one call") as refusal:
        completion(PROMPTS_MAX // 128 + 1, 128)
    assert refusal.value.param == "n"
