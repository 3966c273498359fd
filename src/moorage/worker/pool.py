"""The accelerators of this machine and which replica holds what of them."""

from collections.abc import Sequence

from moorage.core.devices import Hold, Wish, grant
from moorage.wire.control import Device


class DevicePool:
    """Bookkeeping of one worker, no I/O. What a replica holds is in its record too, and comes back with it."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = tuple(devices)
        self._holds: dict[str, Hold] = {}

    def take(self, replica: str, wish: Wish) -> Hold:
        """Instead of what the replica may hold already. Raises EngineError with who is in the way."""
        others = {holder: hold for holder, hold in self._holds.items() if holder != replica}
        self._holds[replica] = hold = grant(self._devices, others, wish)
        return hold

    def restore(self, replica: str, hold: Hold | None) -> None:
        """What a replica that outlived its worker has, whether we would give it again or not."""
        if hold is not None:
            self._holds[replica] = hold

    def release(self, replica: str) -> None:
        self._holds.pop(replica, None)
