"""Text completions, tokens in and out."""

from typing import Any

import pytest

from tests.contract.openai_schema import validate
from tests.integration.runtimes.runtime import Answer, Runtime

pytestmark = pytest.mark.engine

PROMPT = "Once upon a time"


def whole(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.content
    validate("CreateCompletionResponse", answer.body)
    return answer.body


def streamed(answer: Answer) -> dict[int, str]:
    found: dict[int, str] = {}
    for chunk in answer.chunks:
        for choice in chunk["choices"]:
            found[choice["index"]] = found.get(choice["index"], "") + choice["text"]
    return found


def test_a_completion(generate: Runtime) -> None:
    body = whole(generate.complete(PROMPT, max_tokens=6, temperature=0))
    assert body["id"].startswith("cmpl-")
    assert body["model"] == "m"
    assert body["usage"]["prompt_tokens"] == generate.count(prompt=PROMPT)
    assert body["usage"]["completion_tokens"] == 6
    assert (
        streamed(generate.complete(PROMPT, max_tokens=6, temperature=0, stream=True))[0] == body["choices"][0]["text"]
    )


def test_sixteen_tokens_unless_said_otherwise(generate: Runtime) -> None:
    assert whole(generate.complete(PROMPT, ignore_eos=True))["usage"]["completion_tokens"] == 16


def test_many_prompts_and_choices(generate: Runtime) -> None:
    prompts = ["Once upon a time", "The capital of France is", "One, two,"]
    body = whole(generate.complete(prompts, n=2, max_tokens=3, ignore_eos=True))
    assert [choice["index"] for choice in body["choices"]] == list(range(6))
    assert body["usage"]["prompt_tokens"] == sum(generate.count(prompt=prompt) for prompt in prompts)
    assert body["usage"]["completion_tokens"] == 18
    answer = generate.complete(
        prompts, n=2, max_tokens=3, ignore_eos=True, stream=True, stream_options={"include_usage": True}
    )
    assert sorted(streamed(answer)) == list(range(6))
    assert answer.chunks[-1]["usage"]["completion_tokens"] == 18


def test_prompts_in_tokens(generate: Runtime) -> None:
    tokens = generate.post("/tokenize", {"prompt": PROMPT}).body["tokens"]
    said = whole(generate.complete(PROMPT, max_tokens=5, temperature=0))
    assert whole(generate.complete(tokens, max_tokens=5, temperature=0))["choices"] == said["choices"]
    both = whole(generate.complete([tokens, tokens], max_tokens=5, temperature=0))
    assert [choice["text"] for choice in both["choices"]] == [said["choices"][0]["text"]] * 2


def test_echo(generate: Runtime) -> None:
    said = whole(generate.complete(PROMPT, max_tokens=5, temperature=0))["choices"][0]["text"]
    assert (
        whole(generate.complete(PROMPT, max_tokens=5, temperature=0, echo=True))["choices"][0]["text"] == PROMPT + said
    )
    assert streamed(generate.complete(PROMPT, max_tokens=5, temperature=0, echo=True, stream=True))[0] == PROMPT + said
    only = whole(generate.complete([PROMPT, "Two"], max_tokens=0, echo=True))
    assert [choice["text"] for choice in only["choices"]] == [PROMPT, "Two"]
    assert only["usage"]["completion_tokens"] == 0
    assert only["usage"]["prompt_tokens"] == generate.count(prompt=PROMPT) + generate.count(prompt="Two")


def test_logprobs(generate: Runtime) -> None:
    choice = whole(generate.complete(PROMPT, max_tokens=4, logprobs=0))["choices"][0]
    found = choice["logprobs"]
    assert "".join(found["tokens"]) == choice["text"]
    assert found["text_offset"] == [len("".join(found["tokens"][:place])) for place in range(4)]
    assert all(logprob <= 0 for logprob in found["token_logprobs"])
    assert all(len(likely) == 1 for likely in found["top_logprobs"])


def test_the_likeliest_tokens_or_a_refusal(generate: Runtime, gives: frozenset[str]) -> None:
    answer = generate.complete(PROMPT, max_tokens=4, logprobs=2)
    if "top_logprobs" not in gives:
        assert answer.status == 400
        assert (answer.error["param"], answer.error["code"]) == ("logprobs", "unsupported_parameter")
        return
    found = whole(answer)["choices"][0]["logprobs"]
    assert all(len(likely) in {2, 3} for likely in found["top_logprobs"])


def test_a_biased_token_never_comes(generate: Runtime, gives: frozenset[str]) -> None:
    first = generate.complete(PROMPT, max_tokens=1, temperature=0).body["choices"][0]["text"]
    token = generate.post("/tokenize", {"prompt": first}).body["tokens"][0]
    answer = generate.complete(PROMPT, max_tokens=1, temperature=0, logit_bias={str(token): -100})
    if "logit_bias" not in gives:
        assert answer.status == 400
        assert (answer.error["param"], answer.error["code"]) == ("logit_bias", "unsupported_parameter")
        return
    assert whole(answer)["choices"][0]["text"] != first


def test_tokens_there_and_back(generate: Runtime) -> None:
    text = "Hello wörld, 🎈 <|im_end|>"
    body = generate.post("/tokenize", {"model": "m", "prompt": text, "return_token_strs": True}).body
    assert body["count"] == len(body["tokens"]) == len(body["token_strs"])
    assert body["max_model_len"] == 2048
    assert generate.post("/detokenize", {"model": "m", "tokens": body["tokens"]}).body == {"prompt": text}


def test_messages_in_tokens(generate: Runtime) -> None:
    messages = [{"role": "user", "content": "Say hi."}]
    open_ended = generate.post("/tokenize", {"messages": messages}).body
    closed = generate.post("/tokenize", {"messages": messages, "add_generation_prompt": False}).body
    assert open_ended["token_strs"] is None
    assert closed["count"] < open_ended["count"]
