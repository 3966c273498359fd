"""A running server gets whatever its document allows and what it does not, and answers as the document says.

The default run is short and always the same; MOORAGE_FUZZ_EXAMPLES (`make fuzz`) makes it long and random: so many
cases of each route, and every boundary of every field.
"""

import os
import shutil
import struct
import tempfile
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, CheckContext, Config, Response
from schemathesis import checks as basic
from schemathesis.specs.openapi import checks
from schemathesis.transport.serialization import Binary

from moorage.config.defaults import default_models
from moorage.gateway.openapi.document import document
from moorage.gateway.openapi.examples import NO_MODEL, examples
from moorage.gateway.openapi.operations import INFERENCE, PLAIN, Operation
from moorage.gateway.surfaces.hot import HOT
from moorage.wire.names import Task
from tests.e2e.product import Product

pytestmark = [pytest.mark.engine, pytest.mark.timeout(7200)]

EXAMPLES = int(os.environ.get("MOORAGE_FUZZ_EXAMPLES", "10"))
LONG = "MOORAGE_FUZZ_EXAMPLES" in os.environ
KEY = "a-key-for-the-fuzzer"
AUTHORISED = {"authorization": f"Bearer {KEY}"}
REPLY_TOKENS, CHOICES, PROMPTS = 3, 2, 8
"""What a valid wish for more is cut to: under test is the way there and back, not the engine's patience."""

SPECS = default_models()
MODELS: dict[Task, str] = dict(zip(("generate", "embed", "transcribe"), (spec.name for spec in SPECS), strict=False))
DOCUMENT = document(MODELS, keys=True)
CONFIG = cast("Any", Config).from_dict(
    {
        "generation": {
            "max-examples": EXAMPLES,
            "deterministic": not LONG,
            "with-security-parameters": False,
        },
        "phases": {"coverage": {"enabled": LONG}},
        "checks": {"negative_data_rejection": {"expected-statuses": ["4xx", "5xx"]}},
    }
)
schema = schemathesis.openapi.from_dict(deepcopy(DOCUMENT), config=CONFIG)

answered: Counter[tuple[str, int]] = Counter()
"""Route and status → how often."""


@pytest.fixture(scope="module")
def server() -> Iterator[Product]:
    """The default set behind a key."""
    folder = Path(tempfile.mkdtemp(prefix="mo-"))
    config = {"server": {"processes": 1}, "auth": {"keys": [{"name": "fuzz", "key": KEY}]}}
    try:
        with Product(folder, config).start().ready(120) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def recording() -> bytes:
    """Half a second of a tone."""
    content = BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"".join(struct.pack("<h", (i * 331) % 8192 - 4096) for i in range(8_000)))
    return content.getvalue()


def tune(case: Case[Any], recording: bytes) -> None:
    """A model that is served, a recording that is one, a short reply. What is wrong in the case stays wrong."""
    if not isinstance(case.body, dict):
        return
    positive = is_positive(case)
    fields = cast("dict[str, Any]", case.body)
    if case.path == "/scale_elastic_ep":
        fields["model"] = "none"  # sixty replicas of a real one are too many
        return
    if case.path.startswith("/v1/audio/"):
        if isinstance(fields.get("model", ""), str):
            fields["model"] = MODELS.get("transcribe", "none")
        if positive:
            fields["file"] = Binary(recording)
            for name in ("language", "languages", "to_language"):
                fields.pop(name, None)
        return
    writes = "messages" in fields or "prompt" in fields
    if isinstance(fields.get("model", ""), str):
        fields["model"] = MODELS["generate" if writes or "tokens" in fields else "embed"]
    for name in ("max_tokens", "max_completion_tokens"):
        asked = fields.get(name)
        if writes and (asked is None or (type(asked) is int and REPLY_TOKENS < asked <= 1 << 31)):
            fields[name] = REPLY_TOKENS
    if type(fields.get("n")) is int and CHOICES < fields["n"] <= 128:
        fields["n"] = CHOICES
    if isinstance(fields.get("prompt"), list) and PROMPTS < len(fields["prompt"]) <= 2048:
        fields["prompt"] = fields["prompt"][:PROMPTS]


