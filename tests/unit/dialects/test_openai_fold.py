from typing import Any

from moorage.dialects.openai_fold import Fold
from tests.contract.openai_schema import validate


def chunk(index: int, delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": index, "delta": delta, "finish_reason": None, **choice}],
    }  # fmt: skip


def folded(*chunks: dict[str, Any]) -> dict[str, Any]:
    fold = Fold()
    for each in chunks:
        fold.add(each)
    return fold.body()


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_text_of_interleaved_choices_with_logprobs_and_usage() -> None:
    token = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    body = folded(
        chunk(0, {"role": "assistant", "content": ""}),
        chunk(1, {"role": "assistant", "content": None}),
        chunk(1, {"content": "b"}),
        chunk(0, {"content": "a"}, logprobs={"content": [token], "refusal": None}),
        chunk(0, {}, finish_reason="stop"),
        chunk(1, {}, finish_reason="length"),
        {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE},
    )
    first, second = body["choices"]
    assert (first["message"]["content"], first["finish_reason"], first["logprobs"]["content"]) == ("a", "stop", [token])
    assert (second["message"]["content"], second["finish_reason"], second["logprobs"]) == ("b", "length", None)
    assert (body["object"], body["id"], body["usage"]) == ("chat.completion", "chatcmpl-1", USAGE)


def test_tool_calls_are_put_together_from_their_pieces() -> None:
    body = folded(
        chunk(0, {"role": "assistant", "content": None, "tool_calls": [
            {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
        chunk(0, {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}),
        chunk(0, {"tool_calls": [{"index": 1, "id": "call_2", "function": {"name": "g", "arguments": "{}"}}]}),
        chunk(0, {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}),
        chunk(0, {}, finish_reason="tool_calls"),
    )  # fmt: skip
    validate("CreateChatCompletionResponse", body)
    calls = body["choices"][0]["message"]["tool_calls"]
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls] == [
        ("call_1", "f", '{"a":1}'), ("call_2", "g", "{}"),
    ]  # fmt: skip


def test_completions() -> None:
    pieces = [{"text": text, "index": 0, "logprobs": None, "finish_reason": None} for text in ("On", "ce")]
    head: dict[str, Any] = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"}
    last = {"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"}
    body = folded(*({**head, "choices": [piece]} for piece in [*pieces, last]))
    validate("CreateCompletionResponse", body)
    assert body["choices"] == [{"index": 0, "text": "Once", "logprobs": None, "finish_reason": "stop"}]
