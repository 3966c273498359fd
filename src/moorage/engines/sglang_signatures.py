"""How SGLang fails to start, by what it writes."""

from moorage.engines.signatures import Signature

SIGNATURES = (
    Signature(
        name="sglang.kernels",
        pattern=r"Could not load any common_ops library!",
        cause="SGLang's own kernels (sgl-kernel) cannot be loaded: a library of the system or of CUDA is missing, or "
        "they were built for another torch",
        fix="Its lines on the previous attempts name the library: install it (libnuma1, the CUDA runtime it was built "
        "for), or install the engine anew: moorage engine install sglang",
        source="https://github.com/sgl-project/sglang/issues/29646",
    ),
    Signature(
        name="sglang.no-compiler",
        pattern=r"fatal error: cuda_fp8\.h:|[Cc]ould not find nvcc|nvcc: (?:command )?not found|"
        r"Ninja is required to load",
        cause="FlashInfer wants to compile kernels for this card, and there is no CUDA compiler",
        fix="Set options.attention_backend to triton, or install the CUDA toolkit (nvcc) and ninja and name the folder "
        "in options.env.CUDA_HOME",
        source="https://github.com/sgl-project/sglang/issues/3830",
    ),
    Signature(
        name="sglang.graphs-memory",
        pattern=r"Capture cuda graph failed: CUDA out of memory",
        cause="there was room for weights and KV cache, and none for recording the computation (CUDA graphs)",
        fix="Lower options.memory_fraction or options.max_sequences, or set options.cuda_graphs to false",
        source="https://github.com/sgl-project/sglang/issues/5285",
        remedy={"cuda_graphs": "false"},
    ),
    Signature(
        name="sglang.graphs",
        pattern=r"Capture cuda graph failed: ([^\n]+)",
        cause="recording the computation (CUDA graphs) failed: {0}",
        fix="Set options.cuda_graphs to false, or options.attention_backend to triton",
        source="https://github.com/sgl-project/sglang/issues/4205",
        remedy={"cuda_graphs": "false"},
    ),
    Signature(
        name="sglang.kv-cache",
        pattern=r"Not enough memory\. Please try to increase --mem-fraction-static",
        cause="the weights leave no room for a KV cache within the share of memory SGLang may use",
        fix="Raise options.memory_fraction, raise options.tensor_parallel, or take a more strongly quantised model",
        source="https://github.com/sgl-project/sglang/issues/4330",
    ),
    Signature(
        name="sglang.architecture",
        pattern=r"Model architectures \['([^']+)'[^\]]*\] are not supported for now",
        cause="this SGLang does not know models of the architecture {0}",
        fix="Install a newer version (moorage engine install sglang), or take engine: vllm",
        source="https://github.com/sgl-project/sglang/issues/5441",
    ),
    Signature(
        name="sglang.context",
        pattern=r"ValueError: [^\n]*context_length \((\d+)\) is greater than the derived context_length \((\d+)\)",
        cause="the context of {0} tokens is longer than the {1} of the model's files",
        fix="Set options.max_model_len to {1} or less, or stretch it with options.rope_scaling",
    ),
    Signature(
        name="sglang.heads",
        pattern=r"AssertionError: (\d+) is not divisible by (\d+)",
        cause="the model's {0} heads (or columns) cannot be shared among {1} cards",
        fix="Set options.tensor_parallel to a number that divides its heads, such as 1, 2 or 4; the other cards can "
        "take options.pipeline_parallel",
    ),
)
"""What has no source stands so in its own code."""
