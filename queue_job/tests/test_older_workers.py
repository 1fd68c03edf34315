# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Workers of the version before go on in a database that was updated.

In a rolling deploy the database is updated while they run: a function whose form changes
gets another name, and all that the former one calls keeps its form.
"""

from odoo.tests import TransactionCase, tagged

from ..store import triggers

# As 19.0.3.0.0 makes them.
REPLACED = """
CREATE OR REPLACE FUNCTION queue_job_key_lock(lock_key text) RETURNS integer AS $$
    SELECT hashtext(lock_key) & 1023
$$ LANGUAGE sql IMMUTABLE;
CREATE OR REPLACE FUNCTION queue_job_key_is_free(lock_key text) RETURNS boolean AS $$
    SELECT lock_key IS NULL OR lock_key = ''
        OR pg_try_advisory_xact_lock(1903521635, queue_job_key_lock(lock_key))
$$ LANGUAGE sql VOLATILE;
"""
CALLED_BY_WORKERS = """
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
        PERFORM pg_advisory_xact_lock_shared(1903521635, queue_job_key_lock(asked.l));
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
"""
RESERVE = """
SELECT * FROM queue_job_key_reserve(
    'identity', ARRAY['key'], ARRAY['key'], ARRAY[%s], ARRAY['pending']
)
"""


@tagged("post_install", "-at_install")
class TestOlderWorkers(TransactionCase):
    def fetch(self, statement, values=()):
        self.env.cr.execute(statement, values)
        return self.env.cr.fetchall()

    def setUp(self):
        super().setUp()
        self.env.cr.execute(f"{REPLACED} {CALLED_BY_WORKERS}")
        triggers.install(self.env.cr, "queue_job")

    def test_callers_reserve_keys(self):
        self.assertFalse(self.fetch(RESERVE, ["one"]))
        self.assertEqual(self.fetch(RESERVE, ["two"]), [("two", "one")])

    def test_runners_and_workers_try_keys(self):
        self.assertEqual(
            self.fetch(
                "SELECT queue_job_key_is_free('key'), queue_job_key_is_free(NULL)"
            ),
            [(True, True)],
        )
        self.assertEqual(
            self.fetch("SELECT queue_job_claim('gone', now()::timestamp, 1)"),
            [(["refused", ""],)],
        )
