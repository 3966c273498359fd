"""Failures that befall any engine: the machine's, its accelerators', and those of files that Python programs read.

They are asked after an engine's own, by whoever reads its log.
"""

from moorage.engines.signatures import Signature

OOM_KILLED = "the kernel ended a process here because memory had run out"
"""What the worker adds to the log of an engine that died by SIGKILL while the kernel counted such an end."""

_MACHINE = (
    Signature(
        name="machine.shared-memory",
        pattern=r"Error while (?:creating|attaching to) shared memory segment|insufficient shared memory|"
        r"No space left on device[^\n]*/dev/shm",
        cause="there is too little shared memory (/dev/shm) for the engine's processes to talk to each other",
        fix="Give the container more: --shm-size=10g or --ipc=host, on Kubernetes an emptyDir of medium Memory at "
        "/dev/shm",
        source="https://github.com/vllm-project/vllm/issues/4383",
    ),
    Signature(
        name="machine.disk-full",
        pattern=r"No space left on device",
        cause="a disk that the engine writes to is full",
        fix="Make room: moorage doctor shows each folder, moorage models list what the models take",
        source="https://github.com/kijai/ComfyUI-Geowizard/issues/10",
    ),
    Signature(
        name="machine.port-taken",
        pattern=r"[Aa]ddress already in use|EADDRINUSE|\[Errno 98\]",
        cause="a port the engine wants is taken by another program, as happens on the host's own network",
        fix="Stop the other program, or leave ports out of options.extra_args and options.env",
        source="https://github.com/vllm-project/vllm/issues/11617",
        remedy={"port": "another"},
    ),
    Signature(
        name="machine.killed",
        pattern=rf"{OOM_KILLED}|killed by SIGKILL by OOM killer|[Oo]ut of memory: Killed process",
        cause="the kernel ended the engine because the machine or its container ran out of memory",
        fix="Raise the container's limit, take a smaller or more strongly quantised model, or lower "
        "options.max_model_len and options.max_sequences",
        source="https://github.com/vllm-project/vllm/issues/586",
    ),
    Signature(
        name="machine.threads",
        pattern=r"can't start new thread|pthread_create failed[^\n]*Resource temporarily unavailable|"
        r"fork: (?:retry: )?Resource temporarily unavailable",
        cause="the engine may start no more threads or processes",
        fix="Raise the limit of processes: ulimit -u, the container's --pids-limit or the service's TasksMax",
        source="https://github.com/MIC-DKFZ/nnUNet/issues/1343",
    ),
    Signature(
        name="machine.open-files",
        # vLLM warns of it at every start, by the words of the error.
        pattern=r"(?<!errors like `OSError: \[Errno 24\] )Too many open files",
        cause="the engine may open no more files",
        fix="Raise the limit of open files: ulimit -n 65536, or the container's --ulimit nofile=65536:65536",
        source="https://github.com/gpustack/gpustack/issues/2011",
    ),
    Signature(
        name="machine.read-only",
        pattern=r"Read-only file system",
        cause="the engine wants to write to a file system that is read-only",
        fix="Mount a writable folder there, or point it elsewhere by options.env, such as HF_HOME or XDG_CACHE_HOME",
        source="https://github.com/llm-d-incubation/llm-d-modelservice/issues/243",
    ),
    Signature(
        name="machine.permission",
        pattern=r"(?:PermissionError: \[Errno 13\] )?Permission denied: '([^'\n]*)'",
        cause="the user that runs the engine may not use {0!r}",
        fix="Give the folder to that user (chown), or name another by options.env, such as HOME, HF_HOME or "
        "XDG_CACHE_HOME",
        source="https://github.com/odysseus-dev/odysseus/issues/6157",
    ),
    Signature(
        name="machine.instructions",
        pattern=r"killed by SIGILL|[Ii]llegal instruction",
        cause="the engine was built for instructions that this processor lacks",
        fix="Take a build for this processor or another engine; in a virtual machine, pass the host's processor "
        "through; moorage doctor shows what it has",
        source="https://github.com/intel/ipex-llm/issues/12922",
    ),
    Signature(
        name="machine.glibc",
        pattern=r"version `(GLIBC(?:XX)?_[0-9.]+)' not found",
        cause="the engine was built for a newer system: {0} is missing here",
        fix="Run it on a newer distribution or in a container, or install a version that was built for this one",
        source="https://github.com/vllm-project/vllm/issues/41103",
    ),
    Signature(
        name="machine.abi",
        pattern=r"([^\s/]+\.so(?:\.\d+)*): undefined symbol: (\S+)",
        cause="{0} was built against another version of a library it uses (undefined symbol {1})",
        fix="Install the engine anew in an environment of its own, so that its parts fit each other",
        source="https://github.com/huggingface/open-r1/issues/684",
    ),
    Signature(
        name="machine.memory",
        pattern=r"DefaultCPUAllocator: can't allocate memory|[Cc]annot allocate memory|std::bad_alloc|MemoryError",
        cause="there was not enough memory on this machine for the model",
        fix="Take a smaller or more strongly quantised model, lower options.max_model_len or options.max_sequences, "
        "or stop what else uses memory",
        source="https://github.com/vllm-project/vllm/issues/759",
    ),
)

