"""`python -m moorage.runtimes.llamacpp SETTINGS`: SETTINGS is a JSON file (wire.runtime.LlamaCppSettings)."""

import sys
from pathlib import Path

import msgspec

from moorage.wire import runtime

USAGE = "usage: python -m moorage.runtimes.llamacpp SETTINGS.json   (- reads standard input)"


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] in {"-h", "--help"}:
        print(USAGE, file=sys.stderr)  # noqa: T201
        return 2
    try:
        data = sys.stdin.buffer.read() if sys.argv[1] == "-" else Path(sys.argv[1]).read_bytes()
        settings = runtime.decode(data)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        print(f"cannot read the settings {sys.argv[1]!r}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    from moorage.runtimes.llamacpp import process

    return process.run(settings)


if __name__ == "__main__":
    sys.exit(main())
