"""Reading an engine's Prometheus metrics."""

from moorage.core.ports import Engine, Launch
from moorage.errors import UpstreamBroken
from moorage.http.client import Client
from moorage.telemetry import exposition
from moorage.wire.control import Load

SCRAPE_TIMEOUT_S = 5.0
"""An engine in the middle of a long step answers late; the next scrape waits for this one."""
SCRAPE_MAX_BYTES = 8 * 1024 * 1024


async def scrape(client: Client, engine: Engine, launch: Launch, timeout_s: float = SCRAPE_TIMEOUT_S) -> Load:
    """One reading. Raises MoorageError when the engine does not answer as it should."""
    if not engine.metrics_path:
        return Load()
    async with client.call(
        launch.address, "GET", engine.metrics_path, token=launch.token, timeout_s=timeout_s
    ) as reply:
        if reply.status != 200:
            raise UpstreamBroken(f"{engine.name} answered GET {engine.metrics_path} with {reply.status}")
        text = bytearray()
        async for chunk in reply.chunks():
            text += chunk
            if len(text) > SCRAPE_MAX_BYTES:
                raise UpstreamBroken(f"{engine.name} has more than {SCRAPE_MAX_BYTES} bytes of metrics")
    return engine.observe(exposition.read(text.decode(errors="replace")))
