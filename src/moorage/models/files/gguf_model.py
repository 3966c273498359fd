"""Facts of a GGUF model: of one file, or of the parts that gguf-split makes of a large one."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from moorage.core.facts import ModelFacts, Pooling
from moorage.errors import ModelError
from moorage.models.files import attention
from moorage.models.files.gguf import Broken, Header, Length, Value, read_header
from moorage.models.files.gguf_types import FILE_TYPES, TENSOR_TYPES
from moorage.models.files.opening import opened
from moorage.wire.names import Task

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_MAX_PARTS = 1000
_HELPERS = re.compile(r"mmproj|imatrix", re.IGNORECASE)
"""Names of files that go with a model."""
_POOLINGS: dict[int, Pooling] = {1: "mean", 2: "cls", 3: "last", 4: "rank"}
_YES_OR_NO = {"yes", "no"}
"""Labels of a reranker that was made from a chat model: only how sure it is of yes counts."""
_ENCODERS = frozenset(
    {
        "bert",
        "modern-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "neo-bert",
        "jina-bert-v2",
        "jina-bert-v3",
        "eurobert",
        "gemma-embedding",
        "llama-embed",
        "t5encoder",
    }
)


def models_in(folder: Path, there: tuple[str, ...]) -> tuple[Path, ...]:
    """The models of a folder: its GGUF files, of split ones the first parts, without those that go with a model."""
    found: dict[str, None] = {}
    for name in there:
        if name.lower().endswith(".gguf") and not _HELPERS.search(name):
            part = _PART.fullmatch(name)
            found[f"{part.group(1)}-00001-of-{part.group(3)}.gguf" if part else name] = None
    return tuple(folder / name for name in found)


def read(path: Path) -> ModelFacts:
    """What the file's header says. Raises ModelError: unreadable, not this format, broken, truncated, no model."""
    header, size_bytes = _header(path)
    architecture = _text(header.values.get("general.architecture"))
    _check_is_model(path, architecture, header)
    assert architecture is not None
    parts = [(path, header, size_bytes), *_other_parts(path, header)]
    if not sum(each.parameters for _, each, _ in parts):
        raise ModelError(f"{str(path)!r} is a GGUF file without weights")
    return _facts(parts, architecture)


def _header(path: Path) -> tuple[Header, int]:
    with opened(path) as (file, size_bytes):
        try:
            header = read_header(file, size_bytes)
        except Broken as error:
            raise ModelError(f"{str(path)!r} {error}") from error
    if header.needed_bytes > size_bytes:
        raise ModelError(
            f"{str(path)!r} is truncated: has {size_bytes} bytes, needs {header.needed_bytes}; get the file again"
        )
    return header, size_bytes


def _other_parts(path: Path, first: Header) -> list[tuple[Path, Header, int]]:
    """Raises ModelError where one is missing or of another model."""
    count = _number(first.values.get("split.count")) or 1
    if count == 1:
        return []
    named = _PART.fullmatch(path.name)
    if named is None or int(named.group(3)) != count or count > _MAX_PARTS:
        raise ModelError(
            f"{str(path)!r} is the first of {count} parts of a model, and its name does not say where the others are; "
            f"name them …-00001-of-{count:05}.gguf and so on"
        )
    paths = [path.with_name(f"{named.group(1)}-{number:05}-of-{count:05}.gguf") for number in range(2, count + 1)]
    missing = [part.name for part in paths if not part.exists()]
    if missing:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise ModelError(
            f"{str(path)!r} is the first of {count} parts of a model, and {len(missing)} of them are missing "
            f"({shown}); fetch the model again"
        )
    parts = [(part, *_header(part)) for part in paths]
    for number, (part, header, _) in enumerate(parts, 1):
        if _number(header.values.get("split.no")) != number or _number(header.values.get("split.count")) != count:
            raise ModelError(
                f"{str(part)!r} is not part {number + 1} of {count}, as its name says; get the files again"
            )
    total = _number(first.values.get("split.tensors.count"))
    found = first.tensors + sum(header.tensors for _, header, _ in parts)
    if total is not None and total != found:
        raise ModelError(
            f"{str(path)!r} announces {total} tensors, its {count} parts have {found}; they do not belong together, "
            "get the files again"
        )
    return parts


