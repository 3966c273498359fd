"""What the adapter of OpenVINO does with encoders of texts: a host of their own beside the one that generates."""

import importlib.util

from moorage.core.facts import ModelFacts
from moorage.core.ports import Launch, LaunchOrder, Support
from moorage.engines import embedded, encoding
from moorage.engines.encoding_fitting import least_bytes
from moorage.engines.footprints import OPENVINO_ENCODER
from moorage.wire.control import Machine

ENGINE = "openvino"
HOST = "openvino_encoder"
PROGRESS = (embedded.STEPS, embedded.CALLS_FINISHED)
"""Counters of the host that move while it works."""


def supports_encoder(facts: ModelFacts, machine: Machine) -> Support:
    """Of a model whose task is one of encoding.TASKS."""
    if facts.format != "openvino":
        return Support(ok=False, why=f"of encoders it runs OpenVINO IR, this one is {facts.format}")
    if importlib.util.find_spec("openvino") is None:
        return embedded.absent(ENGINE)
    if refusal := embedded.no_room(least_bytes(facts, OPENVINO_ENCODER), machine):
        return refusal
    words = f"{facts.quantization} " if facts.quantization else ""
    return Support(ok=True, why=f"runs {words}OpenVINO encoders on the CPU", rank=embedded.RANK)


def launch_encoder(order: LaunchOrder) -> Launch:
    """Raises EngineError."""
    return encoding.launch(order, OPENVINO_ENCODER, engine=ENGINE, host=HOST)
