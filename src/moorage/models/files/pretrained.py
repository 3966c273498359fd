"""What the files of a Hugging Face folder say of a model beside its weights: config.json, the tokenizer's, the sentence
encoder's. ONNX and OpenVINO folders have the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from moorage.core.facts import Pooling
from moorage.errors import ModelError
from moorage.models.files import attention, sentence, tasks, whisper
from moorage.models.files.attention import Kept
from moorage.models.files.document import Document
from moorage.models.files.opening import listing, whole
from moorage.models.files.sentence import Sentence
from moorage.wire.names import Task

CONFIG = "config.json"

_TEXT_PARTS = ("text_config", "llm_config", "language_config")
"""Where the settings of a multimodal model's language model are."""
_POSITIONS_OFFSET = 2
_POSITIONS_FROM_PAD = frozenset(
    {
        "camembert",
        "data2vec-text",
        "ibert",
        "longformer",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
"""Families whose positions begin behind the padding token's number, so that two of them are never used."""
_SANE_LENGTH = 1 << 31
"""Tokenizers without a bound say 1e30."""
_DEFAULT_LABELS = 2
"""What transformers takes where config.json names none."""
_MAX_LABELS = 100_000
_MAX_TEMPLATE_BYTES = 1024 * 1024
_BITS = {"mxfp4": 4, "nvfp4": 4, "fp8": 8}


@dataclass(frozen=True, kw_only=True)
class Described:
    """What ModelFacts has of the same name; `task` is None where only weights or graph can tell."""

    config: Document
    sentence: Sentence
    task: Task | None
    architecture: str
    context_length: int | None
    layers: int | None
    embedding_length: int | None
    heads: int | None
    kv_heads: int | None
    key_length: int | None
    value_length: int | None
    feed_forward_length: int | None
    kept: Kept
    rope_theta: float | None
    vocabulary: int | None
    labels: tuple[str, ...]
    languages: tuple[str, ...]
    chat_template: str | None
    quantization: str | None
    quantized_bits: int | None

    @property
    def pooling(self) -> Pooling | None:
        return self.sentence.pooling if self.task == "embed" else None


def describe(folder: Path, there: tuple[str, ...], head: int | None = None) -> Described:
    """Raises ModelError. `head` is the number of columns of a classifier found in the weights."""
    parts = sentence.read(folder, there)
    if parts.transformer != folder:
        folder, there = parts.transformer, listing(parts.transformer)
    config = Document.find(folder, CONFIG, there)
    text = config.child(*_TEXT_PARTS) or config
    labels = _labels(config, head)
    task = _task(config, parts, len(labels), head)
    tokenizer = Document.find(folder, "tokenizer_config.json", there)
    heads = text.number("num_attention_heads", "encoder_attention_heads", "n_head", "n_heads", "num_heads")
    embedding = text.number("hidden_size", "d_model", "n_embd", "dim", "embedding_size")
    vocabulary = text.number("vocab_size", "n_vocab", "vocabulary_size")
    method, bits = _quantization(config)
    layers = text.number("num_hidden_layers", "encoder_layers", "n_layer", "n_layers", "num_layers")
    width = embedding // heads if embedding and heads else None
    return Described(
        config=config,
        sentence=parts,
        task=task,
        architecture=config.text("model_type") or (config.texts("architectures") or ("unknown",))[0],
        context_length=_context(config, text, tokenizer, parts.max_length, task),
        layers=layers,
        embedding_length=embedding,
        heads=heads,
        kv_heads=text.number("num_key_value_heads", "n_head_kv", "num_kv_heads") or heads,
        key_length=text.number("head_dim", "d_kv") or width,
        value_length=text.number("v_head_dim", "head_dim", "d_kv") or width,
        feed_forward_length=attention.inner(
            text.number("intermediate_size", "encoder_ffn_dim", "n_inner", "ffn_hidden_size", "hidden_dim"),
            text.number("moe_intermediate_size"),
            text.number("num_experts_per_tok"),
        ),
        kept=attention.of_config(text, layers),
        rope_theta=_rope_theta(text),
        vocabulary=vocabulary,
        labels=labels if task == "classify" else (),
        languages=whisper.of_folder(folder, there, vocabulary) if config.text("model_type") == "whisper" else (),
        chat_template=_chat_template(folder, there, tokenizer),
        quantization=method if bits is None or method is None else f"{method} {bits}-bit",
        quantized_bits=bits,
    )


def _task(config: Document, parts: Sentence, labels: int, head: int | None) -> Task | None:
    if not config:
        return "embed" if parts.embeds else None
    scores = parts.scores or "sentence_transformers" in config.values
    if not config.texts("architectures") and not config.text("model_type") and not parts.embeds and not scores:
        return None
    return tasks.from_config(
        config, labels, sentence=parts.embeds, cross_encoder=scores and not parts.embeds, head=head is not None
    )


def _labels(config: Document, head: int | None) -> tuple[str, ...]:
    """The names of a classifier's columns in their order."""
    named = config.child("id2label").values
    if named:
        if len(named) > _MAX_LABELS or not all(key.isascii() and key.isdigit() and len(key) < 10 for key in named):
            raise ModelError(f"{str(config.path)!r}: 'id2label' must have numbers as keys")
        return tuple(str(value) for _, value in sorted(named.items(), key=lambda item: int(item[0])))
    count = config.number("num_labels") or head or _DEFAULT_LABELS
    return tuple(f"LABEL_{number}" for number in range(min(count, _MAX_LABELS)))


def _context(
    config: Document, text: Document, tokenizer: Document, max_length: int | None, task: Task | None
) -> int | None:
    """The least of the lengths that the files name."""
    if task == "transcribe":
        return config.number("max_target_positions", "max_length")
    positions = text.number(
        "max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length", "n_ctx"
    )
    if positions and text.text("model_type") in _POSITIONS_FROM_PAD:
        positions = max(1, positions - _POSITIONS_OFFSET)
    named = (positions, max_length, tokenizer.number("model_max_length"))
    return min((length for length in named if length and length < _SANE_LENGTH), default=None)


def _rope_theta(text: Document) -> float | None:
    """Of rope_parameters, or beside them as older files have it. None where layers differ in it."""
    for place in (text.child("rope_parameters"), text):
        value = place.values.get("rope_theta")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None


def _chat_template(folder: Path, there: tuple[str, ...], tokenizer: Document) -> str | None:
    """The newest way to keep it first: a file of its own, then the tokenizer's settings, then the processor's."""
    if "chat_template.jinja" in there:
        path = folder / "chat_template.jinja"
        try:
            return whole(path, _MAX_TEMPLATE_BYTES).decode() or None
        except UnicodeDecodeError as error:
            raise ModelError(f"{str(path)!r} is not UTF-8 at byte {error.start}; get the file again") from error
    named = tokenizer.values.get("chat_template")
    if isinstance(named, list):
        found = [cast("dict[str, Any]", item) for item in cast("list[object]", named) if isinstance(item, dict)]
        named = {str(item.get("name")): item.get("template") for item in found}.get("default")
        return named if isinstance(named, str) and named else None
    return tokenizer.text("chat_template") or Document.find(folder, "chat_template.json", there).text("chat_template")


def _quantization(config: Document) -> tuple[str | None, int | None]:
    """The method in its own word and its bits a weight, where the weights are quantised and say so."""
    settings = config.child("quantization_config") or config.child("text_config").child("quantization_config")
    if not settings:
        bits = config.child("quantization").number("bits")
        return ("mlx", bits) if bits else (None, None)
    method = settings.text("quant_method") or settings.text("quant_algo") or "quantized"
    bits = settings.number("bits", "w_bit") or _BITS.get(method)
    if settings.flag("load_in_4bit") or settings.flag("_load_in_4bit"):
        bits = 4
    elif settings.flag("load_in_8bit") or settings.flag("_load_in_8bit"):
        bits = 8
    groups = settings.child("config_groups").values
    if groups and bits is None:
        first = Document(settings.path, groups).child(next(iter(groups)))
        bits = first.child("weights").number("num_bits")
    return method, bits if bits and bits <= 32 else None
