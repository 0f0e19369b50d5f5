"""Files as earlier versions of the store left them, with one response, which has one item: as SQL."""

_ITEMS = """
CREATE TABLE items (
    response_id TEXT NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
    is_output INTEGER NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (response_id, is_output, position));
CREATE INDEX by_id ON items (id);
INSERT INTO items VALUES ('old', 0, 0, 'item', '{"id": "item", "text": "what was said"}');
"""
_RESPONSES = """
CREATE TABLE responses (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, place INTEGER NOT NULL, previous_id TEXT,
    is_running INTEGER NOT NULL, used_at REAL NOT NULL, body TEXT NOT NULL, events BLOB);
CREATE INDEX by_use ON responses (used_at);
CREATE INDEX running ON responses (place) WHERE is_running;
INSERT INTO responses
VALUES ('old', 'me', 0, NULL, 0, unixepoch(), '{"id": "old", "status": "completed"}', NULL);
"""
FIRST = f"{_RESPONSES}{_ITEMS}PRAGMA user_version = 1;"
SECOND = f"""{_RESPONSES}{_ITEMS}
ALTER TABLE responses ADD COLUMN num_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX by_owner ON responses (owner, is_running, num_bytes);
UPDATE responses SET num_bytes = 36;
PRAGMA user_version = 2;
"""
