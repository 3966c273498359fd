"""How OpenVINO fails when our encoder host runs it; what befalls the host that generates is told elsewhere."""

from moorage.engines import embedded
from moorage.engines.signatures import Signature

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
        name="openvino.operator",
        pattern=r"Cannot create (\S+) layer[^\n]*from unsupported opset: (\S+)|"
        r"Opset (\S+) doesn't contain the operation with type: (\S+)",
        cause="this OpenVINO has no operator {0}{3} of {1}{2}: the model was exported for another release",
        fix="Export the model again with the release of OpenVINO that is installed here, or install a newer Moorage",
        source="https://github.com/dacquaviva/yolov5-openvino-cpp-python/issues/5",
    ),
    Signature(
        name="openvino.shape",
        pattern=r"('[^'\n]*') takes ('[^'\n]*') only in the shape (\[[^\]\n]*\])",
        cause="the graph {0} takes texts of one shape only: {2}",
        fix="Export it without fixed sizes, so that batch and length may vary",
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
