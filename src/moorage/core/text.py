"""What people read: sizes, ages, and the text of others made harmless for a terminal."""


def human(size_bytes: float) -> str:
    """`92.9 MB`: counted in 1024 as model tools do, in the units the configuration takes."""
    size = float(size_bytes)
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def age(seconds: float) -> str:
    """`12s`, `4m`, `3h`, `2d`."""
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def harmless(text: str) -> str:
    """Without the control characters by which others could write to the terminal behind their text."""
    if text.isprintable():
        return text
    return "".join(char for char in text if char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160))
