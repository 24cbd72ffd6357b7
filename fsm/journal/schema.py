"""The tables. This page is the file format; the README's page on the file is written from it.

STRICT tables, integer run keys, digests as blobs. `record`, `call`, `artifact`, `snapshot` and `tombstone`
are append-only by triggers that hold whatever `recursive_triggers` says: `INSERT OR REPLACE` would
otherwise delete without asking. Deletion is for runs with a tombstone only, and for artifacts that no
record or call refers to any more. A body may be erased (set to NULL): the chain covers its digest.
"""

from collections.abc import Sequence

APPLICATION_ID = 0x5455524E  # "TURN"
FORMAT = 4
PAGE_SIZE = 8192

TABLES = """
CREATE TABLE machine (
  fingerprint TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  spec TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE run (
  key INTEGER PRIMARY KEY AUTOINCREMENT,
  run_id TEXT NOT NULL UNIQUE,
  machine TEXT NOT NULL,
  fingerprint TEXT NOT NULL,
  labels TEXT NOT NULL,
  state TEXT NOT NULL,
  outcome TEXT NOT NULL,
  seq INTEGER NOT NULL,
  entered INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  head BLOB NOT NULL,
  calls BLOB,
  dropped INTEGER NOT NULL DEFAULT 0,
  owner INTEGER NOT NULL DEFAULT 0,
  started_at_ms INTEGER NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX run_running ON run(owner) WHERE outcome = 'running';
CREATE INDEX run_machine ON run(machine, outcome);

CREATE TABLE record (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run(key),
  seq INTEGER NOT NULL,
  kind TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  source TEXT NOT NULL,
  state TEXT NOT NULL,
  outcome TEXT NOT NULL,
  hop TEXT NOT NULL,
  event TEXT NOT NULL,
  event_id TEXT,
  own INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  digest BLOB,
  detail TEXT NOT NULL,
  body TEXT,
  head BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX record_seq ON record(run, seq);
CREATE INDEX record_event ON record(run, event_id) WHERE event_id IS NOT NULL;
CREATE INDEX record_artifact ON record(digest) WHERE body IS NULL;

CREATE TABLE call (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run(key),
  seq INTEGER NOT NULL,
  entered INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('intent', 'outcome', 'spent')),
  key TEXT NOT NULL,
  name TEXT NOT NULL,
  status TEXT NOT NULL,
  tokens INTEGER NOT NULL,
  usd_micros INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  digest BLOB NOT NULL,
  body TEXT
) STRICT;
CREATE INDEX call_run ON call(run, seq);
CREATE INDEX call_key ON call(key);
CREATE INDEX call_artifact ON call(digest) WHERE body IS NULL;

CREATE TABLE artifact (
  digest BLOB NOT NULL PRIMARY KEY,
  body TEXT
) STRICT;

CREATE TABLE snapshot (
  run INTEGER NOT NULL REFERENCES run(key),
  seq INTEGER NOT NULL,
  body TEXT NOT NULL,
  memory TEXT,
  PRIMARY KEY (run, seq)
) STRICT;

CREATE TABLE inbox (
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES run(key),
  event_id TEXT NOT NULL,
  event TEXT NOT NULL,
  digest BLOB NOT NULL,
  body TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  UNIQUE (run, event_id)
) STRICT;

CREATE TABLE timer (
  run INTEGER NOT NULL REFERENCES run(key),
  kind TEXT NOT NULL CHECK (kind IN ('timeout', 'defer')),
  entered INTEGER NOT NULL,
  due_ms INTEGER NOT NULL,
  PRIMARY KEY (run, kind)
) STRICT;
CREATE INDEX timer_due ON timer(due_ms);

CREATE TABLE runner (
  epoch INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  pid INTEGER NOT NULL,
  boot TEXT NOT NULL,
  expires REAL NOT NULL,
  closed INTEGER NOT NULL DEFAULT 0,
  hung TEXT NOT NULL DEFAULT '[]',
  started_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE tombstone (
  run INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL,
  records INTEGER NOT NULL,
  head BLOB NOT NULL,
  reason TEXT NOT NULL,
  at_ms INTEGER NOT NULL
) STRICT;
"""

WAITS = """
ALTER TABLE timer ADD COLUMN waits TEXT;
ALTER TABLE timer ADD COLUMN asks INTEGER NOT NULL DEFAULT 0;
CREATE INDEX timer_waits ON timer(waits) WHERE waits IS NOT NULL;
"""

SHARED = """
CREATE TABLE shared (
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  body TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT;

CREATE TABLE shared_log (
  id INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  run INTEGER,
  before TEXT NOT NULL,
  after TEXT NOT NULL,
  note TEXT NOT NULL
) STRICT;
CREATE INDEX shared_log_of ON shared_log(kind, name);
CREATE TRIGGER shared_log_once BEFORE INSERT ON shared_log WHEN EXISTS (SELECT 1 FROM shared_log WHERE id = NEW.id)
  BEGIN SELECT RAISE(ABORT, 'shared_log is append-only'); END;
CREATE TRIGGER shared_log_fixed BEFORE UPDATE ON shared_log
  BEGIN SELECT RAISE(ABORT, 'shared_log is append-only'); END;
CREATE TRIGGER shared_log_kept BEFORE DELETE ON shared_log
  BEGIN SELECT RAISE(ABORT, 'shared_log is append-only'); END;
"""

