"""Options that an engine does not have: told where leaving them out is harmless, refused where it is not."""

from collections.abc import Collection, Mapping

from moorage.config.model import EngineOptions, ModelSpec
from moorage.errors import EngineError

COMMON = frozenset({"devices", "env", "extra_args", "prefix_caching"})
"""What the worker sees to, or means nothing where it is not needed."""
PROMISES: Mapping[str, str] = {
    "lora": "the models it names would not be there; take vllm or sglang, or merge the adapter into the model",
    "rope_scaling": "the context would not be stretched; take vllm, sglang or llama-server",
    "tensor_parallel": "one process of it uses one device; take vllm or sglang",
    "pipeline_parallel": "one process of it uses one device; take vllm or sglang",
    "data_parallel": "one process of it holds one copy; raise replicas instead",
}
"""Options that a user relies on: option → why it cannot be left out, and what to do instead."""


def given(options: EngineOptions) -> tuple[str, ...]:
    """The options that say something else than their default."""
    return tuple(name for name in EngineOptions.model_fields if getattr(options, name) != _default(name))


def unused(spec: ModelSpec, engine: str, honoured: Collection[str]) -> tuple[str, ...]:
    """A line for every option given that `engine` does not have. Raises EngineError for one that matters."""
    left = [name for name in given(spec.options) if name not in honoured and name not in COMMON]
    for name in left:
        if name in PROMISES:
            value = getattr(spec.options, name)
            raise EngineError(f"model {spec.name!r}: {engine} has no options.{name} ({value!r}): {PROMISES[name]}")
    return tuple(f"options.{name} is not used: {engine} has no such thing" for name in left)


def _default(name: str) -> object:
    return EngineOptions.model_fields[name].default
