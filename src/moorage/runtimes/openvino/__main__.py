"""`python -m moorage.runtimes.openvino SETTINGS.json`: SETTINGS is a wire.runtime.OpenVinoSettings."""

import sys

from moorage.runtimes.host.process import Runtime, main
from moorage.wire.runtime import OpenVinoSettings


def _make(settings: OpenVinoSettings) -> Runtime:
    from moorage.runtimes.openvino.runtime import OpenVino

    return OpenVino(settings)


if __name__ == "__main__":
    sys.exit(main(OpenVinoSettings, _make))
