# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The update of the addon in a database where jobs run: nothing is changed without need."""

import psycopg2

from odoo.tests import TransactionCase, get_db_name, tagged
from odoo.tools.sql import table_columns

from ..jobrunner.config import connection_info_for

TRIGGERS = """
SELECT tgname, oid FROM pg_trigger
WHERE NOT tgisinternal AND tgrelid IN ('queue_job'::regclass, 'queue_job_channel'::regclass)
"""
# One of each function, on either table.
JOB, KEY, CHANNEL = (
    "queue_job_notify",
    "queue_job_keys_insert",
    "queue_job_channel_notify",
)


@tagged("post_install", "-at_install")
class TestUpdate(TransactionCase):
    def setUp(self):
        super().setUp()
        self.before = self.triggers()
        self.assertLessEqual({JOB, KEY, CHANNEL}, self.before.keys())

    def triggers(self):
        self.env.cr.execute(TRIGGERS)
        return dict(self.env.cr.fetchall())

    def update(self):
        """Do what an update of the addon does with the tables."""
        for model in ("queue.job", "queue.job.channel", "queue.job.key"):
            self.env[model].init()

    def test_update_waits_for_nobody(self):
        """A job that runs for an hour has written to the table, and keeps its lock.

        To replace a trigger is to wait for it, and whoever delays a job waits behind.
        """
        writer = psycopg2.connect(**connection_info_for(get_db_name()))
        self.addCleanup(writer.close)
        writer.cursor().execute(
            "LOCK TABLE queue_job, queue_job_channel IN ROW EXCLUSIVE MODE;"
            "SELECT nextval('queue_job_key_id_seq')"
        )
        self.env.cr.execute("SET LOCAL lock_timeout = '2s'")
        self.update()
        self.assertEqual(self.triggers(), self.before)

    def test_no_column_is_converted(self):
        """Odoo converts a column whose type has another name than that of the field."""
        looked_at = 0
        for name in self.env.registry:
            model = self.env[name]
            if not name.startswith("queue.") or model._abstract or not model._auto:
                continue
            columns = table_columns(self.env.cr, model._table)
            for field in model._fields.values():
                if field.store and field.column_type:
                    looked_at += 1
                    with self.subTest(field):
                        udt_name = columns[field.name]["udt_name"]
                        self.assertEqual(udt_name, field.column_type[0])
        self.assertGreater(looked_at, 50)

    def test_missing_triggers_are_made(self):
        """After a switch from OCA's addon none is there but its own."""
        for name, table in ((KEY, "queue_job"), (CHANNEL, "queue_job_channel")):
            self.env.cr.execute(f"DROP TRIGGER {name} ON {table}")
        self.update()
        self.assertEqual(self.triggers().keys(), self.before.keys())

    def test_trigger_of_another_definition_is_replaced(self):
        self.env.cr.execute(
            f"""
            DROP TRIGGER {JOB} ON queue_job;
            CREATE TRIGGER {JOB} AFTER INSERT ON queue_job
            FOR EACH ROW EXECUTE FUNCTION queue_job_notify()
            """
        )
        theirs = self.triggers()
        self.update()
        self.assertNotEqual(self.triggers()[JOB], theirs[JOB])
        self.assertEqual(self.triggers()[KEY], theirs[KEY])

    def test_disabled_trigger_is_replaced(self):
        for name in (JOB, KEY):
            self.env.cr.execute(f"ALTER TABLE queue_job DISABLE TRIGGER {name}")
            self.update()
            self.assertNotEqual(self.triggers()[name], self.before[name])
