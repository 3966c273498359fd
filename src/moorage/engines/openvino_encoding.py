"""What the adapter of OpenVINO does with encoders of texts: a host of their own beside the one that generates."""

import importlib.util

from moorage.core.facts import ModelFacts
from moorage.core.ports import Launch, LaunchOrder, Support
from moorage.engines import embedded, encoding
from moorage.engines.encoding_fitting import least_bytes
from moorage.engines.footprints import OPENVINO_ENCODER
from moorage.engines.signatures import Signature
from moorage.wire.control import Machine

ENGINE = "openvino"
HOST = "openvino_encoder"
INSTALL = "pip install 'moorage[openvino]'"
PROGRESS = (embedded.STEPS, embedded.CALLS_FINISHED)
"""Counters of the host that move while it works."""


def supports_encoder(facts: ModelFacts, machine: Machine) -> Support:
    """Of a model whose task is one of encoding.TASKS."""
    if facts.format != "openvino":
        return Support(ok=False, why=f"of encoders it runs OpenVINO IR, this one is {facts.format}")
    if importlib.util.find_spec("openvino") is None:
        return Support(ok=False, why=f"it is not installed: {INSTALL}")
    if refusal := embedded.no_room(least_bytes(facts, OPENVINO_ENCODER), machine):
        return refusal
    words = f"{facts.quantization} " if facts.quantization else ""
    return Support(ok=True, why=f"runs {words}OpenVINO encoders on the CPU", rank=embedded.RANK)


def launch_encoder(order: LaunchOrder) -> Launch:
    """Raises EngineError."""
    return encoding.launch(order, OPENVINO_ENCODER, engine=ENGINE, host=HOST)


SIGNATURES = (
    Signature(
        name="openvino.no-tokenizer",
        pattern=r"('[^'\n]*') has no tokenizer\.json",
        cause="the folder {0} has no tokenizer.json, without which no text can be read",
        fix="Put the model's tokenizer.json beside its config.json, or export the model again with its tokenizer",
    ),
    Signature(
        name="openvino.tokenizer",
        pattern=r"('[^'\n]*') is no tokenizer that can be read",
        cause="the tokenizer file {0} is truncated or damaged",
        fix=embedded.AGAIN,
    ),
    Signature(
        name="openvino.damaged",
        pattern=r"is no OpenVINO IR, or broken|is truncated|ends within|is broken|must be a JSON|is not valid JSON|"
        r"has no weights beside it",
        cause="a file of the model is missing, truncated or damaged",
        fix=embedded.AGAIN,
    ),
    Signature(
        name="openvino.not-numbers",
        pattern=r"gives NaN in place of numbers",
        cause="the model's weights are damaged: it gives NaN in place of numbers",
        fix=embedded.AGAIN,
    ),
    Signature(
        name="openvino.task",
        pattern=r"moorage: ([^\n]*): set its task to ([a-z]+)",
        cause="{0}",
        fix="Set the model's task to what its files make it",
    ),
)
"""How the host of encoders fails; what befalls every use of the library is the adapter's."""
