"""What would make one model fit into the room there is: each setting alone, else the first few together."""

from collections.abc import Iterator, Mapping

from moorage.config.model import ModelSpec
from moorage.core.devices import Hold
from moorage.core.facts import ModelFacts
from moorage.serve.fit.change import Change, changed
from moorage.serve.sizing import Sized, least, size
from moorage.wire.control import Machine

CONTEXTS = (131072, 65536, 32768, 24576, 16384, 12288, 8192, 6144, 4096, 3072, 2048, 1024, 512)
CALLS = (128, 64, 32, 16, 8, 4, 2, 1)
KV_DTYPES = ("fp8", "q8_0", "q4_0")
QUANTIZATIONS = ("int8", "fp8", "int4")
PARALLEL = (2, 4, 8, 16)
TOLD = 4
"""Single settings that are told at most."""


class _Room:
    """Tries settings against what is left."""

    def __init__(
        self, spec: ModelSpec, facts: ModelFacts, machine: Machine, held: Mapping[str, Hold], left_bytes: float
    ) -> None:
        self.spec = spec
        self._facts = facts
        self._machine = machine
        self._held = held
        self._left_bytes = left_bytes

        roomy = least(spec, facts, machine)
        launch = roomy.launch if roomy is not None else None
        calls, context = (launch.capacity, launch.max_model_len) if launch is not None else (CALLS[0] + 1, None)
        self.calls = calls
        self.context = context or facts.context_length or CONTEXTS[0] + 1
        now = {"max_sequences": calls, "max_model_len": context} if launch is not None else {}
        self.chosen: dict[str, object] = {
            name: value for name, value in now.items() if value is not None and getattr(spec.options, name) is None
        }
        """Calls and context as they are where nobody set them: less of one would else be more of the other."""

    def takes(self, options: Mapping[str, object]) -> Sized | None:
        """The model with these settings, if it fits."""
        spec = changed(self.spec, Change(model=self.spec.name, options=options))
        found = size(spec, self._facts, self._machine, self._held)
        return None if found.problem or found.processor_bytes > self._left_bytes else found

    def needs(self, options: Mapping[str, object]) -> int | None:
        """Bytes it would take with these settings where there is room for it, of where it computes."""
        spec = changed(self.spec, Change(model=self.spec.name, options=options))
        found = least(spec, self._facts, self._machine)
        return found.memory.least_bytes if found is not None and found.memory is not None else None


def savings(
    spec: ModelSpec, facts: ModelFacts, machine: Machine, held: Mapping[str, Hold], left_bytes: float
) -> tuple[Change, ...]:
    """Changes of which each makes it fit, mildest values first: of one option, else one of several.

    Empty where nothing helps.
    """
    room = _Room(spec, facts, machine, held, left_bytes)
    found: list[Change] = []
    for option, values in _ladders(spec, room):
        options = next((fitting for value in values if (fitting := _with(room, option, value)) is not None), None)
        if options is not None:
            found.append(Change(model=spec.name, options=options))
    return tuple(found[:TOLD]) or _several(spec, room)


def _with(room: _Room, option: str, value: object) -> dict[str, object] | None:
    """The option so that it fits: by itself, or with what is chosen for calls and context held where it is now."""
    for options in ({option: value}, {**room.chosen, option: value}):
        if room.takes(options) is not None:
            return options
    return None


def _several(spec: ModelSpec, room: _Room) -> tuple[Change, ...]:
    """Settings added one after the other, each at the value that saves most, then made milder again where they can."""
    made: dict[str, object] = dict(room.chosen)
    for option, values in _ladders(spec, room):
        needed = room.needs(made)
        for value in reversed(values):
            with_it = room.needs({**made, option: value})
            if with_it is not None and (needed is None or with_it < needed):
                made[option] = value
                break
        if room.takes(made) is not None:
            return (Change(model=spec.name, options=_milder(spec, room, made)),)
    return ()


def _milder(spec: ModelSpec, room: _Room, made: Mapping[str, object]) -> dict[str, object]:
    now = dict(made)
    for option, values in _ladders(spec, room):
        if option in now:
            now[option] = next((v for v in values if v == now[option] or room.takes({**now, option: v})), now[option])
    for option in list(now):
        without = {name: value for name, value in now.items() if name != option}
        if without and room.takes(without) is not None:
            now = without
    return now


def _ladders(spec: ModelSpec, room: _Room) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Options with values of which each takes less than the one before."""
    options = spec.options
    yield "max_sequences", tuple(value for value in CALLS if value < room.calls)
    yield "max_model_len", tuple(value for value in CONTEXTS if value < room.context)
    if options.kv_cache_dtype in ("auto", "f32", "f16", "bf16"):
        yield "kv_cache_dtype", KV_DTYPES
    if options.quantization == "none":
        yield "quantization", QUANTIZATIONS
    width = options.tensor_parallel
    if options.devices is None:
        yield "tensor_parallel", tuple(count for count in PARALLEL if count > width)
