"""`python -m moorage.runtimes.llamacpp SETTINGS.json`: SETTINGS is a wire.runtime.LlamaCppSettings."""

import sys

from moorage.runtimes.host.process import Runtime, main
from moorage.wire.runtime import LlamaCppSettings


def _make(settings: LlamaCppSettings) -> Runtime:
    from moorage.runtimes.llamacpp.runtime import LlamaCpp

    return LlamaCpp(settings)


if __name__ == "__main__":
    sys.exit(main(LlamaCppSettings, _make))
