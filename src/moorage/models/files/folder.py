"""Facts of a model's folder: which format its weights are in, and what they and the files beside them say.

Of several formats in one folder the first of these counts: a single GGUF; for encoders ONNX; safetensors; ONNX;
OpenVINO; CTranslate2.
"""

from pathlib import Path

from moorage.core.facts import ModelFacts
from moorage.errors import ModelError
from moorage.models.files import ctranslate2, formats, gguf_model, onnx, openvino, pretrained, safetensors, whisper
from moorage.models.files.opening import LFS_POINTER, listing

_READ_BY_ENGINES = (".json", ".safetensors", ".onnx", ".onnx_data", ".bin", ".txt", ".model", ".gguf", ".xml", ".jinja")
_POINTER_BYTES = 1024
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_OTHER_WEIGHTS = (".h5", ".msgpack", ".tflite", ".ot", ".mlmodel", ".nemo", ".llamafile")


def read(folder: Path) -> ModelFacts:
    """Raises ModelError: no model, half a model, a format that is not read, a broken file."""
    there = listing(folder)
    _check_pointers(folder, there)
    ggufs = gguf_model.models_in(folder, there)
    if len(ggufs) == 1:
        return gguf_model.read(ggufs[0])
    described = pretrained.describe(folder, there)
    base = described.sentence.transformer
    if (graph := onnx.model_file(base)) and described.task in (None, "embed", "rerank", "classify"):
        return formats.read_onnx(graph, folder, described)
    if shards := safetensors.files(base):
        if not described.config:
            raise ModelError(_undescribed(base, there))
        return formats.read_safetensors(folder, described, shards)
    if graph:
        return formats.read_onnx(graph, folder, described)
    if graphs := openvino.find(base):
        return formats.read_openvino(folder, described, graphs)
    if ctranslate2.MODEL_FILE in there and pretrained.CONFIG in there and whisper.has_vocabulary(there):
        return formats.read_whisper(folder, there)
    if ggufs:
        names = ", ".join(path.name for path in ggufs)
        raise ModelError(f"{str(folder)!r} has {len(ggufs)} GGUF models: {names}; name one of these files")
    raise ModelError(_no_model(folder, there))


def _check_pointers(folder: Path, there: tuple[str, ...]) -> None:
    """Raises ModelError for a file that git-lfs has not fetched: an engine would meet it only when it starts."""
    for name in there:
        path = folder / name
        try:
            if not name.endswith(_READ_BY_ENGINES) or not path.is_file() or path.stat().st_size > _POINTER_BYTES:
                continue
            with path.open("rb") as file:
                beginning = file.read(len(LFS_POINTER))
        except OSError:
            continue  # whoever needs the file says what is wrong with it
        if beginning == LFS_POINTER:
            raise ModelError(
                f"{str(folder)!r} is not whole: {name!r} is a git-lfs pointer; run git lfs pull there to get the files"
            )


def _no_model(folder: Path, there: tuple[str, ...]) -> str:
    shown = repr(str(folder))
    if not there:
        return f"{shown} is an empty folder"
    if "adapter_config.json" in there:
        return _undescribed(folder, there)
    if pickles := [name for name in there if name.endswith(_PICKLES) and name != "training_args.bin"]:
        return (
            f"{shown} has its weights only as PyTorch pickles ({pickles[0]}), which are not read, because reading one "
            "runs what code it brings; get the model as safetensors or GGUF"
        )
    if others := [name for name in there if name.endswith(_OTHER_WEIGHTS)]:
        return (
            f"{shown} has its weights in a format that is not read ({others[0]}); get the model as safetensors or GGUF"
        )
    if pretrained.CONFIG in there:
        return f"{shown} has a config.json and no weights beside it; fetch the whole model"
    kinds = "GGUF, safetensors, ONNX, OpenVINO IR, CTranslate2 Whisper"
    return f"{shown} has no model in it ({kinds}); it has {', '.join(there[:5])}{', …' if len(there) > 5 else ''}"


def _undescribed(base: Path, there: tuple[str, ...]) -> str:
    if "adapter_config.json" in there:
        return f"{str(base)!r} is an adapter (LoRA) that goes with a model, not a model; name the model"
    return f"{str(base)!r} has weights and no config.json, which says what they are; fetch the whole model"
