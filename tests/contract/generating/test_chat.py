"""Chat completions on the real engine, streamed and not, held against the published schema."""

import json
from typing import Any

import jsonschema
import pytest

from tests.contract.openai_schema import validate
from tests.integration.runtimes.runtime import Answer, Runtime, choices, texts

pytestmark = pytest.mark.engine

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def whole(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.content
    validate("CreateChatCompletionResponse", answer.body)
    return answer.body


def stream(answer: Answer) -> list[dict[str, Any]]:
    for chunk in answer.chunks:
        validate("CreateChatCompletionStreamResponse", chunk)
    return answer.chunks


def test_a_whole_reply(generate: Runtime) -> None:
    body = whole(generate.chat(max_tokens=6))
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "m"
    assert "timings" not in body
    choice = body["choices"][0]
    assert choice["message"]["content"]
    assert choice["message"]["refusal"] is None
    assert choice["logprobs"] is None
    assert body["usage"]["prompt_tokens"] == generate.count(messages=[{"role": "user", "content": "Say hi."}])


def test_a_stream(generate: Runtime) -> None:
    chunks = stream(generate.chat(max_tokens=6, stream=True))
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert sum("role" in choice["delta"] for choice in choices(chunks)) == 1
    assert [choice["finish_reason"] for choice in choices(chunks)][-1] in {"stop", "length"}
    assert texts(chunks)[0]


def test_a_stream_with_usage(generate: Runtime) -> None:
    chunks = stream(generate.chat(max_tokens=6, stream=True, stream_options={"include_usage": True}))
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 6


def test_the_name_asked_for_is_echoed(generate: Runtime) -> None:
    answer = generate.post(
        "/v1/chat/completions",
        {"model": "a/b:c", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
    )
    assert answer.body["model"] == "a/b:c"


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_choices_are_counted_once_for_the_prompt(generate: Runtime, n: int) -> None:
    prompt = generate.count(messages=[{"role": "user", "content": "Tell me a story."}])
    body = whole(generate.chat("Tell me a story.", n=n, max_tokens=5, seed=1))
    assert [choice["index"] for choice in body["choices"]] == list(range(n))
    usage = body["usage"]
    assert usage["prompt_tokens"] == prompt
    assert usage["completion_tokens"] == 5 * n
    assert usage["total_tokens"] == prompt + 5 * n
    chunks = stream(
        generate.chat(
            "Tell me a story.", n=n, max_tokens=5, seed=1, stream=True, stream_options={"include_usage": True}
        )
    )
    assert {key: chunks[-1]["usage"][key] for key in ("prompt_tokens", "completion_tokens")} == {
        "prompt_tokens": prompt,
        "completion_tokens": 5 * n,
    }
    assert sorted(texts(chunks)) == list(range(n))


def test_a_seed_gives_the_same_text(generate: Runtime) -> None:
    def said(**more: Any) -> list[str]:
        body = whole(generate.chat("Tell me a story of a boat.", seed=7, max_tokens=10, **more))
        return [choice["message"]["content"] for choice in body["choices"]]

    assert said() == said()
    assert said(n=6) == said(n=6)
    assert len(set(said(n=6))) > 1
    streamed = texts(stream(generate.chat("Tell me a story of a boat.", seed=7, max_tokens=10, stream=True)))
    assert streamed == {0: said()[0]}


def test_a_stop_text_ends_the_reply_and_is_not_in_it(generate: Runtime) -> None:
    ask: dict[str, Any] = {"temperature": 0, "max_tokens": 30, "content": "Count from one to ten."}
    full = whole(generate.chat(**ask))["choices"][0]["message"]["content"]
    # Cut in the middle of tokens: from the middle of one word into the next.
    stop = full[8:13]
    body = whole(generate.chat(**ask, stop=["never this", stop]))
    assert body["choices"][0]["message"]["content"] == full[: full.index(stop)]
    assert body["choices"][0]["finish_reason"] == "stop"
    assert texts(stream(generate.chat(**ask, stop=stop, stream=True)))[0] == full[: full.index(stop)]


def test_logprobs(generate: Runtime) -> None:
    body = whole(generate.chat(max_tokens=5, temperature=0, logprobs=True))
    tokens = body["choices"][0]["logprobs"]["content"]
    assert len(tokens) == 5
    assert "".join(token["token"] for token in tokens) == body["choices"][0]["message"]["content"]
    assert all(bytes(token["bytes"]).decode() == token["token"] and token["logprob"] <= 0 for token in tokens)
    chunks = stream(generate.chat(max_tokens=5, temperature=0, logprobs=True, stream=True))
    entries = [entry for choice in choices(chunks) if choice["logprobs"] for entry in choice["logprobs"]["content"]]
    assert len(entries) == 5
    assert all(entry["top_logprobs"] == [] for entry in entries)


def test_the_likeliest_tokens_or_a_refusal(generate: Runtime, gives: frozenset[str]) -> None:
    answer = generate.chat(max_tokens=5, logprobs=True, top_logprobs=3)
    if "top_logprobs" not in gives:
        assert answer.status == 400
        assert (answer.error["param"], answer.error["code"]) == ("top_logprobs", "unsupported_parameter")
        return
    tokens = whole(answer)["choices"][0]["logprobs"]["content"]
    assert all(len(token["top_logprobs"]) == 3 for token in tokens)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_json_schema_is_kept(generate: Runtime, streamed: bool) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
    answer = generate.chat("Invent a person.", response_format=wanted, max_tokens=200, stream=streamed)
    text = texts(stream(answer))[0] if streamed else whole(answer)["choices"][0]["message"]["content"]
    jsonschema.validate(json.loads(text), PERSON)


def test_a_json_object_is_one(generate: Runtime) -> None:
    body = whole(generate.chat("Answer {}", response_format={"type": "json_object"}, max_tokens=300, temperature=0))
    choice = body["choices"][0]
    assert choice["message"]["content"].lstrip().startswith("{")
    assert choice["finish_reason"] == "length" or isinstance(json.loads(choice["message"]["content"]), dict)


def test_the_newer_name_of_the_bound_wins(generate: Runtime) -> None:
    body = whole(generate.chat("Tell me a story.", max_tokens=50, max_completion_tokens=3))
    assert body["usage"]["completion_tokens"] == 3
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_reply_without_bound_ends_with_the_context(make_runtime: Any) -> None:
    small = make_runtime(context=256, slots=1).start().ready()
    body = whole(small.chat("Tell me a story.", ignore_eos=True))
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"]["total_tokens"] <= 256


def test_accepted_and_without_effect(generate: Runtime) -> None:
    whole(
        generate.chat(
            max_tokens=2,
            user="u",
            metadata={"a": "b"},
            store=True,
            reasoning_effort="low",
            service_tier="auto",
            unknown_field={"x": 1},
            id_slot="not even an integer",
            cache_prompt=[],
            lora="x",
            grammar="root ::=",
            temperature=None,
            stop=None,
        )
    )


def test_every_kind_of_message(generate: Runtime) -> None:
    conversation = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "the weather?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "w", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny."},
        {"role": "user", "name": "ann", "content": "zero \x00 and café 🎈"},
    ]
    whole(generate.post("/v1/chat/completions", {"model": "m", "messages": conversation, "max_tokens": 3}))


def test_models(generate: Runtime) -> None:
    body = generate.get("/v1/models").body
    validate("ListModelsResponse", body)
    assert body["data"][0]["id"] == "smol"
    assert body["data"][0]["max_model_len"] == 2048
