"""The hot routes: found by this dict before any router is asked."""

from moorage.gateway.call import Surface
from moorage.gateway.surfaces import encoders, openai
from moorage.gateway.surfaces.invocations import INVOCATIONS

HOT: dict[str, Surface] = {surface.path: surface for surface in (*openai.SURFACES, *encoders.SURFACES, INVOCATIONS)}
"""Public path → surface."""
