import json
from typing import Any

from moorage.gateway import edits
from moorage.gateway.call import Call
from moorage.gateway.events import Events
from moorage.gateway.surfaces.openai import CHAT
from moorage.wire import body
from moorage.wire.control import Manners
from moorage.wire.table import ModelRow, TargetRow

MODEL = ModelRow(id="m", names=("m",), task="generate", created=1, max_output_tokens=9)


def target(manners: Manners, **fields: Any) -> TargetRow:
    return TargetRow(
        id="m-0", model="m", generation=1, state="ready", reason="", since=0.0, served_name="theirs", manners=manners,
        **fields,
    )  # fmt: skip


def sent(asked: dict[str, Any], manners: Manners) -> dict[str, Any]:
    call = Call(CHAT, "id")
    call.asked = "m"
    return json.loads(edits.for_target(body.parse(json.dumps(asked).encode()), call, MODEL, target(manners)))


def test_fields_are_spelled_as_the_engine_does() -> None:
    manners = Manners(renames={"max_completion_tokens": "max_tokens"})
    assert sent({"max_completion_tokens": 3}, manners) == {"max_tokens": 3, "model": "theirs"}
    assert sent({"max_completion_tokens": 3, "max_tokens": 5}, manners)["max_tokens"] == 5
    assert sent({}, manners) == {"max_tokens": 9, "model": "theirs"}
    assert sent({}, Manners())["max_completion_tokens"] == 9


def test_a_stream_without_done_is_finished_by_its_reason() -> None:
    call = Call(CHAT, "id", stream=True)
    call.asked = "m"
    events = Events(call, target(Manners(says_done=False)))
    kept, failure = events.feed(
        b'data: {"model":"theirs","choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    )
    assert (failure, events.finished, events.done) == (None, False, False)
    assert json.loads(kept.removeprefix(b"data: "))["model"] == "m"
    events.feed(b'data: {"model":"theirs","choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')
    assert (events.finished, events.done) == (True, False)


def test_a_stream_under_the_name_it_was_asked_by_passes_untouched() -> None:
    call = Call(CHAT, "id", stream=True)
    call.asked = "theirs"
    chunk = b'data: {"model":"theirs","choices":[{"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    assert Events(call, target(Manners())).feed(chunk) == (chunk, None)
