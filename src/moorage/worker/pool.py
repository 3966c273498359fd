"""This machine's accelerators and memory, and which replica holds what of them."""

from moorage.core.devices import TAKEN, Hold, Wish, grant
from moorage.core.memory import OWN_BYTES, MemoryEstimate
from moorage.core.text import human
from moorage.errors import EngineError
from moorage.wire.control import Machine


class MachinePool:
    """Bookkeeping of one worker, no I/O. What a replica holds is in its record too, and comes back with it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._holds: dict[str, Hold] = {}
        self._bytes: dict[str, int] = {}

    def take(self, replica: str, wish: Wish) -> Hold:
        """Devices, instead of what the replica may hold already. Raises EngineError with who is in the way."""
        others = {holder: hold for holder, hold in self._holds.items() if holder != replica}
        self._holds[replica] = hold = grant(self._machine.devices, others, wish)
        return hold

    def reserve(self, replica: str, need: MemoryEstimate | None) -> None:
        """Memory of the machine beside the other replicas. Raises EngineError where it would be too little for all.

        One alone is not refused: whether the machine will do for it is its engine's to say.
        """
        wanted = need.started_bytes if need is not None else 0
        others = {holder: taken for holder, taken in self._bytes.items() if holder != replica and taken}
        there = self._machine.memory_bytes - OWN_BYTES
        if wanted and others and sum(others.values()) + wanted > there:
            raise EngineError(
                f"it needs {human(wanted)} of memory, and of the {human(there)} this machine has for engines "
                f"{len(others)} others have {human(sum(others.values()))}: run fewer replicas or models, or lower "
                "options.max_sequences or options.max_model_len",
                code=TAKEN,
            )
        self._bytes[replica] = wanted

    def restore(self, replica: str, hold: Hold | None, need: MemoryEstimate | None = None) -> None:
        """What a replica that outlived its worker has, whether we would give it again or not."""
        if hold is not None:
            self._holds[replica] = hold
        self._bytes[replica] = need.started_bytes if need is not None else 0

    def release(self, replica: str) -> None:
        self._holds.pop(replica, None)
        self._bytes.pop(replica, None)
