"""Kinds of values that several bodies share, with their bounds."""

from typing import Annotated, Any

from msgspec import Meta

Json = dict[str, Any]
Count = Annotated[int, Meta(ge=1, le=1 << 31)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Repetition = Annotated[float, Meta(ge=0.01, le=10)]
Share = Annotated[float, Meta(ge=0, le=1)]
Seed = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
Choices = Annotated[int, Meta(ge=1, le=128)]
TokenId = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
Bias = Annotated[float, Meta(ge=-100, le=100)]
Stop = Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=16)]
REFUSED = Meta(extra_json_schema={"enum": [None], "deprecated": True})
"""Of a field that is read only to be refused by name."""
