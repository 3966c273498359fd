"""How llama.cpp fails when our host runs it."""

from moorage.engines import embedded
from moorage.engines.signatures import Signature

SIGNATURES = (
    Signature(
        name="llama.cpp.architecture",
        pattern=r"unknown model architecture: '([^']*)'",
        cause="this llama.cpp does not know the architecture {0!r}",
        fix="Use a model of an architecture it knows, or a newer Moorage",
        source="https://github.com/ollama/ollama/issues/12984",
    ),
    Signature(
        name="llama.cpp.damaged",
        pattern=r"not within the file bounds|failed to read (?:key-value pairs|tensor|magic)|tensor data section|"
        r"unexpectedly reached end of file",
        cause="the model file is truncated or damaged",
        fix=embedded.AGAIN,
        source="https://github.com/moly-ai/moly-local/issues/13",
    ),
    Signature(
        name="llama.cpp.not-gguf",
        pattern=r"invalid magic characters",
        cause="the model file is not a GGUF file",
        fix="Name the .gguf file as the model's source",
        source="https://github.com/OpenBMB/MiniCPM/issues/250",
    ),
    Signature(
        name="llama.cpp.unreadable",
        pattern=r"failed to open GGUF file '([^']*)' \(([^)]*)\)",
        cause="the model file {0} cannot be opened: {1}",
        fix="Check that it is there and may be read by this user",
    ),
    Signature(
        name="llama.cpp.tensors",
        pattern=r"tensor '[^']*' has invalid|check_tensors|check_tensor_dims|wrong number of tensors|missing tensor '",
        cause="the model file does not hold the tensors its architecture needs",
        fix="Fetch it again, or convert it with a newer converter",
        source="https://github.com/ggml-org/llama.cpp/issues/7157",
    ),
    Signature(
        name="llama.cpp.kv-dtype",
        pattern=r"V cache quantization requires|quantized V cache[^\n]* requires|unsupported (?:KV|K/V|cache) type|"
        r"GGML_ASSERT\([^)]*type_[kv]",
        cause="this model cannot use that number format for its KV cache",
        fix="Set options.kv_cache_dtype to f16",
        source="https://github.com/ggml-org/llama.cpp/issues/10378",
        remedy={"kv_cache_dtype": "f16"},
    ),
    Signature(
        name="llama.cpp.kv-cache",
        pattern=r"failed to allocate buffer for kv cache",
        cause="there was not enough memory for the KV cache",
        fix="Lower options.max_model_len or options.max_sequences, or set options.kv_cache_dtype to q8_0",
        source="https://github.com/ggml-org/llama.cpp/issues/8101",
        remedy={"max_model_len": "half"},
    ),
    Signature(
        name="llama.cpp.memory",
        pattern=r"insufficient memory|failed to allocate|std::bad_alloc|MemoryError|[Cc]annot allocate memory",
        cause="there was not enough memory for the model and its buffers",
        fix="Lower options.batch_tokens, options.max_model_len or options.max_sequences, or take a smaller model",
        source="https://github.com/ggml-org/whisper.cpp/pull/4055",
    ),
    embedded.socket_taken("llama.cpp", r"couldn't bind HTTP server socket, hostname: ([^,]+)"),
    Signature(
        name="llama.cpp.extra-args",
        pattern=r"(options\.extra_args\.[^\n]*)",
        cause="{0}",
        fix="Correct options.extra_args of this model",
    ),
    Signature(
        name="llama.cpp.release",
        pattern=r"has no field ('[^']*'): install",
        cause="the installed xllamacpp has no parameter {0}",
        fix="Install the release of xllamacpp that this Moorage is pinned to",
    ),
    Signature(
        name="llama.cpp.library",
        pattern=r"No module named 'xllamacpp'|libstdc\+\+|GLIBC_[0-9.]+' not found",
        cause="the llama.cpp library cannot be loaded",
        fix="Install Moorage again with its dependencies on a system that their wheels are made for",
    ),
    Signature(
        name="llama.cpp.assertion",
        pattern=r"GGML_ASSERT\(([^\n]*)\) failed",
        cause="llama.cpp stopped at a check of its own: {0}",
        fix="Take out what options.extra_args sets, or try another file of the model",
        source="https://github.com/ollama/ollama/issues/13325",
    ),
)
