"""Clients as users have them, against the whole product and the real model."""

import asyncio
import json
import math
import subprocess
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from pydantic import BaseModel

from tests.contract.openai_schema import validate
from tests.e2e.product import Product

pytestmark = pytest.mark.engine

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
            "required": ["city", "unit"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def client(served: Product) -> OpenAI:
    return OpenAI(base_url=f"{served.url}/v1", api_key="EMPTY", max_retries=0)


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def create(client: OpenAI, **fields: Any) -> Any:
    """The SDK's call without its overloads: what comes back depends on `stream`."""
    completions: Any = client.chat.completions
    return completions.create(**fields)


def test_chat_and_its_published_shape(served: Product) -> None:
    for name in (MODEL, "smol"):
        status, body = served.chat(name)
        assert status == 200
        validate("CreateChatCompletionResponse", body)
        assert body["model"] == name
        assert body["choices"][0]["message"]["content"]


def test_a_stream_says_the_same_as_the_whole(client: OpenAI) -> None:
    asked: Any = {"model": "smol", "messages": user("Name three fruits."), "seed": 7, "max_tokens": 24}
    whole = create(client, **asked)
    options: Any = {"include_usage": True}
    chunks = list(create(client, **asked, stream=True, stream_options=options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    for chunk in chunks:
        validate("CreateChatCompletionStreamResponse", chunk.model_dump(mode="json", exclude_unset=True))


async def test_sixteen_at_once(served: Product) -> None:
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="EMPTY", max_retries=0) as client:

        async def one(number: int) -> str:
            stream = await client.chat.completions.create(
                model="smol", messages=user(f"Write about the number {number}."), max_tokens=16, stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

        assert all(await asyncio.gather(*(one(number) for number in range(16))))


class Person(BaseModel):
    name: str
    age: int


def test_structured_output(client: OpenAI) -> None:
    reply = client.chat.completions.parse(
        model="smol",
        messages=user("Anna is 31 years old. Who is it?"),
        response_format=Person,
        max_tokens=60,
        temperature=0,
    )
    assert isinstance(reply.choices[0].message.parsed, Person)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_forced_tool_call(client: OpenAI, choice: Any) -> None:
    asked: Any = {
        "model": "smol", "messages": user("What is the weather in Oslo?"), "tools": [WEATHER], "tool_choice": choice,
        "temperature": 0,
    }  # fmt: skip
    reply = create(client, **asked)
    message = reply.choices[0].message
    assert message.tool_calls
    call: Any = message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"city", "unit"}
    arguments, finish = "", ""
    for chunk in create(client, **asked, stream=True):
        part: Any = chunk.choices[0]
        for call in part.delta.tool_calls or ():
            arguments += call.function.arguments or ""
        finish = part.finish_reason or finish
    assert set(json.loads(arguments)) == {"city", "unit"}
    assert finish == "tool_calls"


def test_completions_embeddings_and_models(served: Product, client: OpenAI) -> None:
    status, body = served.post(
        "/v1/completions", {"model": "smol", "prompt": "Once", "max_tokens": 5, "n": 2, "logprobs": 0}
    )
    assert status == 200
    validate("CreateCompletionResponse", body)
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    status, body = served.post("/v1/embeddings", {"model": "vectors", "input": ["a ship", "a boat", "tax law"]})
    assert status == 200
    validate("CreateEmbeddingResponse", body)
    vectors = [item["embedding"] for item in body["data"]]
    assert all(math.isclose(sum(x * x for x in vector), 1.0, rel_tol=1e-3) for vector in vectors)
    packed = client.embeddings.create(model="vectors", input="a ship")
    assert all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(packed.data[0].embedding, vectors[0], strict=True))
    listed = served.get("/v1/models")[1]
    assert {model["id"]: model["task"] for model in listed["data"]} == {MODEL: "generate", "vectors": "embed"}
    assert client.models.retrieve(MODEL).id == MODEL


def test_tokenize_and_back(served: Product) -> None:
    status, body = served.post("/tokenize", {"model": "smol", "prompt": "Hello, 世界!", "return_token_strs": True})
    assert status == 200
    assert body["count"] == len(body["tokens"]) == len(body["token_strs"])
    status, back = served.post("/detokenize", {"model": "smol", "tokens": body["tokens"]})
    assert (status, back["prompt"]) == (200, "Hello, 世界!")


def test_clear_errors(client: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="there is no model 'gpt-9' here"):
        client.chat.completions.create(model="gpt-9", messages=user("x"))
    with pytest.raises(BadRequestError, match="is a model to embed"):
        client.chat.completions.create(model="vectors", messages=user("x"))
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model="smol", messages=user("x"), temperature=9)
    assert caught.value.param == "temperature"
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model="smol", messages=user("word " * 9000))
    assert caught.value.code == "context_length_exceeded"


def test_the_printed_curl_line_works_as_pasted(served: Product) -> None:
    line = next(line for line in served.output.splitlines() if line.startswith("curl "))
    done = subprocess.run(["sh", "-c", f"{line} -s"], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"]


def test_metrics_are_summed_over_gateways(served: Product) -> None:
    before = _requests(served)
    for _ in range(12):
        assert served.chat("smol", max_tokens=1)[0] == 200
    assert _requests(served) == before + 12
    text = served.get("/metrics")[1]
    assert 'moorage_requests_in_flight{process="0"}' in text
    assert 'moorage_requests_in_flight{process="1"}' in text
    assert 'moorage_engine_running{model="vectors"' in text
    assert "moorage_engine_progress" in text


def _requests(served: Product) -> float:
    text = served.get("/metrics")[1]
    lines = [
        line for line in text.splitlines() if line.startswith("moorage_requests_total{") and 'surface="chat"' in line
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
