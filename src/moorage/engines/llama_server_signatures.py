"""How llama-server dies, by what it writes."""

from moorage.engines.embedded import AGAIN
from moorage.engines.signatures import Signature

SIGNATURES = (
    Signature(
        name="llama-server.architecture",
        pattern=r"unknown model architecture: '([^']*)'",
        cause="this llama-server does not know models of the architecture {0!r}",
        fix="Install a newer one, or take another model",
        source="https://github.com/ollama/ollama/issues/18486",
    ),
    Signature(
        name="llama-server.truncated",
        pattern=r"data is not within the file bounds|failed to read (?:key-value pairs|tensor|magic)|"
        r"unexpectedly reached end of file|invalid magic",
        cause="the model's file is truncated, damaged or no GGUF file",
        fix=AGAIN,
        source="https://github.com/ggml-org/llama.cpp/pull/6885",
    ),
    Signature(
        name="llama-server.device-memory",
        pattern=r"unable to allocate (?:CUDA|Vulkan|ROCm|SYCL|Metal)\d* buffer|"
        r"allocating [\d.]+ MiB on device (?:\d+): cudaMalloc failed",
        cause="the model does not fit into the memory of the accelerator",
        fix="Lower options.max_model_len or options.max_sequences, set options.kv_cache_dtype to q8_0, give it more "
        "devices (options.pipeline_parallel), or leave layers to the processor with options.extra_args n-gpu-layers",
        source="https://github.com/ggml-org/llama.cpp/issues/20431",
    ),
    Signature(
        name="llama-server.compute-buffers",
        pattern=r"failed to allocate compute buffers|failed to allocate (?:CUDA|CPU|Vulkan|ROCm)\d* buffer of size",
        cause="there was room for the weights, and none for the buffers of the computation",
        fix="Lower options.batch_tokens, options.max_model_len or options.max_sequences",
        source="https://github.com/ggml-org/llama.cpp/pull/26297",
    ),
    Signature(
        name="llama-server.kv-dtype",
        pattern=r"V cache quantization requires flash_attn|quantized V cache was requested, but this requires Flash",
        cause="this model or device cannot quantise the values of its KV cache: that takes flash attention",
        fix="Set options.kv_cache_dtype to f16, or options.attention_backend to on",
        source="https://github.com/ggml-org/llama.cpp/issues/10378",
        remedy={"kv_cache_dtype": "f16"},
    ),
    Signature(
        name="llama-server.socket",
        pattern=r"couldn't bind HTTP server socket, hostname: ([^,\n]+)",
        cause="it could not listen on {0}: another program does, or this version knows no Unix sockets",
        fix="Stop the other program, or install a llama-server of 2025 or later",
        source="https://github.com/mozilla-ai/llamafile/issues/971",
    ),
    Signature(
        name="llama-server.backends",
        pattern=r"no backends are loaded",
        cause="llama-server did not find the libraries that compute (libggml-cpu, libggml-cuda, …)",
        fix="Install them beside it (Debian: libggml0), or name the folder by options.env LD_LIBRARY_PATH",
    ),
    Signature(
        name="llama-server.argument",
        pattern=r"error: invalid argument: (\S+)",
        cause="this llama-server has no flag {0}",
        fix="Take it out of options.extra_args, or install a version that has it",
    ),
    Signature(
        name="llama-server.value",
        pattern=r"error while handling argument \"([^\"]+)\": ([^\n]+)",
        cause="llama-server does not take the value of {0}: {1}",
        fix="Correct options.extra_args",
    ),
    Signature(
        name="llama-server.check",
        pattern=r"GGML_ASSERT\(([^\n]*)\) failed",
        cause="llama-server stopped at a check of its own: {0}",
        fix="Take out what options.extra_args sets, take another file of the model, or another version",
    ),
)
"""Of these, what has no source was seen here."""
