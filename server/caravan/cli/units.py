"""Numbers as people read them."""


def shown_bytes(count: float) -> str:
    """Decimal units, as disks and hubs count: 4.92 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= 1000
    return f"{count:.3g} TB"
