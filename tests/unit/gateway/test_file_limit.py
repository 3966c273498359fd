import subprocess
import sys

PROGRAM = """
import resource
from moorage.gateway.__main__ import raise_file_limit
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
raise_file_limit()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
"""


def test_a_gateway_takes_the_descriptors_it_may_have() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=30)
