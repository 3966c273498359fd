"""Reading an engine's Prometheus metrics."""

import math
from collections.abc import Mapping

from moorage.core.ports import Engine, Launch
from moorage.errors import UpstreamBroken
from moorage.http.client import Client
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
    return engine.observe(parse(text.decode(errors="replace")))


def parse(text: str) -> Mapping[str, float]:
    """Metric name → value, summed over labels. Histogram buckets and what is no number are left out."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        if not line or line[0] == "#":
            continue
        labelled, brace, rest = line.rpartition("}")
        name = labelled.partition("{")[0] if brace else line.partition(" ")[0]
        words = rest.split() if brace else line.split()[1:]
        if not words or name.endswith("_bucket"):
            continue
        try:
            value = float(words[0])
        except ValueError:
            continue
        if math.isfinite(value):
            sums[name.strip()] = sums.get(name.strip(), 0.0) + value
    return sums
