"""Which stored responses go: the old ones, and where space is short, those of who has the most."""

import sqlite3


def make_room(db: sqlite3.Connection, *, oldest: float, max_bytes: int) -> None:
    """Delete what nobody has used since `oldest`, and the least recently used while all need more than
    `max_bytes`; nothing that is being made.
    """
    db.execute("DELETE FROM responses WHERE used_at < ? AND NOT is_running", (oldest,))
    while _num_bytes(db) > max_bytes:
        most = db.execute(
            "SELECT owner, count(*) AS num FROM responses WHERE NOT is_running "
            "GROUP BY owner ORDER BY sum(num_bytes) DESC LIMIT 1"
        ).fetchone()
        if most is None:
            return
        # A tenth at a time, so that a full store is not searched for every answer.
        db.execute(
            "DELETE FROM responses WHERE id IN (SELECT id FROM responses WHERE NOT is_running "
            "AND owner = ? ORDER BY used_at LIMIT ?)",
            (most["owner"], max(1, most["num"] // 10)),
        )


def _num_bytes(db: sqlite3.Connection) -> int:
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
