"""Four gateways, one engine: together they never give it more than its capacity and one, and waste none of it."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from moorage.http.client import Client
from tests.e2e.product import Product

pytestmark = pytest.mark.engine


async def test_four_gateways_share_the_seats(short_tmp: Path, chat_weights: Path) -> None:
    model = {
        "name": "m", "source": str(chat_weights), "engine": "moorage.testing.adapter:engine",
        "options": {"max_sequences": 4, "extra_args": {"prompt_delay_s": 0.05, "slots": 100}},
    }  # fmt: skip
    # One gateway may happen to get all the connections.
    config = {"server": {"processes": 4}, "workers": {"queue_size": 200}, "models": [model]}
    product = Product(short_tmp, config).start().ready()
    with product:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}

        async def one() -> int:
            # A connection of its own: calls land on all gateways.
            async with aiohttp.ClientSession() as session:
                async with session.post(f"{product.url}/v1/chat/completions", json=body) as reply:
                    await reply.read()
                    return reply.status

        statuses = await asyncio.gather(*(one() for _ in range(120)))
        assert set(statuses) == {200}
        run = next((short_tmp / "state").glob("serve-*/run/r-*"))
        (socket,) = [path for path in run.glob("*.sock") if path.name != "keeper.sock"]
        async with Client() as client, client.call(f"unix:{socket}", "GET", "/_state", timeout_s=5) as reply:
            state = json.loads(await reply.read())
        assert state["finished"] == 120
        assert 4 <= state["running_max"] <= 5
