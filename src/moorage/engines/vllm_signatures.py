"""How vLLM fails to start, by its own words."""

from moorage.engines.signatures import Signature

SIGNATURES: tuple[Signature, ...] = ()
