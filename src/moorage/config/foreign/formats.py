"""Which of the formats a file is in: by what it says, not by its name, except that TOML is only mistral.rs's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moorage.config.foreign import deploy, gateway, mistralrs_json, mistralrs_toml, unified, vllm_flags, vllm_sections
from moorage.config.foreign.converted import Converted
from moorage.config.foreign.rules import Rules


@dataclass(frozen=True)
class Format:
    title: str
    recognised: Callable[[Any], bool]
    convert: Callable[[Any], Converted]
    """Pure. Its notes tell of every key; those of the kind `refused` say why the file cannot be used."""
    rules: Rules
    """For the documentation."""
    foreign: bool = True


NATIVE = Format("moorage.yaml", lambda data: True, gateway.convert, {}, foreign=False)
TOML = Format(mistralrs_toml.TITLE, mistralrs_toml.recognised, mistralrs_toml.convert, mistralrs_toml.TOP)

FORMATS: tuple[Format, ...] = (
    Format(unified.TITLE, unified.recognised, unified.convert, unified.TOP),
    Format(mistralrs_json.TITLE, mistralrs_json.recognised, mistralrs_json.convert, mistralrs_json.TOP),
    TOML,
    Format(deploy.TITLE, deploy.recognised, deploy.convert, deploy.TOP),
    Format(vllm_sections.TITLE, vllm_sections.recognised, vllm_sections.convert, vllm_sections.TOP),
    Format(vllm_flags.TITLE, vllm_flags.recognised, vllm_flags.convert, vllm_flags.FLAGS),
    NATIVE,
)
"""In the order they are asked."""


def detect(data: Any, suffix: str = "") -> Format:
    """The format of a document; `suffix` is the ending of its file's name."""
    if suffix.lower() == ".toml":
        return TOML
    return next(one for one in FORMATS if one.recognised(data))
