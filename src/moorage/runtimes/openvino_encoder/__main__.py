"""`python -m moorage.runtimes.openvino_encoder SETTINGS.json`: SETTINGS is a wire.runtime.EncoderSettings."""

import sys

from moorage.runtimes.host.process import Runtime, main
from moorage.wire.runtime import EncoderSettings


def _make(settings: EncoderSettings) -> Runtime:
    from moorage.runtimes.encoding.graphs.runtime import Graphs
    from moorage.runtimes.openvino_encoder.files import opened

    return Graphs(settings, opened)


if __name__ == "__main__":
    sys.exit(main(EncoderSettings, _make))
