"""What each engine takes beside the weights' own bytes, as data for `core.memory.estimate`.

Those of llama.cpp, OpenVINO and vLLM on the processor are measured (make bench-memory); the others are what their
documentation and sources say, and stay on the safe side.
"""

from collections.abc import Mapping

from moorage.core.facts import ModelFacts
from moorage.core.memory import GIB, MIB, Footprint, MemoryEstimate, Use, estimate

LLAMACPP = Footprint(
    process_bytes=88 * MIB,
    vocabulary_bytes=220,
    # Of its graph: gate, up and their product, and five vectors of the residual's width; flash attention keeps no
    # scores, and the mask is of 16 bits. Logits are copied out of the graph.
    inner=3.0,
    embedding=5.0,
    logit_copies=1.0,
    mask_bytes=2,
    window="step",
    device_bytes=500 * MIB,
)

ONNX = Footprint(
    process_bytes=96 * MIB,
    # States, queries, keys, values, and the four times wider inner layer; scores and what softmax makes of them.
    embedding=16.0,
    scores=2.0,
    # Halves are computed in 32 bits. Of layers in 8 bits the embedding stays as it is.
    weights={"F16": 2.0, "BF16": 2.0, "FLOAT16": 2.0, "BFLOAT16": 2.0},
    table_bytes=4.0,
)
FASTER_WHISPER = Footprint(
    # Interpreter, CTranslate2, FFmpeg's libraries, the detector of speech.
    process_bytes=256 * MIB,
    # A minute of sound in several shapes, and what decoding keeps of a window.
    sequence_bytes=64 * MIB,
    # Computed in 8 bits on a processor, whatever the files hold, unless they hold whole floats.
    weights={"FLOAT16": 0.5, "BFLOAT16": 0.5},
)

OPENVINO = Footprint(
    process_bytes=220 * MIB,
    vocabulary_bytes=400,
    inner=4.0,
    embedding=8.0,
    # Numbers packed for the processor are there beside those they were read from; halves become floats, twice.
    weights={"F16": 4.4, "BF16": 4.4, "FP16": 4.4, "F32": 2.2, "FP32": 2.2, "": 2.0},
    block_tokens=32,
)
VLLM = Footprint(
    # On the processor three processes (front, engine, one worker), each with torch and the tokenizer; what they share
    # counted once. A tokenizer of 262,144 entries takes 2.4 GB more in all of them than one of 49,152.
    process_bytes=1250 * MIB,
    vocabulary_bytes=11_600,
    inner=3.0,
    embedding=8.0,
    activation_bytes=2,
    logit_copies=1.0,
    nearest={"int4": "int8", "nf4": "int8"},
    block_tokens=128,
    window="blocks",
    device_bytes=900 * MIB,
    graph_bytes=1 * GIB,
    rank_bytes=1300 * MIB,
)
TRANSFORMERS = Footprint(
    process_bytes=1 * GIB, vocabulary_bytes=4800, inner=3.0, embedding=8.0, every_logit=True, logit_copies=1.0,
    device_bytes=700 * MIB,
)  # fmt: skip
SGLANG = Footprint(
    process_bytes=4 * GIB, vocabulary_bytes=9600, inner=3.0, embedding=8.0, activation_bytes=2, logit_copies=1.0,
    device_bytes=900 * MIB, graph_bytes=2 * GIB, rank_bytes=2 * GIB,
)  # fmt: skip
TENSORRT_LLM = Footprint(
    process_bytes=4 * GIB, vocabulary_bytes=9600, inner=3.0, embedding=8.0, activation_bytes=2, logit_copies=1.0,
    block_tokens=32, window="blocks", device_bytes=1200 * MIB, graph_bytes=1 * GIB, rank_bytes=2 * GIB,
)  # fmt: skip
MISTRAL_RS = Footprint(
    process_bytes=300 * MIB, vocabulary_bytes=400, inner=3.0, embedding=8.0, activation_bytes=2, logit_copies=1.0,
    block_tokens=32, device_bytes=500 * MIB, rank_bytes=200 * MIB,
)  # fmt: skip

OPENVINO_ENCODER = Footprint(
    # Measured with MiniLM: ready at 248 MiB in 16 bits and 290 in 32; a step of 2048 tokens in texts of 256 adds 160.
    process_bytes=119 * MIB,
    embedding=26.0,
    scores=3.5,
    # The file is mapped; what is computed with is packed beside it, of halves in 32 bits.
    weights={"FP16": 3.0, "BF16": 3.0, "": 2.0},
)

FOOTPRINTS: Mapping[str, Footprint] = {
    "llama.cpp": LLAMACPP,
    "onnx": ONNX,
    "faster-whisper": FASTER_WHISPER,
    "openvino": OPENVINO,
    "vllm": VLLM,
    "transformers": TRANSFORMERS,
    "sglang": SGLANG,
    "tensorrt-llm": TENSORRT_LLM,
    "mistral.rs": MISTRAL_RS,
}


def need(engine: str, facts: ModelFacts, use: Use) -> MemoryEstimate:
    return estimate(facts, FOOTPRINTS[engine], use)


def least_bytes(
    engine: str, facts: ModelFacts, context: int = 512, step_tokens: int = 32, quantization: str = "none"
) -> int:
    """Memory without which an engine can serve nothing of a model: one short call at a time.

    `quantization` is the strongest that an engine can read the files with, for one that is not told yet what is wanted.
    """
    use = Use(context=context, sequences=1, step_tokens=step_tokens, quantization=quantization)
    return need(engine, facts, use).total_bytes
