"""For tests of Moorage and of what is built on it: real servers that fail on demand.

    async with FakeEngine() as engine:
        engine.fault("reset", after=3)

As a process: `python -m moorage.testing.engine`. In a configuration: `engine: moorage.testing.adapter:engine`.
"""

from moorage.testing.faults import KINDS, Fault
from moorage.testing.record import Call, Record
from moorage.testing.server import Behaviour, FakeEngine

__all__ = ["KINDS", "Behaviour", "Call", "FakeEngine", "Fault", "Record"]
