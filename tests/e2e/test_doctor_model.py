"""Real starts that fail under `moorage serve`, what status and the doctor make of them, and how they are mended."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.product import Product, wait_until

LINK = "https://github.com/ollama/ollama/issues/12984"


@pytest.fixture
def product(short_tmp: Path) -> Iterator[Product]:
    with Product(short_tmp) as made:
        yield made


def serve(product: Product, **model: Any) -> None:
    product.write_config({"server": {"port": product.port}, "models": [{"name": "chat", **model}]})


def doctor(product: Product) -> tuple[int, dict[str, dict[str, Any]]]:
    """Its exit code and the first finding of each id."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOORAGE_")}
    environment |= {"MOORAGE_STATE_DIR": str(product.folder / "state")}
    argv = [sys.executable, "-m", "moorage.cli.main", "doctor", "chat", "--json", "-c", str(product.config_path)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    found: dict[str, dict[str, Any]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["id"], finding)
    return done.returncode, found


def replica(product: Product, state: str) -> dict[str, Any]:
    def target() -> dict[str, Any] | None:
        code, seen = product.get("/api/v1/status")
        targets = [one for model in seen["models"] for one in model["targets"]] if code == 200 else []
        return next((one for one in targets if one["state"] == state), None)

    return wait_until(target, 60, f"a replica that is {state}\n{product.output}")


def test_a_file_the_engine_does_not_know_and_its_successor(product: Product, chat_weights: Path) -> None:
    content = chat_weights.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0llamx", 1)
    strange = product.folder / "strange.gguf"
    strange.write_bytes(content)
    serve(product, source=str(strange))
    product.start()
    failed = replica(product, "failed")
    first = failed["reason"].splitlines()[0]
    assert first.startswith("start failed: the engine ended with code 1: this llama.cpp does not know the architecture")
    assert first.endswith(f"(llama.cpp.architecture, {LINK})")
    wait_until(lambda: LINK in product.output, 10, "the link in the terminal")
    code, found = doctor(product)
    assert code == 1
    assert found["server.replica"]["what"] == "chat-0 is failed"
    product.stop()
    code, found = doctor(product)  # the server is gone, what it learnt is not
    assert code == 1
    assert found["start.failed"]["facts"]["source"] == LINK
    assert "unknown model architecture" in "\n".join(found["start.log"]["facts"]["lines"])
    serve(product, source=str(chat_weights))
    code, found = doctor(product)
    assert (code, found["start.failed"]["level"]) == (0, "note")


def test_a_start_that_was_changed_is_told_and_remembered(product: Product, chat_weights: Path) -> None:
    model = {"source": str(chat_weights), "engine": "moorage.testing.adapter:engine"}
    serve(product, **model, options={"extra_args": {"room": 3000}})
    product.start().ready()
    said = "options.max_model_len 3000 instead of 8192: the fake engine has no room for so long a context (fake.room)"
    ready = replica(product, "ready")
    assert ready["reason"].endswith(f"with {said}")
    assert said in ready["why"]
    assert product.get("/v1/models")[1]["data"][0]["max_model_len"] == 3000
    product.stop()
    code, found = doctor(product)
    assert code == 0
    assert found["remedy.kept"]["detail"] == said
    assert found["engine.choice"]["what"].startswith("fake")
    product.start().ready()
    ready = replica(product, "ready")
    assert f"as an earlier start needed it: {said}" in ready["why"]
    product.stop()
    serve(product, **model, options={"extra_args": {"room": 2000}})
    code, found = doctor(product)
    assert found["remedy.kept"]["facts"]["same_settings"] is False
