# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""One waiting job per key, between concurrent transactions.

The reservation of a key is a row here: made before the job is stored, given
up when the job leaves the states in which it blocks a twin, taken again when
it comes back and the key is free. Triggers on queue_job keep that up,
whoever moves the state.

A search would see the past: under REPEATABLE READ a twin that is pending in the
caller's snapshot may have run already. The unique index of this table tells
the present: an INSERT waits for whoever is making or giving up the key, and then
says whether it is taken. ``ON CONFLICT DO NOTHING`` says so by inserting
nothing when the other row is in the snapshot, and by 40001 when it is newer;
a refusal of the first kind uses up no transaction id, as a caught violation would.

Key locks keep a refused caller from being overtaken: it holds the advisory
lock of the key shared until the end of its transaction; a claim tries it
exclusively and never waits. So the twin of a refused caller starts when the
caller's changes can be seen. The lock comes before the last look at the
key: a caller that comes while the twin starts waits for that short moment,
finds the key free, and gets a job. There are few locks, which many keys
share, so whoever is not refused takes none: a long transaction that made
thousands of jobs would hold up all others. For the same reason none is taken
for a job of the caller's own transaction, which nobody can start meanwhile.
"""

from odoo import api, fields, models
from odoo.tools import SQL

from ..notify import trigger_ddl
from ..protocol import KEY_LOCK_CLASS, KEY_LOCK_MASK
from ..states import WAITING
from ..store.keys import IDENTITY, POLICY

_WAITING_SQL = ", ".join(f"'{state}'" for state in WAITING)

KEY_FUNCTIONS_DDL = f"""
CREATE OR REPLACE FUNCTION queue_job_key_lock(lock_key text) RETURNS integer AS $$
    SELECT hashtext(lock_key) & {KEY_LOCK_MASK}
$$ LANGUAGE sql IMMUTABLE;

-- Whether nobody who asked for the key is still in a transaction; keeps others
-- from asking until the end of this one. Never waits.
CREATE OR REPLACE FUNCTION queue_job_key_is_free(lock_key text) RETURNS boolean AS $$
    SELECT lock_key IS NULL OR lock_key = ''
        OR pg_try_advisory_xact_lock({KEY_LOCK_CLASS}, queue_job_key_lock(lock_key))
$$ LANGUAGE sql VOLATILE;

CREATE OR REPLACE FUNCTION queue_job_key_digest(full_key text) RETURNS text AS $$
    SELECT encode(sha256(convert_to(full_key, 'UTF8')), 'hex')
$$ LANGUAGE sql IMMUTABLE;

-- Whether the key was reserved; 'taken' by a row of this snapshot or by a 'newer' one.
DROP FUNCTION IF EXISTS queue_job_key_insert;
CREATE FUNCTION queue_job_key_insert(
    key_kind text, full_key text, holder text
) RETURNS text AS $$
BEGIN
    INSERT INTO queue_job_key (kind, digest, key, job_uuid, transaction)
    VALUES (key_kind, queue_job_key_digest(full_key), full_key, holder,
            pg_current_xact_id()::text)
    ON CONFLICT DO NOTHING;
    RETURN CASE WHEN FOUND THEN 'reserved' ELSE 'taken' END;
EXCEPTION WHEN serialization_failure THEN
    RETURN 'newer';
END;
$$ LANGUAGE plpgsql;
DROP FUNCTION IF EXISTS queue_job_key_holder;

-- A job that waits without a reservation: an older row, or the second job of
-- a key. The row lock tells the past from the present; FOR SHARE, because a
-- weaker lock does not mind a row whose state has changed. The lock is given back
-- by leaving the block through an exception: a claim is not to wait for it.
CREATE OR REPLACE FUNCTION queue_job_key_unreserved(
    key_kind text, lock_key text, full_key text, blocking text[], asker text
) RETURNS text AS $$
DECLARE
    found text;
BEGIN
    IF key_kind = '{IDENTITY}' THEN
        SELECT uuid INTO found FROM queue_job
        WHERE identity_key = full_key AND state IN ({_WAITING_SQL}) AND uuid <> asker
        ORDER BY id LIMIT 1 FOR SHARE SKIP LOCKED;
    ELSE
        SELECT uuid INTO found FROM queue_job
        WHERE twin_key = lock_key AND func_string = full_key AND state <> 'done'
          AND state = ANY(blocking) AND uuid <> asker
        ORDER BY id LIMIT 1 FOR SHARE SKIP LOCKED;
    END IF;
    IF found IS NULL THEN
        RETURN NULL;
    END IF;
    RAISE SQLSTATE 'QJ001';
EXCEPTION
    WHEN SQLSTATE 'QJ001' THEN
        RETURN found;
    WHEN serialization_failure THEN
        RETURN NULL;
END;
$$ LANGUAGE plpgsql;

