"""What an engine may see of our environment."""

import os

_KEPT = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("PYTHONPATH", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    )
)
_KEPT_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "ROCR_", "HIP_", "GGML_", "OMP_", "XDG_")


def clean_environment() -> dict[str, str]:
    """Where things are, languages, certificates, devices; no secrets, no surprises.

    (A Kubernetes service called vllm puts VLLM_PORT into every container's environment, which breaks vLLM.)
    """
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    kept.setdefault("PATH", os.defpath)
    if path := kept.get("PYTHONPATH"):  # engines start in a directory of their own
        kept["PYTHONPATH"] = os.pathsep.join(os.path.abspath(entry) for entry in path.split(os.pathsep) if entry)
    return kept
