"""How TensorRT-LLM fails to start, by what it writes."""

from moorage.engines.signatures import Signature

SIGNATURES = (
    Signature(
        name="tensorrt-llm.kv-cache",
        pattern=r"insufficient GPU memory\.\s+The following component could not be created: KV cache",
        cause="the weights leave too little memory of a card for the KV cache",
        fix="Lower options.max_model_len or options.max_sequences, raise options.tensor_parallel, or take a more "
        "strongly quantised checkpoint",
        source="https://github.com/NVIDIA/TensorRT-LLM/issues/5872",
    ),
    Signature(
        name="tensorrt-llm.memory",
        pattern=r"insufficient GPU memory\.\s+The following component could not be created: ([^\n]+)",
        cause="the memory of a card does not suffice; what had no room any more: {0}",
        fix="Lower options.memory_fraction, options.batch_tokens or options.max_sequences, or raise "
        "options.tensor_parallel",
        source="https://github.com/NVIDIA/TensorRT-LLM/issues/5950",
    ),
    Signature(
        name="tensorrt-llm.architecture",
        pattern=r"Unknown architecture for AutoModelForCausalLM: (\w+)|"
        r"model architecture (\w+) is not supported in TRT-LLM yet",
        cause="this TensorRT-LLM does not know models of the architecture {0}{1}",
        fix="Install a newer version (moorage engine install tensorrt-llm), or take engine: vllm",
        source="https://github.com/NVIDIA/TensorRT-LLM/issues/2845",
    ),
    Signature(
        name="tensorrt-llm.mpi",
        pattern=r"libmpi\.so[.\d]*: cannot open shared object file",
        cause="TensorRT-LLM needs Open MPI, which is not installed",
        fix="Install it (Debian: libopenmpi-dev), or name its folder in options.env.LD_LIBRARY_PATH",
        source="https://github.com/NVIDIA/TensorRT-LLM/issues/167",
    ),
    Signature(
        name="tensorrt-llm.no-device",
        pattern=r"No GPU devices found on the node",
        cause="TensorRT-LLM sees no accelerator",
        fix="See what moorage doctor says of the cards, and leave options.devices out or name those it lists",
    ),
)
"""What has no source stands so in its own code."""