-- Reserve a key for each job; the result names the jobs that were refused and
-- their twins, '' for a twin newer than this snapshot. Keys are inserted in a fixed
-- order, so that two callers of many keys do not wait for each other.
CREATE OR REPLACE FUNCTION queue_job_key_reserve(
    key_kind text, lock_keys text[], full_keys text[], uuids text[], blocking text[]
) RETURNS TABLE (job_uuid text, twin text) AS $$
DECLARE
    asked record;
    found record;
    other text;
BEGIN
    BEGIN
        INSERT INTO queue_job_key (kind, digest, key, job_uuid, transaction)
        SELECT key_kind, queue_job_key_digest(k), k, u, pg_current_xact_id()::text
        FROM unnest(full_keys, uuids) WITH ORDINALITY AS t(k, u, n)
        ORDER BY queue_job_key_digest(k), n
        ON CONFLICT DO NOTHING;
    EXCEPTION WHEN serialization_failure THEN
        PERFORM queue_job_key_insert(key_kind, o.k, o.u) FROM (
            SELECT k, u FROM unnest(full_keys, uuids) WITH ORDINALITY AS t(k, u, n)
            ORDER BY queue_job_key_digest(k), n
        ) AS o;
    END;
    FOR asked IN
        SELECT l, k, u FROM unnest(lock_keys, full_keys, uuids) WITH ORDINALITY AS t(l, k, u, n)
        ORDER BY n
    LOOP
        -- A row that was given up after the snapshot can still be seen beside our own.
        SELECT q.job_uuid, q.transaction INTO found FROM queue_job_key q
        WHERE q.digest = queue_job_key_digest(asked.k) AND q.kind = key_kind
        ORDER BY q.transaction = pg_current_xact_id()::text DESC LIMIT 1;
        IF found.job_uuid = asked.u THEN
            other := queue_job_key_unreserved(key_kind, asked.l, asked.k, blocking, asked.u);
            IF other IS NULL THEN
                CONTINUE;
            END IF;
        ELSIF found.transaction = pg_current_xact_id()::text THEN
            job_uuid := asked.u;
            twin := found.job_uuid;
            RETURN NEXT;
            CONTINUE;
        END IF;
        -- There seems to be a twin. It may be starting: wait for that, then look again.
        PERFORM pg_advisory_xact_lock_shared({KEY_LOCK_CLASS}, queue_job_key_lock(asked.l));
        CASE queue_job_key_insert(key_kind, asked.k, asked.u)
        WHEN 'newer' THEN
            other := '';
        ELSE
            SELECT q.job_uuid INTO other FROM queue_job_key q
            WHERE q.digest = queue_job_key_digest(asked.k) AND q.kind = key_kind
            ORDER BY q.transaction = pg_current_xact_id()::text DESC LIMIT 1;
        END CASE;
        IF other = asked.u THEN
            other := queue_job_key_unreserved(key_kind, asked.l, asked.k, blocking, asked.u);
            IF other IS NULL THEN
                CONTINUE;
            END IF;
            DELETE FROM queue_job_key q WHERE q.kind = key_kind AND q.job_uuid = asked.u;
        END IF;
        job_uuid := asked.u;
        twin := coalesce(other, '');
        RETURN NEXT;
    END LOOP;
END;
$$ LANGUAGE plpgsql;

-- Take a key for a job that came back to a blocking state, if it is free. Whoever
-- moves the job is not to wait for a transaction that is making another one.
DROP FUNCTION IF EXISTS queue_job_key_take(text, text, text, text);
CREATE OR REPLACE FUNCTION queue_job_key_take(
    key_kind text, full_key text, holder text
) RETURNS void AS $$
BEGIN
    PERFORM queue_job_key_insert(key_kind, full_key, holder);
EXCEPTION WHEN lock_not_available THEN
    NULL;
END;
$$ LANGUAGE plpgsql SET lock_timeout = '1ms';

CREATE OR REPLACE FUNCTION queue_job_key_keep(
    key_kind text, full_key text, holder text, is_blocking boolean
) RETURNS void AS $$
BEGIN
    IF NOT is_blocking THEN
        DELETE FROM queue_job_key WHERE job_uuid = holder AND kind = key_kind;
    ELSIF NOT EXISTS (SELECT FROM queue_job_key WHERE job_uuid = holder AND kind = key_kind) THEN
        PERFORM queue_job_key_take(key_kind, full_key, holder);
    END IF;
END;
$$ LANGUAGE plpgsql;

CREATE OR REPLACE FUNCTION queue_job_keep_keys() RETURNS trigger AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM queue_job_key WHERE job_uuid = OLD.uuid;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' AND OLD.identity_key IS DISTINCT FROM NEW.identity_key THEN
        DELETE FROM queue_job_key WHERE job_uuid = OLD.uuid AND kind = '{IDENTITY}';
    END IF;
    IF NEW.identity_key <> '' THEN
        PERFORM queue_job_key_keep(
            '{IDENTITY}', NEW.identity_key, NEW.uuid, NEW.state IN ({_WAITING_SQL})
        );
    END IF;
    IF NEW.twin_key <> '' THEN
        PERFORM queue_job_key_keep(
            '{POLICY}', NEW.func_string, NEW.uuid,
            coalesce(NEW.state = ANY(string_to_array(NEW.twin_states, ',')), false)
        );
    END IF;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql;

