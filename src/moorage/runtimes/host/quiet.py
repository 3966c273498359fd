"""Libraries that report on their users are kept from it before they are imported."""

import sys
from types import ModuleType
from typing import cast

TELEMETRY = "openvino_telemetry"
"""Importing openvino imports it, writes `~/intel` and sends an event; no variable of the environment stops that."""


def silence_openvino() -> None:
    """For this process: whatever imports openvino's telemetry from now on meets a module that is not there.

    openvino goes on without it, as where it is not installed (openvino.tools.ovc.telemetry_stub).
    """
    cast("dict[str, ModuleType | None]", sys.modules)[TELEMETRY] = None
