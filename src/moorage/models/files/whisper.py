"""Which languages a Whisper model knows, from its vocabulary or its generation settings."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

from moorage.errors import ModelError
from moorage.models.files.document import Document
from moorage.models.files.opening import whole

ENGLISH_VOCABULARY = 51864
"""Tokens of the English-only models (openai/whisper, tokenizer.py); those of many languages have more."""
TEXT_CONTEXT = 448

_MAX_VOCABULARY_BYTES = 16 * 1024 * 1024
_MARK = re.compile(r"<\|([a-z]{2,3})\|>")
_START, _AFTER = "<|startoftranscript|>", "<|translate|>"
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")


def of_vocabulary(tokens: Sequence[str], size: int | None) -> tuple[str, ...]:
    """The languages between the marks that surround them; one for a vocabulary of the English-only size."""
    if (size or len(tokens)) <= ENGLISH_VOCABULARY:
        return ("en",)
    if _START not in tokens or _AFTER not in tokens:
        return ()
    return _codes(tokens[tokens.index(_START) : tokens.index(_AFTER)])


def of_folder(folder: Path, there: tuple[str, ...], vocabulary: int | None) -> tuple[str, ...]:
    """Of a Hugging Face folder. Raises ModelError."""
    generation = Document.find(folder, "generation_config.json", there)
    known = generation.child("lang_to_id")
    if vocabulary is not None and vocabulary <= ENGLISH_VOCABULARY:
        return ("en",)
    if generation.values.get("is_multilingual") is False:
        return ("en",)
    return _codes(known.values or Document.find(folder, "added_tokens.json", there).values)


def has_vocabulary(there: tuple[str, ...]) -> bool:
    return any(name in there for name in _VOCABULARIES)


def vocabulary(folder: Path, there: tuple[str, ...]) -> tuple[str, ...]:
    """The tokens of a CTranslate2 folder. Raises ModelError where it has no vocabulary file or a broken one."""
    for name in _VOCABULARIES:
        if name in there:
            content = whole(folder / name, _MAX_VOCABULARY_BYTES)
            return _listed(folder / name, content) if name.endswith(".json") else _lines(folder / name, content)
    raise ModelError(f"{str(folder)!r} has no vocabulary.json or vocabulary.txt; fetch the model again")


def _listed(path: Path, content: bytes) -> tuple[str, ...]:
    try:
        tokens = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{str(path)!r} is not valid JSON: {error}; get the file again") from error
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in cast("list[object]", tokens)):
        raise ModelError(f"{str(path)!r} must be a JSON list of texts")
    return tuple(cast("list[str]", tokens))


def _lines(path: Path, content: bytes) -> tuple[str, ...]:
    try:
        return tuple(content.decode().removesuffix("\n").split("\n"))
    except UnicodeDecodeError as error:
        raise ModelError(f"{str(path)!r} is not UTF-8 at byte {error.start}; get the file again") from error


def _codes(tokens: Iterable[str]) -> tuple[str, ...]:
    return tuple(match.group(1) for token in tokens if (match := _MARK.fullmatch(token)))
