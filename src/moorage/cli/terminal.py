"""What a terminal may be sent, and times as people read them."""


def harmless(text: str) -> str:
    """Without the control characters by which others could write to the terminal behind their text."""
    if text.isprintable():
        return text
    return "".join(char for char in text if char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160))


def age(seconds: float) -> str:
    """`12s`, `4m`, `3h`, `2d`."""
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"
