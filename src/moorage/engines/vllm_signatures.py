"""How vLLM fails to start, by its own words. What any engine may say is in `shared_signatures`."""

from moorage.engines.signatures import Signature

_MEMORY = (
    Signature(
        name="vllm.kv-cache",
        pattern=r"max seq len \((\d+)\),[^\n]*?larger than the available KV cache memory \(([\d.]+ \w+)\)\.[^\n]*?"
        r"estimated maximum model length is (\d+)",
        cause="a call of {0} tokens does not fit into the KV cache, for which {1} are left",
        fix="Set options.max_model_len to {2} or less, or raise options.memory_fraction or options.tensor_parallel",
        source="https://github.com/vllm-project/vllm/issues/34076",
        remedy={"max_model_len": "{2}"},
    ),
    Signature(
        name="vllm.kv-cache-unsized",
        pattern=r"max seq len \((\d+)\),[^\n]*?larger than the available KV cache memory \(([\d.]+ \w+)\)",
        cause="a call of {0} tokens does not fit into the KV cache, for which {1} are left",
        fix="Lower options.max_model_len, or raise options.memory_fraction or options.tensor_parallel",
        source="https://github.com/vllm-project/vllm/issues/16118",
        remedy={"max_model_len": "half"},
    ),
    Signature(
        name="vllm.kv-cache-tokens",
        pattern=r"max seq len \((\d+)\) is larger than the maximum number of tokens that can be stored in KV cache "
        r"\((\d+)\)",
        cause="the KV cache holds {1} tokens, and a call may have {0}",
        fix="Set options.max_model_len to {1} or less, or raise options.memory_fraction or options.tensor_parallel",
        source="https://github.com/vllm-project/vllm/issues/2418",
        remedy={"max_model_len": "{1}"},
    ),
    Signature(
        name="vllm.no-cache-memory",
        pattern=r"No available memory for the cache blocks",
        cause="the weights and a step leave no memory for any KV cache",
        fix="Raise options.memory_fraction if the cards are free, else options.tensor_parallel; or take a more "
        "strongly quantised model",
        source="https://github.com/vllm-project/vllm/issues/2248",
    ),
    Signature(
        name="vllm.device-taken",
        pattern=r"Free memory on device[^\n(]*\(([\d.]+)/([\d.]+) GiB\) on startup is less than desired GPU memory "
        r"utilization \(([\d.]+), ([\d.]+) GiB\)",
        cause="{0} of {1} GiB of the card are free, and vLLM was to take {3} GiB ({2} of all)",
        fix="Stop what else uses the card (nvidia-smi shows it), or set options.memory_fraction to a smaller share",
        source="https://github.com/pytorch/pytorch/issues/175666",
    ),
    Signature(
        name="vllm.processor-memory",
        pattern=r"Available memory on node \d+ \(([\d.]+)/([\d.]+) GiB\) on (?:startup|kv cache allocation) is "
        r"less than",
        cause="{0} of {1} GiB of this machine's memory are free, and vLLM was to take more",
        fix="Stop what else uses memory, lower options.max_model_len, or set options.memory_fraction to a smaller "
        "share",
    ),
    Signature(
        name="vllm.warm-up",
        pattern=r"CUDA out of memory occurred when warming up sampler with (\d+) dummy requests",
        cause="{0} calls at once do not fit beside the KV cache",
        fix="Lower options.max_sequences or options.memory_fraction",
        source="https://github.com/vllm-project/vllm/issues/17939",
        remedy={"max_sequences": "half"},
    ),
)

_MODEL = (
    Signature(
        name="vllm.architecture",
        pattern=r"Model architectures \['([^']*)'[^\]]*\] (?:are not supported for now|failed to be inspected)|"
        r"([A-Z]\w+) has no vLLM implementation",
        cause="this vLLM cannot run models of the architecture {0}{1}",
        fix="Install a newer one (moorage engine install vllm), or take another engine or model",
        source="https://github.com/vllm-project/vllm/issues/10990",
    ),
    Signature(
        name="vllm.remote-code",
        pattern=r"[Pp]lease pass the argument `trust_remote_code=True`|contains custom code which must be executed|"
        r"set the option `trust_remote_code=True`",
        cause="the model's files bring Python code of their own, which is not run unless you say so",
        fix="Read that code, and if you trust its authors set options.trust_remote_code to true",
        source="https://github.com/vllm-project/vllm/issues/5244",
    ),
    Signature(
        name="vllm.heads",
        pattern=r"Total number of attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        cause="{0} attention heads cannot be shared by {1} devices",
        fix="Set options.tensor_parallel to a divisor of {0}, and use further devices by options.pipeline_parallel or "
        "replicas",
        source="https://github.com/vllm-project/vllm/issues/2652",
    ),
    Signature(
        name="vllm.quantization-mismatch",
        pattern=r"model config \(([^)]*)\) does not match the quantization method specified in the "
        r"`?quantization`? argument \(([^)]*)\)",
        cause="the files are quantised as {0}, and vLLM was told {1}",
        fix="Leave options.quantization out: what the files are is read from them",
        source="https://github.com/vllm-project/vllm/issues/5842",
    ),
    Signature(
        name="vllm.bfloat16",
        pattern=r"Bfloat16 is only supported on GPUs with compute capability of at least [\d.]+\. Your ([^.\n]*?) GPU "
        r"has compute capability ([\d.]+)",
        cause="the model is in bfloat16, which {0} (compute capability {1}) does not compute",
        fix="Set options.dtype to float16",
        source="https://github.com/vllm-project/vllm/issues/1157",
        remedy={"dtype": "float16"},
    ),
    Signature(
        name="vllm.length",
        pattern=r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len "
        r"\([\w.]*=?(\d+)",
        cause="calls of {0} tokens were asked for, and the model reads {1}",
        fix="Set options.max_model_len to {1} or less, or stretch it with options.rope_scaling",
        remedy={"max_model_len": "{1}"},
    ),
    Signature(
        name="vllm.no-weights",
        pattern=r"Cannot find any model weights with [`'\"]?([^`'\"\n]*)",
        cause="the folder {0} has no weights that vLLM reads",
        fix="Name a folder with safetensors, whole: moorage models verify",
    ),
    Signature(
        name="vllm.adapter",
        pattern=r"Loading lora (\S+) failed: ([^\n']*)|((?:LoRA rank|\w+ does not support LoRA)[^\n]*)",
        cause="an adapter cannot be loaded: {0} {1}{2}",
        fix="Take it out of options.lora, or name the folder of an adapter made for this model",
    ),
)

_PLACE = (
    Signature(
        name="vllm.no-device",
        pattern=r"Failed to infer device type",
        cause="this vLLM was built for accelerators, and finds none it can use",
        fix="See that nvidia-smi works for this user; for the processor install its build: moorage engine install vllm",
        source="https://github.com/vllm-project/vllm/issues/12847",
    ),
    Signature(
        name="vllm.port-variable",
        pattern=r"VLLM_PORT '([^'\n]*)' appears to be a URI",
        cause="the variable VLLM_PORT is {0!r}, as Kubernetes writes it for a service called vllm",
        fix="Give the service another name, or set enableServiceLinks to false; leave VLLM_PORT out of options.env",
        source="https://github.com/vllm-project/vllm/issues/34199",
    ),
    Signature(
        name="vllm.flag",
        pattern=r"vllm[^\n]*: error: unrecognized arguments: ([^\n]+)",
        cause="this vLLM has no flag {0}",
        fix="Correct options.extra_args of this model: vllm serve --help=all lists what it has",
    ),
)

SIGNATURES = (*_MEMORY, *_MODEL, *_PLACE)