def _facts(parts: list[tuple[Path, Header, int]], architecture: str) -> ModelFacts:
    path, header, _ = parts[0]
    values = header.values

    def number(key: str) -> int | None:
        return _number(values.get(f"{architecture}.{key}"))

    heads, embedding = number("attention.head_count"), number("embedding_length")
    width = embedding // heads if embedding and heads else None
    labels = _texts(values.get(f"{architecture}.classifier.output_labels"))
    kept = attention.of_gguf(architecture, values, number("block_count"))
    task = _task(architecture, number, labels)
    return ModelFacts(
        path=str(path.absolute()),
        weights=tuple(str(part.absolute()) for part, _, _ in parts),
        format="gguf",
        task=task,
        architecture=architecture,
        size_bytes=sum(size_bytes for _, _, size_bytes in parts),
        parameters=sum(each.parameters for _, each, _ in parts),
        quantization=_quantization([each for _, each, _ in parts]),
        number_formats=_number_formats([each for _, each, _ in parts]),
        tokenizer=_tokenizer(values),
        context_length=number("context_length"),
        layers=number("block_count"),
        embedding_length=embedding,
        heads=heads,
        kv_heads=number("attention.head_count_kv") or heads,
        key_length=number("attention.key_length") or width,
        value_length=number("attention.value_length") or width,
        feed_forward_length=attention.inner(
            number("feed_forward_length"), number("expert_feed_forward_length"), number("expert_used_count")
        ),
        kv_layers=kept.layers,
        window=kept.window,
        window_layers=kept.window_layers,
        latent_length=kept.latent_length,
        rope_scaled=header.bent or _rope(values.get(f"{architecture}.rope.scaling.type")),
        experts=number("expert_count") or None,
        vocabulary=_length(values.get("tokenizer.ggml.tokens")) or number("vocab_size"),
        pooling=_POOLINGS.get(number("pooling_type") or 0),
        chat_template=_text(values.get("tokenizer.chat_template")),
        labels=labels if task == "classify" else (),
        name=_text(values.get("general.name")),
    )


def _check_is_model(path: Path, architecture: str | None, header: Header) -> None:
    shown = repr(str(path))
    kind = _text(header.values.get("general.type")) or "model"
    if kind != "model" or architecture == "clip":
        what = "mmproj" if architecture == "clip" else kind
        raise ModelError(f"{shown} is a GGUF file of type {what!r} that goes with a model, not a model; name the model")
    part, parts = (_number(header.values.get(f"split.{key}")) or 0 for key in ("no", "count"))
    if parts > 1 and part > 0:
        raise ModelError(f"{shown} is part {part + 1} of {parts} of a model; name the first part")
    if architecture is None:
        raise ModelError(f"{shown} is a GGUF file that names no architecture, so no engine can run it")


def _task(architecture: str, number: Callable[[str], int | None], labels: tuple[str, ...]) -> Task:
    """The rules of GGUF in `tasks`."""
    pooling = number("pooling_type") or 0
    if _POOLINGS.get(pooling) == "rank":
        return "classify" if len(labels) > 1 and {label.lower() for label in labels} != _YES_OR_NO else "rerank"
    return "embed" if pooling or architecture in _ENCODERS else "generate"


def _quantization(headers: list[Header]) -> str | None:
    file_type = _number(headers[0].values.get("general.file_type"))
    if file_type in FILE_TYPES:
        return FILE_TYPES[file_type]
    known: Counter[int] = Counter()
    for header in headers:
        known.update({kind: count for kind, count in header.elements_by_type.items() if kind in TENSOR_TYPES})
    return TENSOR_TYPES[max(known, key=lambda kind: known[kind])][0] if known else None


def _number_formats(headers: list[Header]) -> tuple[str, ...]:
    kinds = sorted({kind for header in headers for kind in header.elements_by_type})
    return tuple(TENSOR_TYPES[kind][0] if kind in TENSOR_TYPES else str(kind) for kind in kinds)


def _tokenizer(values: Mapping[str, Value]) -> str | None:
    words = [_text(values.get(f"tokenizer.ggml.{name}")) for name in ("model", "pre")]
    return " ".join(word for word in words if word) or None


def _rope(scaling: Value | None) -> bool:
    return _text(scaling) not in (None, "none")


def _text(value: Value | None) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: Value | None) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, tuple) else ()


def _length(value: Value | None) -> int | None:
    return value.count if isinstance(value, Length) else len(value) if isinstance(value, tuple) else None


def _number(value: Value | None) -> int | None:
    """A whole number, not negative; of one per layer the largest."""
    if isinstance(value, tuple):
        value = max((item for item in value if isinstance(item, int)), default=None)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