-- No row trigger sees an emptied table: keys that are left would refuse for ever.
CREATE OR REPLACE FUNCTION queue_job_forget_keys() RETURNS trigger AS $$
BEGIN
    DELETE FROM queue_job_key;
    RETURN NULL;
END;
$$ LANGUAGE plpgsql;
"""

KEY_TRIGGERS = {
    "queue_job_keys_truncate": """AFTER TRUNCATE ON queue_job FOR EACH STATEMENT
        EXECUTE FUNCTION queue_job_forget_keys()""",
    "queue_job_keys_insert": """AFTER INSERT ON queue_job FOR EACH ROW
        WHEN (NEW.identity_key IS NOT NULL OR NEW.twin_key IS NOT NULL)
        EXECUTE FUNCTION queue_job_keep_keys()""",
    "queue_job_keys_update": """AFTER UPDATE OF state, identity_key ON queue_job FOR EACH ROW
        WHEN (OLD.identity_key IS DISTINCT FROM NEW.identity_key
              OR OLD.state <> NEW.state
              AND (NEW.identity_key IS NOT NULL OR NEW.twin_key IS NOT NULL))
        EXECUTE FUNCTION queue_job_keep_keys()""",
    "queue_job_keys_delete": """AFTER DELETE ON queue_job FOR EACH ROW
        WHEN (OLD.identity_key IS NOT NULL OR OLD.twin_key IS NOT NULL)
        EXECUTE FUNCTION queue_job_keep_keys()""",
}
KEY_TRIGGERS_DDL = ";".join(
    trigger_ddl(name, "queue_job", definition)
    for name, definition in KEY_TRIGGERS.items()
)


class QueueJobKey(models.Model):
    _name = "queue.job.key"
    _description = "Queue Job Key"
    _log_access = False
    _rec_name = "key"

    kind = fields.Char(required=True, readonly=True)
    # sha256: an index entry is bounded, a key is not.
    digest = fields.Char(required=True, readonly=True)
    key = fields.Text(required=True, readonly=True)
    job_uuid = fields.Char(required=True, readonly=True, index=True)
    transaction = fields.Char(
        readonly=True, help="Who made it, while it is not committed."
    )

    _digest_uniq = models.UniqueIndex("(digest, kind)")

    def init(self):
        # A refused key uses up an id too. Few rows exist at a time: begin anew some day.
        # Altered once only, for that waits for whoever has taken an id.
        self.env.cr.execute(
            "SELECT FROM pg_sequence "
            "WHERE seqrelid = 'queue_job_key_id_seq'::regclass AND NOT seqcycle"
        )
        if self.env.cr.rowcount:
            self.env.cr.execute("ALTER SEQUENCE queue_job_key_id_seq CYCLE")

    @api.model
    def _reserve(self, kind, requests, blocking):
        """Reserve keys; return ``{job: uuid of the twin}`` for those refused.

        Waits for a transaction that is storing a job of the same key. Takes the
        key locks of those refused, shared, until the end of the transaction.

        :param requests: ``(job, short text for the lock, key)``
        :param blocking: states in which a twin blocks
        """
        refused = {}
        while requests:
            by_uuid = {
                job.uuid: (job, lock_key, key) for job, lock_key, key in requests
            }
            requests = []
            for job_uuid, twin in self._ask(kind, by_uuid.values(), blocking):
                job, _lock_key, key = by_uuid[job_uuid]
                twin = twin or self._holder_now(kind, key)
                if twin:
                    refused[job] = twin
                else:  # the holder was cancelled or deleted meanwhile
                    requests.append(by_uuid[job_uuid])
        return refused

    def _ask(self, kind, requests, blocking):
        jobs, lock_keys, keys = zip(*requests, strict=True)
        uuids = [job.uuid for job in jobs]
        self.env.cr.execute(
            SQL(
                "SELECT job_uuid, twin FROM queue_job_key_reserve("
                "%s, %s::text[], %s::text[], %s::text[], %s::text[])",
                *(kind, list(lock_keys), list(keys), uuids, list(blocking)),
            )
        )
        return self.env.cr.fetchall()

    def _holder_now(self, kind, key):
        """Return the uuid that holds a key now, past the snapshot of this cursor."""
        with self.env.registry.cursor() as cr:
            cr.execute(
                SQL(
                    "SELECT job_uuid FROM queue_job_key "
                    "WHERE digest = queue_job_key_digest(%s) AND kind = %s",
                    *(key, kind),
                )
            )
            row = cr.fetchone()
        return row and row[0]

    @api.model
    def _give_up(self, jobs):
        """Give up what was reserved for jobs that will not be stored."""
        uuids = [job.uuid for job in jobs]
        self.env.cr.execute(
            SQL("DELETE FROM queue_job_key WHERE job_uuid = ANY(%s)", uuids),
            log_exceptions=False,
        )
