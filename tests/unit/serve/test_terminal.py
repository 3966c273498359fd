import io
import json
from typing import Any

import pytest
from rich.console import Console

from moorage.serve.terminal import curl_line, welcome


def model(task: str, **fields: Any) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": "m",
        "task": task,
        "max_model_len": 512,
        "url": None,
        "state": "ready",
        "targets": [],
    }
    return described | fields


@pytest.mark.parametrize(
    ("task", "path"),
    [
        ("generate", "/v1/chat/completions"),
        ("embed", "/v1/embeddings"),
        ("rerank", "/v1/rerank"),
        ("classify", "/classify"),
    ],
)
def test_a_first_call_for_every_task(task: str, path: str) -> None:
    line = curl_line("http://h:1", model(task), needs_key=True)
    assert line.startswith(f'curl http://h:1{path} -H "Authorization: Bearer $MOORAGE_API_KEY"')
    body = json.loads(line.rpartition(" -d ")[2].strip("'"))
    assert body["model"] == "m"
    assert len(body) > 1


def test_a_first_recording() -> None:
    line = curl_line("http://h:1", model("transcribe"), needs_key=False)
    assert line == "curl http://h:1/v1/audio/transcriptions -F model=m -F file=@speech.wav"


def test_a_port_of_its_own_is_shown() -> None:
    output = io.StringIO()
    models = [model("embed", url="http://127.0.0.1:8001"), model("generate", id="n")]
    welcome(Console(file=output, width=200), {"models": models}, "http://127.0.0.1:8000", needs_key=False)
    (embed,) = [line for line in output.getvalue().splitlines() if " m " in line and "embed" in line]
    assert "also at http://127.0.0.1:8001/v1" in embed
    assert output.getvalue().count("also at") == 1