def is_positive(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


def no_fault(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """No 5xx, but 503 that says when to come back."""
    status = response.status_code
    assert status < 500 or (status == 503 and response.headers.get("retry-after")), f"{status}: {response.text}"


def refusals_say_why(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """What the document allows and a model cannot do is refused by the field's name."""
    if response.status_code == 400 and is_positive(case) and case.path != "/invocations":
        error = response.json()["error"]
        assert error["param"] or error["code"] != "invalid_request", error


def nothing_undeclared(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """A reply is one of the declared types, without a field that the document does not tell of."""
    operation = declared(case.method.lower(), case.path)
    kinds = operation.replies.get("application/json", ()) if operation else ()
    if response.status_code == 200 and kinds and "application/json" in response.headers.get("content-type", ()):
        body = response.json()
        assert any(again(kind, response.content) == body for kind in kinds), body


def declared(method: str, path: str) -> Operation | None:
    return INFERENCE[HOT[path].name] if path in HOT else PLAIN.get((method, path))


def again(kind: type, content: bytes) -> Any:
    """The reply read as that type and written again, which drops what is not declared."""
    try:
        return msgspec.json.decode(msgspec.json.encode(msgspec.json.decode(content, type=kind)))
    except msgspec.ValidationError:
        return None


of_each_route = cast("Callable[[Any], Any]", cast("Any", schema).parametrize())


@of_each_route
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=tuple(cast("Any", HealthCheck)))
def test_replies(case: Case[Any], server: Product, recording: bytes) -> None:
    tune(case, recording)
    response = case.call(base_url=server.url, headers=AUTHORISED, timeout=120)
    answered[f"{case.method.upper()} {case.path}", response.status_code] += 1
    cast("Any", case).validate_response(
        response,
        additional_checks=[no_fault, refusals_say_why, nothing_undeclared],
        # Which of the fields go together, and how far a model reads, is told in words.
        excluded_checks=[cast("Any", basic).not_a_server_error, cast("Any", checks).positive_data_acceptance],
        headers=AUTHORISED,
    )


def test_examples_work(server: Product) -> None:
    tried = 0
    for path, surface in HOT.items():
        for example in examples(surface.name, surface.tasks, MODELS).values():
            body = example["value"]
            if body["model"] != NO_MODEL:
                reply = requests.post(server.url + path, json=body, headers=AUTHORISED, timeout=60)
                assert reply.status_code == 200, (path, body, reply.text)
                tried += 1
    assert tried > len(HOT) - 3


def test_the_document_is_the_one_that_is_served(server: Product) -> None:
    status, served = server.get("/openapi.json")
    assert status == 200
    assert served == DOCUMENT


def test_most_routes_had_something_to_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the others, or it would tell of nothing."""
    if LONG:
        with capsys.disabled():
            print(f"\n{sum(answered.values())} cases by status: {dict(sorted(by_status().items()))}")
    good = {route for route, status in answered if status == 200}
    every = {f"{method.upper()} {path}" for path, methods in DOCUMENT["paths"].items() for method in methods}
    if every - {route for route, _ in answered}:
        pytest.skip("not every route was called in this run")
    without_model = {"POST /classify", *(() if "transcribe" in MODELS else ("POST /v1/audio/transcriptions",))}
    english_only = {"POST /v1/audio/translations"}
    of_nobody = {"POST /scale_elastic_ep"}
    unknown_names = {route for route in every if "{" in route}
    assert every - good <= without_model | english_only | of_nobody | unknown_names


def by_status() -> Counter[int]:
    found: Counter[int] = Counter()
    for (_, status), number in answered.items():
        found[status] += number
    return found
