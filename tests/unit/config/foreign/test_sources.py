from pathlib import Path

import pytest

from moorage.config.foreign.sources import anchored
from moorage.config.load import load


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("/models/chat", "/models/chat"),
        ("~/models/chat", "~/models/chat"),
        ("C:\\models\\chat", "C:\\models\\chat"),
        ("F:/models/chat", "F:/models/chat"),
        ("https://host/x.gguf", "https://host/x.gguf"),
        ("hf:ORG/NAME", "hf:ORG/NAME"),
        ("${MODELS}/chat", "${MODELS}/chat"),
        ("ORG/NAME", "ORG/NAME"),
        ("ORG/NAME@main", "ORG/NAME@main"),
        ("ORG/NAME:x.gguf", "ORG/NAME:x.gguf"),
        ("", ""),
        ("./chat", "{folder}/chat"),
        ("../chat", "{folder}/../chat"),
        ("chat", "{folder}/chat"),
        ("models/here", "{folder}/models/here"),
        ("models/here:x.gguf", "{folder}/models/here/x.gguf"),
        ("a/b/c", "{folder}/a/b/c"),
        (".\\models\\here", "{folder}/models/here"),
        ("模型/千问", "{folder}/模型/千问"),
    ],
)
def test_relative_paths_count_from_the_file(source: str, wanted: str, tmp_path: Path) -> None:
    (tmp_path / "models" / "here").mkdir(parents=True)
    assert anchored(source, tmp_path) == wanted.replace("{folder}", str(tmp_path))


def test_wherever_the_server_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set-up").mkdir()
    file = tmp_path / "set-up" / "models.json"
    file.write_text('{"models": {"chat": {"path": "./chat"}}}')
    monkeypatch.chdir(tmp_path)
    for name in (file, Path("set-up/models.json")):
        assert load(name, environ={"HOME": "/h"}).config.models.local[0].source == str(tmp_path / "set-up" / "chat")
