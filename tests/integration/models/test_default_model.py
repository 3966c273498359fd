from pathlib import Path


def test_the_default_model_is_a_gguf(chat_weights: Path) -> None:
    with chat_weights.open("rb") as file:
        assert file.read(4) == b"GGUF"