_ACCELERATOR = (
    Signature(
        name="gpu.driver-mismatch",
        pattern=r"[Dd]river/library [Vv]ersion [Mm]ismatch",
        cause="NVIDIA's driver in the kernel and its libraries are of different versions, as after an update without "
        "a restart",
        fix="Restart the machine, or unload and load the nvidia modules",
        source="https://github.com/mozilla/translations/issues/1167",
    ),
    Signature(
        name="gpu.driver-old",
        pattern=r"NVIDIA driver on your system is too old \(found version (\d+)\)|"
        r"CUDA driver version is insufficient for CUDA runtime version",
        cause="the engine was built for a newer CUDA than this NVIDIA driver knows",
        fix="Update the driver (CUDA 12: 525.60.13 or newer, CUDA 13: 580 or newer), or install a build of the engine "
        "for an older CUDA",
        source="https://github.com/modelscope/FunASR/issues/2973",
    ),
    Signature(
        name="gpu.no-driver",
        pattern=r"libcuda\.so(?:\.1)?: cannot open shared object|Found no NVIDIA driver|NVML Shared Library Not Found|"
        r"no CUDA-capable device is detected",
        cause="the engine finds no NVIDIA driver or card",
        fix="Install the driver, in a container start it with --gpus all and the NVIDIA container toolkit; or take an "
        "engine for the processor",
        source="https://github.com/abetlen/llama-cpp-python/issues/1169",
    ),
    Signature(
        name="gpu.no-kernel",
        pattern=r"no kernel image is available for execution on the device|"
        r"CUDA capability (sm_\d+) is not compatible with the current PyTorch",
        cause="the engine has no kernels for this kind of card",
        fix="Install a newer build of the engine for a new card, an older one for an old card",
        source="https://github.com/vllm-project/vllm/issues/14452",
    ),
    Signature(
        name="gpu.memory",
        pattern=r"CUDA out of memory|CUDA_ERROR_OUT_OF_MEMORY|cudaMalloc failed: out of memory",
        cause="the memory of an accelerator does not suffice",
        fix="Stop what else uses the card, lower options.max_model_len or options.max_sequences, raise "
        "options.tensor_parallel, or take a more strongly quantised model",
        source="https://github.com/lllyasviel/FramePack/issues/369",
    ),
    Signature(
        name="gpu.nccl",
        pattern=r"NCCL error|nccl(?:UnhandledCuda|System|Internal|Remote)Error|ncclInvalid(?:Usage|Argument)",
        cause="the cards cannot talk to each other: NCCL failed",
        fix="Set options.env NCCL_DEBUG to INFO to see why; in a container give --ipc=host and --ulimit memlock=-1; "
        "where cards cannot reach each other directly, set NCCL_P2P_DISABLE to 1",
        source="https://github.com/vllm-project/vllm/issues/4618",
    ),
    Signature(
        name="gpu.lost",
        pattern=r"CUDA unknown error|all CUDA-capable devices are busy or unavailable",
        cause="CUDA cannot be started on the cards",
        fix="See what nvidia-smi says; after a suspended or changed driver, unload and load nvidia_uvm or restart the "
        "machine; a card in exclusive mode serves one process",
        source="https://github.com/yeates/PromptFix/issues/5",
    ),
)

_FILES = (
    Signature(
        name="files.safetensors",
        pattern=r"SafetensorError: Error while deserializing header: (\w+(?: \w+){0,3})",
        cause="a safetensors file is truncated, damaged, or the pointer of a repository cloned without git-lfs ({0})",
        fix="Fetch it again: moorage models verify, then moorage models pull; in a clone, git lfs pull",
        source="https://github.com/ShineChen1024/MagicClothing/issues/11",
    ),
    Signature(
        name="files.tokenizer",
        pattern=r"Can't load tokenizer for '|Couldn't instantiate the backend tokenizer",
        cause="the model's folder has no tokenizer that can be read",
        fix="Put tokenizer.json and tokenizer_config.json of the original model beside the weights",
        source="https://github.com/lllyasviel/FramePack/issues/66",
    ),
    Signature(
        name="files.chat-template",
        pattern=r"default chat template is no longer allowed|tokenizer\.chat_template is not set",
        cause="the model's files have no chat template, so that it cannot be asked in messages",
        fix="Take the instruction-tuned variant of the model, or give the engine a template by options.extra_args",
        source="https://github.com/huggingface/transformers/issues/33246",
    ),
    Signature(
        name="files.architecture",
        pattern=r"model type `([^`]*)` but Transformers does not recognize this architecture",
        cause="the engine's Transformers does not know models of type {0!r}",
        fix="Install a newer version of the engine, or take another model",
        source="https://github.com/vllm-project/vllm/issues/36217",
    ),
)

SIGNATURES = (*_MACHINE, *_ACCELERATOR, *_FILES)
