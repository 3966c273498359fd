"""Facts of a model in each format but GGUF: what its weights say, joined with what the files beside them say."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from moorage.core.facts import Format, ModelFacts
from moorage.errors import ModelError
from moorage.models.files import ctranslate2, onnx, openvino, pretrained, safetensors, tasks, whisper
from moorage.models.files.document import Document
from moorage.models.files.onnx import Port
from moorage.models.files.opening import listing
from moorage.models.files.pretrained import Described
from moorage.models.files.safetensors import Tensor
from moorage.models.files.shapes import Sizes, sizes
from moorage.wire.names import Task

_HEADS = ("classifier.weight", "classifier.out_proj.weight", "score.weight")
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "F4"})
_PACKED = re.compile(r"(?:^|[._])(?:q?weight|weight_packed|blocks)$")
_SCALES = re.compile(r"scales?(?:_inv)?$|zero_points?$|zeros$|g_idx$|absmax$|quant_map$|quant_state|\.biases$")
_QUANTIZING_OPS = re.compile(r"QLinear|DynamicQuantize|MatMulInteger|ConvInteger|QAttention|QGemm|QEmbedLayerNorm")
_NO_WEIGHTS = frozenset({"INT64", "INT32", "INT16", "UINT64", "UINT32", "UINT16", "BOOL", "STRING"})
_OPENVINO_WORDS = {
    "f32": "fp32",
    "f16": "fp16",
    "bf16": "bf16",
    "i8": "int8",
    "u8": "int8",
    "i4": "int4",
    "u4": "int4",
    "nf4": "nf4",
    "f4e2m1": "mxfp4",
    "f8e4m3": "fp8",
    "f8e5m2": "fp8",
}
"""Element type → what OpenVINO's export tools call the format."""


def read_onnx(graph_file: Path, path: Path, described: Described | None = None) -> ModelFacts:
    """Of one graph; `path` is its folder, or the file itself where that was named. Raises ModelError."""
    if described is None:
        beside = _settings_of(graph_file)
        described = pretrained.describe(beside, listing(beside))
    graph = onnx.read(graph_file)
    task = described.task or tasks.from_ports(graph_file, graph.inputs, graph.outputs)
    counts: dict[str, int] = {}
    for item in graph.initializers:
        if item.dtype not in _NO_WEIGHTS and not _SCALES.search(item.name):
            counts[item.dtype] = counts.get(item.dtype, 0) + item.elements
    packed = 8 // graph.block_bits if graph.block_bits else 1
    return _facts(
        described,
        path=path,
        weights=(graph_file, *graph.data_files),
        format="onnx",
        task=task,
        size_bytes=graph.size_bytes,
        parameters=sum(count * (packed if dtype == "UINT8" else 1) for dtype, count in counts.items()),
        quantization=_onnx_words(graph, counts),
        told=_sized([(item.name, item.shape) for item in graph.initializers], graph.outputs),
    )


def read_safetensors(folder: Path, described: Described, shards: tuple[Path, ...]) -> ModelFacts:
    """Raises ModelError."""
    found = safetensors.tensors(described.sentence.transformer)
    head = next((found[name].shape[0] for name in _HEADS if name in found and found[name].shape), None)
    if head is not None and not described.config.texts("architectures"):
        described = pretrained.describe(folder, listing(folder), head)
    parameters = _parameters(found, described.quantized_bits)
    if not parameters:
        raise ModelError(f"{str(folder)!r} has files without weights")
    counts = {dtype: count for dtype, count in safetensors.dtypes(found.values()).items() if dtype in _FLOATS}
    return _facts(
        described,
        path=folder,
        weights=shards,
        format="safetensors",
        task=described.task or "generate",
        size_bytes=sum(path.stat().st_size for path in shards),
        parameters=parameters,
        quantization=max(counts, key=lambda dtype: counts[dtype], default=None),
        told=Sizes(),
    )


def read_openvino_file(graph_file: Path) -> ModelFacts:
    """Of another form of a folder's model its own facts, of all other graphs their folder's. Raises ModelError."""
    if graph_file.stem in openvino.HELPERS:
        raise ModelError(f"{str(graph_file)!r} is a model's tokenizer, not the model; name their folder")
    beside = _settings_of(graph_file)
    described = pretrained.describe(beside, listing(beside))
    if openvino.is_variant(graph_file.stem):
        return read_openvino(graph_file, described, (graph_file,))
    graphs = openvino.find(described.sentence.transformer)
    return read_openvino(beside, described, graphs or (graph_file,))


def read_openvino(path: Path, described: Described, graphs: tuple[Path, ...]) -> ModelFacts:
    """Of the graphs of a folder, the main one first; `path` is the folder, or the file that was named. Raises
    ModelError."""
    read = [openvino.read(graph) for graph in graphs]
    main = read[0]
    counts: dict[str, int] = {}
    for graph in read:
        for kind, count in graph.elements.items():
            if kind in _OPENVINO_WORDS:
                counts[kind] = counts.get(kind, 0) + count
    largest = max(counts, key=lambda kind: counts[kind], default=None)
    return _facts(
        described,
        path=path,
        weights=graphs,
        format="openvino",
        task=described.task or tasks.from_ports(main.path, main.inputs, main.outputs),
        size_bytes=sum(graph.size_bytes for graph in read),
        parameters=sum(counts.values()),
        quantization=_OPENVINO_WORDS[largest] if largest else None,
        told=_sized(main.constants.items(), main.outputs),
    )


