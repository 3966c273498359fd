"""The fake engine as a process: `python -m moorage.testing.engine --uds PATH`, or `--port N`.

Prints its address on a line of stdout when it listens. Every field of `Behaviour` is an option.
The token may also come from the environment, MOORAGE_FAKE_TOKEN.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from moorage.testing.faults import Fault
from moorage.testing.server import Behaviour, FakeEngine

TOKEN_VARIABLE = "MOORAGE_FAKE_TOKEN"


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m moorage.testing.engine", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--uds", default="", metavar="PATH", help="listen on this Unix socket")
    where.add_argument("--port", type=int, help="listen on this port of 127.0.0.1; 0 takes a free one")
    parser.add_argument("--fault", action="append", default=[], help="such as 'stall after=3'; may be repeated")
    parser.add_argument("--fail", metavar="MESSAGE", help="say so on stderr and end with code 1, as a failed load does")
    parser.add_argument(
        "--room", type=int, metavar="TOKENS", help="end as vLLM does whose KV cache has no room for --max-model-len"
    )
    hints = get_type_hints(Behaviour)
    for field in fields(Behaviour):
        option = "--" + field.name.replace("_", "-")
        if hints[field.name] is bool:
            parser.add_argument(option, action="store_true")
        else:
            default = os.environ.get(TOKEN_VARIABLE, "") if field.name == "token" else field.default
            parser.add_argument(option, type=_converter(hints[field.name]), default=default)
    return parser.parse_args(argv)


def _converter(hint: Any) -> Callable[[str], Any]:
    number = next((kind for kind in (int, float) if hint is kind or kind in get_args(hint)), None)
    return number or str


NO_ROOM = (
    "ValueError: To serve at least one request with the models's max seq len ({wanted}), (1.75 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (0.49 GiB). Based on the available memory, the estimated "
    "maximum model length is {room}. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when "
    "initializing the engine."
)
"""vLLM's own words (v1/core/kv_cache_utils.py)."""


async def serve(options: argparse.Namespace) -> None:
    behaviour = {field.name: getattr(options, field.name) for field in fields(Behaviour)}
    faults = [Fault.parse(text) for text in options.fault]
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with FakeEngine(*faults, uds=options.uds, port=options.port or 0, **behaviour) as engine:
        sys.stdout.write(engine.address + "\n")
        sys.stdout.flush()
        await stopping.wait()


def main() -> int:
    options = arguments()
    if options.fail:
        sys.stderr.write(options.fail + "\n")
        return 1
    if options.room is not None and (options.max_model_len or 0) > options.room:
        sys.stderr.write(NO_ROOM.format(wanted=options.max_model_len, room=options.room) + "\n")
        return 1
    try:
        asyncio.run(serve(options))
    except OSError as error:
        sys.stderr.write(f"cannot listen on {options.uds or options.port}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
