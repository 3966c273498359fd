"""`POST /scale_elastic_ep` and `POST /is_scaling_elastic_ep`: vLLM's, and the same for models without expert
parallelism, whose replicas they count.
"""

from typing import Annotated

from msgspec import Meta, Struct


class ScaleRequest(Struct, kw_only=True, frozen=True):
    model: str | None = None
    """May be left out where there is one model."""
    new_data_parallel_size: Annotated[int, Meta(ge=1, le=64)]
    """Copies of the model that are wanted: data parallel ranks of an engine with elastic expert parallelism, else
    replicas."""
    drain_timeout: Annotated[float, Meta(gt=0, le=86_400)] = 120.0
    """Seconds calls may take to end before ranks go; of replicas, how long to wait for the new number of them."""


class ScaleReply(Struct, kw_only=True, frozen=True):
    message: str


class ScalingQuery(Struct, kw_only=True, frozen=True):
    model: str | None = None


class Scaling(Struct, kw_only=True, frozen=True):
    is_scaling_elastic_ep: bool
