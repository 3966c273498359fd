"""How mistral.rs fails to start, by what it writes."""

from moorage.engines.signatures import Signature

SIGNATURES = (
    Signature(
        name="mistralrs.toolkit",
        pattern=r"DriverError\(CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        cause="this mistral.rs was built with a newer CUDA than the card's driver knows",
        fix="Update the driver, or build it with a CUDA that nvidia-smi shows or an older one",
        source="https://github.com/EricLBuehler/mistral.rs/issues/867",
    ),
    Signature(
        name="mistralrs.card",
        pattern=r"DriverError\(CUDA_ERROR_(?:INVALID_PTX|NO_BINARY_FOR_GPU)",
        cause="this mistral.rs was built for another kind of card",
        fix="Build it for this one: CUDA_COMPUTE_CAP=80 for an A100, 86 for an RTX 3090, 89 for an RTX 4090 or L4, 90 "
        "for an H100",
        source="https://github.com/EricLBuehler/mistral.rs/issues/850",
    ),
    Signature(
        name="mistralrs.device-memory",
        pattern=r"DriverError\(CUDA_ERROR_OUT_OF_MEMORY",
        cause="the memory of an accelerator does not suffice",
        fix="Lower options.memory_fraction, options.max_model_len or options.max_sequences, set options.quantization "
        "to int4, or raise options.tensor_parallel",
        source="https://github.com/EricLBuehler/mistral.rs/issues/44",
    ),
    Signature(
        name="mistralrs.architecture",
        pattern=r"Unsupported Hugg+ing Face Transformers -CausalLM model class `(\w+)`",
        cause="this mistral.rs does not know models of the architecture {0}, or knows them for pictures alone",
        fix="Install a newer one, or take engine: vllm or llama-server",
        source="https://github.com/EricLBuehler/mistral.rs/issues/1292",
    ),
    Signature(
        name="mistralrs.flag",
        pattern=r"error: unexpected argument '([^']+)' found",
        cause="this mistral.rs has no flag {0}",
        fix="Take it out of options.extra_args, or install a version that has it",
    ),
)
"""What has no source stands so in the library it reads its command line with."""
