"""What Moorage calls of onnxruntime 1.31, an untyped library."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

__version__: str

def disable_telemetry_events() -> None: ...

class SessionOptions:
    inter_op_num_threads: int
    intra_op_num_threads: int
    log_severity_level: int
    enable_cpu_mem_arena: bool
    enable_mem_pattern: bool
    def add_session_config_entry(self, key: str, value: str, /) -> None: ...

class RunOptions:
    terminate: bool
    """Set from another thread, it makes a run end with an error at its next operator."""

class NodeArg:
    name: str
    type: str
    shape: Sequence[int | str | None]

class InferenceSession:
    def __init__(
        self, path_or_bytes: str | bytes, sess_options: SessionOptions | None = None, providers: Sequence[str] = ...
    ) -> None: ...
    def get_inputs(self) -> list[NodeArg]: ...
    def get_outputs(self) -> list[NodeArg]: ...
    def run(
        self,
        output_names: Sequence[str] | None,
        input_feed: Mapping[str, NDArray[Any]],
        run_options: RunOptions | None = None,
    ) -> list[NDArray[Any]]: ...
