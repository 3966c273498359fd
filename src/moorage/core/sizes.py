"""Sizes as people read them."""


def human(size_bytes: float) -> str:
    """`92.9 MB`: counted in 1024 as model tools do, in the units the configuration takes."""
    size = float(size_bytes)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
