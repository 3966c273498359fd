"""How ONNX Runtime fails when our encoder host runs it."""

from moorage.engines import embedded
from moorage.engines.signatures import Signature

SIGNATURES = (
    Signature(
        name="onnx.no-tokenizer",
        pattern=r"('[^'\n]*') has no tokenizer\.json",
        cause="the folder {0} has no tokenizer.json, without which no text can be read",
        fix="Put the model's tokenizer.json beside its graph, or name a folder that has both",
    ),
    Signature(
        name="onnx.tokenizer",
        pattern=r"('[^'\n]*') is no tokenizer that can be read",
        cause="the tokenizer file {0} is truncated or damaged",
        fix=embedded.AGAIN,
    ),
    Signature(
        name="onnx.damaged",
        pattern=r"[Pp]rotobuf parsing failed|No graph was found|INVALID_PROTOBUF|External data.*(?:size|bound)",
        cause="the ONNX file is truncated or damaged",
        fix=embedded.AGAIN,
        source="https://github.com/microsoft/onnxruntime/issues/10892",
    ),
    Signature(
        name="onnx.broken",
        pattern=r"is truncated|ends within|is broken|must be a JSON|is not valid JSON",
        cause="a file of the model is damaged",
        fix=embedded.AGAIN,
    ),
    Signature(
        name="onnx.not-numbers",
        pattern=r"gives NaN in place of numbers",
        cause="the model's weights are damaged: it gives NaN in place of numbers",
        fix=embedded.AGAIN,
    ),
    Signature(
        name="onnx.operator",
        pattern=r"NOT_IMPLEMENTED[^\n]*?(?:for|node)? ?([A-Z]\w+)\(\d+\)",
        cause="this ONNX Runtime has no operator {0} as the graph wants it",
        fix="Use another export of the model, or its safetensors",
        source="https://github.com/microsoft/onnxruntime/issues/24479",
    ),
    Signature(
        name="onnx.newer",
        pattern=r"[Uu]nsupported model IR version|opset \d+ is under development|[Oo]pset[^\n]*not supported",
        cause="the ONNX file is newer than this ONNX Runtime reads",
        fix="Use a newer Moorage, or an export of an older opset",
        source="https://github.com/microsoft/onnxruntime/issues/20559",
    ),
    Signature(
        name="onnx.memory",
        pattern=r"bad_alloc|bad allocation|[Ff]ailed to allocate|MemoryError|[Cc]annot allocate memory",
        cause="there was not enough memory for the model and its batches",
        fix="Lower options.batch_tokens or options.max_model_len, or take a smaller model",
        source="https://github.com/RVC-Boss/GPT-SoVITS/issues/2105",
    ),
    Signature(
        name="onnx.task",
        pattern=r"moorage: ([^\n]*): set its task to ([a-z]+)",
        cause="{0}",
        fix="Set the model's task to what its files make it",
    ),
    embedded.socket_taken("onnx"),
    Signature(
        name="onnx.library",
        pattern=r"No module named '(onnxruntime|tokenizers|numpy)'|GLIBC_[0-9.]+' not found",
        cause="the libraries of the encoder runtime cannot be loaded",
        fix="Install Moorage again with its dependencies on a system that their wheels are made for",
    ),
)

OTHERWISE = (embedded.last_words("onnx", "Correct what it names, or take another export of the model"),)
"""What is asked when nobody knows the failure."""
