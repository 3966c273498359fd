"""CTranslate2's model.bin, and the Whisper folders that are made of it."""

import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from moorage.errors import ModelError
from moorage.models.files import ctranslate2, facts
from tests.unit.models.files import small_files
from tests.unit.models.files.small_files import LANGUAGES, ctranslate2_text, put, variable, whisper_vocabulary


def whisper(folder: Path, model: bytes | None = None, files: Mapping[str, object] = MappingProxyType({})) -> Path:
    whole = {"config.json": {"lang_ids": [1]}, "vocabulary.json": whisper_vocabulary(), **files}
    return put(folder, {"model.bin": model if model is not None else small_files.ctranslate2(), **whole})


def test_a_model_of_many_languages(tmp_path: Path) -> None:
    found = facts(whisper(tmp_path))
    assert (found.format, found.task, found.architecture) == ("ctranslate2", "transcribe", "whisper")
    assert (found.layers, found.heads, found.embedding_length, found.context_length) == (2, 6, 4, 448)
    assert (found.vocabulary, found.quantization, found.languages) == (51865, "float16", LANGUAGES)
    assert found.parameters == 51865 * 4 + 448 * 4 + 2 * 64
    assert (found.path, found.weights) == (str(tmp_path), (str(tmp_path / "model.bin"),))
    assert found.size_bytes == (tmp_path / "model.bin").stat().st_size


def test_an_english_model_knows_one_language(tmp_path: Path) -> None:
    assert facts(whisper(tmp_path, small_files.ctranslate2(51864))).languages == ("en",)


def test_the_older_vocabulary(tmp_path: Path) -> None:
    whisper(tmp_path, files={"vocabulary.txt": "\n".join(whisper_vocabulary("fr", "yue")) + "\n"})
    (tmp_path / "vocabulary.json").unlink()
    assert facts(tmp_path).languages == ("fr", "yue")


def test_a_vocabulary_without_marks_names_no_languages(tmp_path: Path) -> None:
    assert facts(whisper(tmp_path, files={"vocabulary.json": ["a", "b"]})).languages == ()


@pytest.mark.parametrize(
    ("kind", "beside", "words"), [(4, 4, "float16"), (0, 4, "float32"), (1, 4, "int8_float16"), (5, 5, "bfloat16")]
)
def test_number_formats(tmp_path: Path, kind: int, beside: int, words: str) -> None:
    scales = variable("decoder/embeddings/weight_scale", beside, (51865,))
    path = put(tmp_path, {"model.bin": small_files.ctranslate2(kind=kind, others=(scales,))}) / "model.bin"
    found = ctranslate2.read(path)
    assert found.compute_type == words
    assert found.parameters == 51865 * 4 + 448 * 4 + 2 * 64


HEAD = struct.pack("<I", 6) + ctranslate2_text("WhisperSpec")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is truncated: it has 0 bytes"),
        (bytes(3), "is truncated: it has 3 bytes"),
        (b"PK\x03\x04" + bytes(50), "is no model of CTranslate2"),
        (struct.pack("<I", 3) + bytes(50), "convert the model again"),
        (struct.pack("<I", 6) + b"\xff\xff", "is truncated"),
        (struct.pack("<I", 6) + bytes(50), "is no model of CTranslate2, or broken"),
        (HEAD + struct.pack("<II", 3, 2**32 - 1), "announces 4294967295 variables"),
        (HEAD + struct.pack("<II", 3, 1), "is truncated"),
        (HEAD + struct.pack("<II", 3, 1) + ctranslate2_text("w") + b"\xff" + bytes(50), "has 255 dimensions"),
        (HEAD + struct.pack("<II", 3, 1) + variable("w", 0, (4, 4), bytes(8)), "has 8 bytes for [4, 4]"),
        (HEAD + struct.pack("<II", 3, 1) + variable("w", 0, (4, 4))[:-1], "is truncated"),
        (
            HEAD + struct.pack("<II", 3, 1) + ctranslate2_text("w") + struct.pack("<B2IBI", 2, 2**31, 2**31, 0, 4),
            "has 4 bytes for",
        ),
        (HEAD + struct.pack("<II", 3, 1) + ctranslate2_text("w") + struct.pack("<BBI", 0, 77, 4), "has 4 bytes for []"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (small_files.ctranslate2(spec="TransformerSpec"), "of kind 'TransformerSpec'; of those, Whisper's"),
    ],
)
def test_what_is_broken_is_said(tmp_path: Path, content: bytes, says: str) -> None:
    whisper(tmp_path, content)
    with pytest.raises(ModelError) as caught:
        facts(tmp_path)
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"vocabulary.json": "["}, "vocabulary.json' is not valid JSON"),
        ({"vocabulary.json": {}}, "must be a JSON list of texts"),
        ({"vocabulary.json": [1]}, "must be a JSON list of texts"),
        ({"vocabulary.json": b"\xff"}, "is not valid JSON"),
        ({"config.json": "x"}, "config.json' is not valid JSON"),
    ],
)
def test_files_beside_it_that_are_wrong(tmp_path: Path, files: dict[str, object], says: str) -> None:
    with pytest.raises(ModelError) as caught:
        facts(whisper(tmp_path, files=files))
    assert says in str(caught.value)


def test_a_text_vocabulary_that_is_not_utf8(tmp_path: Path) -> None:
    whisper(tmp_path, files={"vocabulary.txt": b"a\n\xff"})
    (tmp_path / "vocabulary.json").unlink()
    with pytest.raises(ModelError, match=r"vocabulary\.txt' is not UTF-8 at byte 2"):
        facts(tmp_path)


def test_weights_that_end_within_a_variable(tmp_path: Path) -> None:
    whole = small_files.ctranslate2()
    for length in (100, len(whole) // 2, len(whole) - 30):
        with pytest.raises(ModelError, match="is truncated"):
            facts(whisper(tmp_path, whole[:length]))
