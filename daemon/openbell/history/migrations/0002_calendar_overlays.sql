-- Corrections to calendars that were made by hand: who, when, why, and who took them back.

CREATE TABLE calendar_overlays (
    overlay_id TEXT NOT NULL PRIMARY KEY,
    calendar TEXT NOT NULL,
    session TEXT NOT NULL,
    closed INTEGER NOT NULL CHECK (closed IN (0, 1)),
    open_time TEXT,
    close_time TEXT,
    reason TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added_at_us INTEGER NOT NULL,
    removed_by TEXT NOT NULL DEFAULT '',
    removed_at_us INTEGER
) STRICT;
