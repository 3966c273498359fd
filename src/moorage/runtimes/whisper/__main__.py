"""`python -m moorage.runtimes.whisper SETTINGS.json`: SETTINGS is a wire.runtime.SpeechSettings."""

import sys

from moorage.runtimes.host.process import Runtime, main
from moorage.wire.runtime import SpeechSettings


def _make(settings: SpeechSettings) -> Runtime:
    from moorage.runtimes.whisper.runtime import Whisper

    return Whisper(settings)


if __name__ == "__main__":
    sys.exit(main(SpeechSettings, _make))