def read_whisper(folder: Path, there: tuple[str, ...]) -> ModelFacts:
    """Of a CTranslate2 folder. Raises ModelError."""
    weights = ctranslate2.read(folder / ctranslate2.MODEL_FILE)
    if weights.spec != "WhisperSpec":
        raise ModelError(
            f"{str(folder)!r} is a CTranslate2 model of kind {weights.spec!r}; of those, "
            "Whisper's (WhisperSpec) are read"
        )
    Document.read(folder / pretrained.CONFIG)
    embeddings = weights.shape("decoder/embeddings/weight")
    vocabulary = embeddings[0] if embeddings else None
    heads = weights.variables.get("encoder/num_heads")
    return ModelFacts(
        path=str(folder.absolute()),
        weights=(str(weights.path.absolute()),),
        format="ctranslate2",
        task="transcribe",
        architecture="whisper",
        size_bytes=weights.size_bytes,
        parameters=weights.parameters,
        quantization=weights.compute_type,
        context_length=next(iter(weights.shape("decoder/position_encodings/encodings")), whisper.TEXT_CONTEXT),
        layers=sizes((name, item.shape) for name, item in weights.variables.items() if "encoder" in name).layers,
        embedding_length=embeddings[1] if len(embeddings) == 2 else None,
        heads=heads.scalar if heads else None,
        vocabulary=vocabulary,
        languages=whisper.of_vocabulary(whisper.vocabulary(folder, there), vocabulary),
    )


def _facts(
    described: Described,
    *,
    path: Path,
    weights: tuple[Path, ...],
    format: Format,
    task: Task,
    size_bytes: int,
    parameters: int,
    quantization: str | None,
    told: Sizes,
) -> ModelFacts:
    """What the files beside the weights say, and where they are silent, what the weights tell."""
    return ModelFacts(
        path=str(path.absolute()),
        weights=tuple(str(file.absolute()) for file in weights),
        format=format,
        task=task,
        architecture=described.architecture,
        size_bytes=size_bytes,
        parameters=parameters,
        quantization=described.quantization or quantization,
        context_length=described.context_length or told.context_length,
        layers=described.layers or told.layers,
        embedding_length=described.embedding_length or told.embedding_length,
        heads=described.heads,
        kv_heads=described.kv_heads,
        key_length=described.key_length,
        value_length=described.value_length,
        feed_forward_length=described.feed_forward_length,
        kv_layers=described.kept.layers,
        window=described.kept.window,
        window_layers=described.kept.window_layers,
        latent_length=described.kept.latent_length,
        rope_theta=described.rope_theta,
        vocabulary=described.vocabulary or told.vocabulary,
        pooling=described.pooling,
        chat_template=described.chat_template,
        labels=described.labels,
        languages=described.languages,
    )


def _parameters(found: Mapping[str, Tensor], bits: int | None) -> int:
    """Weights, those packed into whole numbers counted one by one; what only scales them is not one."""
    total = 0
    for name, tensor in found.items():
        if _SCALES.search(name):
            continue
        if tensor.dtype in _FLOATS:
            total += tensor.elements
        elif bits and tensor.dtype in ("I32", "U32", "U8") and _PACKED.search(name):
            total += tensor.length * 8 // bits
    return total


def _onnx_words(graph: onnx.Graph, counts: Mapping[str, int]) -> str | None:
    """INT8 for whatever is computed or kept in 8 bits, INT4 for 4; else the element type of most weights."""
    if graph.block_bits:
        return f"INT{graph.block_bits}"
    largest = max(counts, key=lambda dtype: counts[dtype], default=None)
    if largest in ("INT4", "UINT4", "INT2", "UINT2"):
        return largest.removeprefix("U")
    if largest in ("INT8", "UINT8") or any(_QUANTIZING_OPS.match(op.rpartition("::")[2]) for op in graph.ops):
        return "INT8"
    return largest


def _sized(weights: Iterable[tuple[str, tuple[int, ...]]], outputs: Sequence[Port]) -> Sizes:
    """The sizes that names tell; how wide the first output is says the width of an embedding."""
    told = sizes(weights)
    width = outputs[0].shape[-1] if outputs and outputs[0].shape and len(outputs[0].shape) > 1 else None
    return told if told.embedding_length or not isinstance(width, int) else told._replace(embedding_length=width)


def _settings_of(graph_file: Path) -> Path:
    """The folder with the config.json of a graph: its own, or the one around `onnx/`."""
    folder = graph_file.absolute().parent
    own = os.path.lexists(folder / pretrained.CONFIG)
    return folder.parent if not own and os.path.lexists(folder.parent / pretrained.CONFIG) else folder
