"""A file of another program, served as it is."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from tests.e2e.product import Product, free_port, wait_until


def unified(**models: dict[str, Any]) -> dict[str, Any]:
    return {"models": models, "router": {"startup_timeout": 60}, "system": {"swap_space": 4}}


def test_a_models_json_is_served_and_watched(short_tmp: Path, chat_weights: Path) -> None:
    chat: dict[str, Any] = {"name": "small", "path": str(chat_weights), "type": "chat", "max_model_len": 512}
    chat["port"] = free_port()
    product = Product(short_tmp, env={"VLLM_CHAT_PORT": "", "LOG_LEVEL": "INFO"})
    product.config_path = short_tmp / "models.json"
    product.write_config(unified(chat=chat))
    with product.start().ready():
        status, reply = product.chat("small", temperature=0)
        assert (status, reply["model"]) == (200, "small")
        with urllib.request.urlopen(f"http://127.0.0.1:{chat['port']}/v1/models", timeout=5) as listed:
            assert [model["id"] for model in json.load(listed)["data"]] == ["small"]
        assert "models.json is read as the models.json of a unified service" in product.output
        assert "models.json:1: system.swap_space: vLLM has no swap space any more" in product.output
        assert "logging.level is info by the variable LOG_LEVEL; MOORAGE_LOGGING_LEVEL beats it" in product.output

        product.write_config(unified(chat=chat, embedding={"name": "vectors", "type": "embeddings"}))
        wait_until(lambda: "the new configuration is not used" in product.output, 5, "the bad file is refused")
        assert "models.embedding.type: 'embeddings' will not do" in product.output
        second = {"name": "second", "path": str(chat_weights), "type": "chat", "max_model_len": 512}
        product.write_config(unified(chat=chat, other=second))
        wait_until(lambda: product.chat("second", temperature=0)[0] == 200, 60, "the added model serves")
        assert product.chat("small", temperature=0)[0] == 200


def test_logs_go_where_the_file_says(short_tmp: Path, chat_weights: Path) -> None:
    model = {"name": "one", "source": str(chat_weights), "engine": "moorage.testing.adapter:engine"}
    config = {"models": [model], "logging": {"output": "stdout", "format": "json"}}
    with Product(short_tmp, config).start().ready() as product:
        assert product.chat("one")[0] == 200
        wait_until(lambda: '"event":"request"' in product.output, 5, "the call has its line")
        lines = [json.loads(line) for line in product.output.splitlines() if line.startswith("{")]
        assert {"request"} <= {line["event"] for line in lines}
