"""The GGUF files of a repository: which are models, in which quantisation and how many parts, which is preferred."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
_LABEL = re.compile(
    r"(?<![A-Z0-9])((?:UD-)?(?:I?Q[1-8](?:_[A-Z0-9]+)*|TQ[12]_0|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32))(?![A-Z0-9])"
)

PREFERENCE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("the usual balance of size and quality", ("Q4_K_M",)),
    (
        "the nearest k-quant of 4 to 8 bits",
        ("Q4_K_L", "Q4_K_XL", "Q4_K_S", "Q4_K", "Q5_K_M", "Q5_K_S", "Q5_K_L", "Q5_K_XL", "Q5_K", "Q6_K", "Q6_K_L",
         "Q6_K_XL", "Q8_K_XL"),
    ),
    ("8 bits", ("Q8_0", "Q8")),
    ("an older kind of 4 or 5 bits", ("Q4_1", "Q4_0", "Q4", "Q5_1", "Q5_0", "Q5", "Q6")),
    ("4 bits", ("IQ4_NL", "IQ4_XS", "MXFP4_MOE", "MXFP4", "NVFP4")),
    ("not quantised", ("BF16", "F16", "FP16", "F32", "FP32")),
    ("below 4 bits", ("Q3_K_L", "Q3_K_XL", "Q3_K_M", "Q3_K_S", "Q3_K", "IQ3_M", "IQ3_S", "IQ3_XS", "IQ3_XXS")),
)  # fmt: skip
"""Which quantisation is taken where none is named, the best first, with the words that say why.
What is not listed comes last; Unsloth's dynamic variants (UD-) come after the plain ones."""

_RANK = {label: rank for rank, label in enumerate(label for _, labels in PREFERENCE for label in labels)}
_WHY = {label: why for why, labels in PREFERENCE for label in labels}


@dataclass(frozen=True)
class Variant:
    """One model of the repository: a file, or all its parts in order."""

    label: str
    """The quantisation, upper case; empty where the name tells none."""
    paths: tuple[str, ...]
    parts: int
    """How many there should be."""

    @property
    def complete(self) -> bool:
        return len(self.paths) == self.parts

    @property
    def why(self) -> str:
        return _WHY.get(self.label.removeprefix("UD-"), "the best of these")

    @property
    def rank(self) -> tuple[int, bool, str]:
        """Smaller is preferred."""
        plain = self.label.removeprefix("UD-")
        return _RANK.get(plain, len(_RANK)), self.label != plain, plain


def is_model(path: str) -> bool:
    """Not the projector of a vision model, nor the notes of a quantiser."""
    name = PurePosixPath(path).name.lower()
    return name.endswith(".gguf") and "mmproj" not in name and "imatrix" not in name


def variants(paths: Iterable[str]) -> list[Variant]:
    """The models among the paths, the preferred one first."""
    groups: dict[tuple[str, int], list[str]] = {}
    for path in sorted(filter(is_model, paths)):
        stem = path[: -len(".gguf")]
        part = _PART.search(stem)
        groups.setdefault((stem[: part.start()], int(part[2])) if part else (stem, 1), []).append(path)
    found = [Variant(_label(stem), tuple(paths), parts) for (stem, parts), paths in groups.items()]
    return sorted(found, key=lambda variant: (variant.rank, variant.paths))


def _label(stem: str) -> str:
    """From the file's name, or else from its folder's."""
    for name in reversed(PurePosixPath(stem.upper()).parts):
        if labels := _LABEL.findall(name):
            return labels[-1]
    return ""
