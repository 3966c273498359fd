"""How OpenVINO GenAI fails when our host runs it. Files that are damaged the host refuses before."""

from moorage.engines import embedded
from moorage.engines.libraries import LIBRARIES
from moorage.engines.signatures import Signature

LLAMA_CPP = "Run the model with engine: llama.cpp, or take another file of it"

SIGNATURES = (
    Signature(
        name="openvino.gguf-numbers",
        pattern=r"gguf_tensor_to_f16 failed|Unsupported quantization type",
        cause="OpenVINO GenAI cannot read the number format of a tensor of this GGUF file",
        fix=f"{LLAMA_CPP}, such as Q8_0",
        source="https://github.com/openvinotoolkit/model_server/issues/4046",
    ),
    Signature(
        name="openvino.gguf-keys",
        pattern=r"could not load [^\n]*\.gguf: (?:unordered_map::at|map::at|std::get)",
        cause="the GGUF file lacks what OpenVINO GenAI looks for in its header",
        fix=LLAMA_CPP,
    ),
    Signature(
        name="openvino.no-graph",
        pattern=r"there is no file ('[^'\n]*openvino_(?:tokenizer|detokenizer)\.xml')",
        cause="the model's folder has no {0}, without which no text can be read or written",
        fix="Export the model again with its tokenizer: optimum-cli export openvino, beside openvino-tokenizers",
    ),
    Signature(
        name="openvino.memory",
        pattern=r"OpenVINO GenAI could not load [^\n]*(?:more memory than available|bad_alloc|[Aa]llocat|MemoryError)",
        cause="there was not enough memory for the model and its KV cache",
        fix="Lower options.max_model_len or options.max_sequences, or take a smaller model",
    ),
    Signature(
        name="openvino.property",
        pattern=r"Unsupported property (\w+) by CPU plugin|Wrong value [^\n]*for property key (\w+)",
        cause="OpenVINO has no property {0}{1}, or not with that value",
        fix="Correct options.extra_args of this model",
    ),
    Signature(
        name="openvino.extra-args",
        pattern=r"moorage: (options\.extra_args\.(?:INFERENCE|KV_CACHE|sampler)_[^\n]*)",
        cause="{0}",
        fix="Correct options.extra_args of this model",
    ),
    embedded.socket_taken("openvino"),
    Signature(
        name="openvino.library",
        pattern=r"No module named '(openvino_genai|openvino)'",
        cause="the libraries of OpenVINO are not installed ({0} is missing)",
        fix=f"Install them: {LIBRARIES['openvino'].install}",
    ),
    Signature(
        name="openvino.step",
        pattern=r"OpenVINO GenAI failed in a step: ([^\n]*)",
        cause="OpenVINO GenAI failed while it worked: {0}",
        fix="It is started again; if it happens again with the same model, run it with engine: llama.cpp",
    ),
    embedded.last_words("openvino", "Correct what it names, or run the model with engine: llama.cpp"),
)