VIEWS = """
CREATE VIEW runs AS
  SELECT run_id, machine, state, outcome, seq + 1 AS records, labels,
         datetime(started_at_ms / 1000, 'unixepoch') AS started, datetime(at_ms / 1000, 'unixepoch') AS changed
  FROM run ORDER BY key;
CREATE VIEW records AS
  SELECT run.run_id, record.seq, record.kind, record.source, record.event, record.hop, record.state,
         record.outcome, coalesce(record.body, artifact.body) AS payload, record.detail,
         datetime(record.at_ms / 1000, 'unixepoch') AS at
  FROM record JOIN run ON run.key = record.run LEFT JOIN artifact ON artifact.digest = record.digest
  ORDER BY record.run, record.seq;
CREATE VIEW calls AS
  SELECT run.run_id, call.entered, call.attempt, call.kind, call.name, call.key, call.status, call.tokens,
         call.usd_micros, coalesce(call.body, artifact.body) AS body
  FROM call JOIN run ON run.key = call.run LEFT JOIN artifact ON artifact.digest = call.digest
  ORDER BY call.id;
"""

USAGE_COLUMNS = ("usage", "tokens_max", "usd_micros_max")
USAGE = """
ALTER TABLE call ADD COLUMN usage TEXT NOT NULL DEFAULT '';
ALTER TABLE call ADD COLUMN tokens_max INTEGER;
ALTER TABLE call ADD COLUMN usd_micros_max INTEGER;
CREATE INDEX call_declared ON call(run) WHERE tokens_max IS NOT NULL OR usd_micros_max IS NOT NULL;
DROP VIEW calls;
CREATE VIEW calls AS
  SELECT run.run_id, call.entered, call.attempt, call.kind, call.name, call.key, call.status, call.tokens,
         call.usd_micros, call.usage, call.tokens_max, call.usd_micros_max, coalesce(call.body, artifact.body) AS body
  FROM call JOIN run ON run.key = call.run LEFT JOIN artifact ON artifact.digest = call.digest
  ORDER BY call.id;
DROP TRIGGER call_fixed;
"""

_APPEND_ONLY = {
    "record": "id = NEW.id OR (run = NEW.run AND seq = NEW.seq)",
    "call": "id = NEW.id",
    "snapshot": "run = NEW.run AND seq = NEW.seq",
    "tombstone": "run = NEW.run",
    "artifact": "digest = NEW.digest AND body IS NOT NULL AND body IS NOT NEW.body",
}


def triggers() -> str:
    """The append-only rules of the first format."""
    once = (
        f"CREATE TRIGGER {table}_once BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;"
        for table, same in _APPEND_ONLY.items()
    )
    erasable = (
        erasable_only("record", RECORD_COLUMNS),
        erasable_only("call", tuple(column for column in CALL_COLUMNS if column not in USAGE_COLUMNS)),
    )
    fixed = (
        f"CREATE TRIGGER {table}_fixed BEFORE UPDATE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;"
        for table in ("snapshot", "tombstone")
    )
    kept = (
        f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} "
        "WHEN NOT EXISTS (SELECT 1 FROM tombstone WHERE run = OLD.run) "
        f"BEGIN SELECT RAISE(ABORT, '{table} rows go only with a tombstone of their run'); END;"
        for table in ("record", "call", "snapshot")
    )
    others = (
        "CREATE TRIGGER tombstone_kept BEFORE DELETE ON tombstone BEGIN SELECT RAISE(ABORT, 'tombstones stay'); END;",
        f"CREATE TRIGGER artifact_kept BEFORE DELETE ON artifact WHEN {referred('OLD')} "
        "BEGIN SELECT RAISE(ABORT, 'an artifact stays while a record or a call refers to it'); END;",
        "CREATE TRIGGER artifact_fixed BEFORE UPDATE ON artifact WHEN NEW.digest IS NOT OLD.digest "
        "OR (OLD.body IS NOT NULL AND NEW.body IS NOT NULL) "
        "BEGIN SELECT RAISE(ABORT, 'artifact is append-only; only its body may be erased'); END;",
    )
    return "\n".join((*once, *erasable, *fixed, *kept, *others))


def erasable_only(table: str, columns: Sequence[str]) -> str:
    """The rule that of a row nothing changes but that its body may be erased."""
    changed = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in ("id", *columns) if column != "body")
    return (
        f"CREATE TRIGGER {table}_fixed BEFORE UPDATE ON {table} WHEN NEW.body IS NOT NULL OR {changed} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only; only its body may be erased'); END;"
    )


def referred(artifact: str) -> str:
    """Whether a record or a call has its body in this artifact, as SQL."""
    return " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE {table}.digest = {artifact}.digest AND {table}.body IS NULL)"
        for table in ("record", "call")
    )


RECORD_COLUMNS = (
    "run",
    "seq",
    "kind",
    "at_ms",
    "source",
    "state",
    "outcome",
    "hop",
    "event",
    "event_id",
    "own",
    "attempt",
    "digest",
    "detail",
    "body",
    "head",
)
CALL_COLUMNS = (
    "run",
    "seq",
    "entered",
    "attempt",
    "kind",
    "key",
    "name",
    "status",
    "tokens",
    "usd_micros",
    *USAGE_COLUMNS,
    "at_ms",
    "digest",
    "body",
)
