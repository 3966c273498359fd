from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from moorage.config.load import load
from moorage.config.schema import schema

ACCEPTED = [
    "{}",
    "server:\nmodels:\n",
    "server: {port: 80, http: {port: 80, enabled: true}, request_timeout: 30s, total_timeout: 5}",
    "server: {max_request_size: 10MB, max_header_size: 2048}",
    "server: {port: '${PORT:-8000}', host: '${HOST}'}",
    "auth: {keys: [a, '${KEY}', {name: b, key: '${B:-b}'}, {key: c}], allow_anonymous: true}",
    "models: [{name: a, source: b, aliases: [c, '${D}'], options: {threads: 2, extra_args: {x: 1, y: z, f: true}}}]",
    "models: {local: [{name: '${A}', source: b, task: embed, sha256: null, replicas: '${N:-1}'}]}",
    "models: []",
    "logging: {level: debug, output: file, file_path: /x}",
    (Path(__file__).parents[2] / "data" / "foreign" / "gateway-config.yaml").read_text(),
    "monitoring: {metrics: {enabled: false}}\nworkers: {queue_size: 0}\ncache_dir: ~/x\nstate_dir: /y\n",
]


def complaints(text: str) -> list[str]:
    document = schema()
    Draft202012Validator.check_schema(document)
    data: Any = yaml.safe_load(text)
    return [str(error.message) for error in Draft202012Validator(document).iter_errors(data)]  # pyright: ignore[reportUnknownMemberType]


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_the_loader_takes_the_schema_takes(text: str, tmp_path: Path) -> None:
    assert complaints(text) == []
    (tmp_path / "moorage.yaml").write_text(text)
    load(tmp_path / "moorage.yaml", environ={"HOME": "/h", "HOST": "::", "KEY": "k", "A": "a", "D": "d"})


@pytest.mark.parametrize(
    "text",
    [
        "servre: {}",
        "server: {prot: 1}",
        "server: {port: abc}",
        "server: {port: 70000}",
        "logging: {level: loud}",
        "models: [{name: a}]",
        "models: [{name: a, source: b, nmae: c}]",
        "auth: {keys: a}",
        "auth: {keys: [{name: a}]}",
        "[]",
        "database: {prot: 1}",
        "redis: {port: many}",
        "models: {providers: {}}",
    ],
)
def test_what_the_loader_refuses_the_schema_refuses(text: str) -> None:
    assert complaints(text)


def test_options_are_explained() -> None:
    server = schema()["$defs"]["Server"]["properties"]
    assert server["port"]["default"] == 8000
    assert server["request_timeout"]["default"] == "5m"
    assert server["port"]["description"].endswith("Environment: MOORAGE_SERVER_PORT.")
