# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the screens ask of a table that is large: each has its index."""

import io
import re
import unittest
from unittest import mock

from odoo import sql_db
from odoo.tests import TransactionCase, new_test_user, tagged
from odoo.tools import SQL

from ..sql import statements as sql

ACTIVE = ("wait_dependencies", "pending", "enqueued", "started", "failed")

COLUMNS = (
    "uuid, graph_uuid, name, state, channel, company_id, date_created, exec_time, "
    "channel_method_name, exc_name, date_done, func_string"
)
# As setup/generate, in small: most jobs are done.
ROWS = """
COPY (
    SELECT 'plan-' || n AS uuid, CASE WHEN n % 50 = 0 THEN 'graph-' || n / 500 END, 'job', CASE
        WHEN n % 100 < 86 THEN 'done' WHEN n % 100 < 88 THEN 'failed'
        WHEN n % 100 < 97 THEN 'pending' WHEN n % 100 < 99 THEN 'wait_dependencies'
        ELSE 'cancelled' END,
        'root.' || n % 7, 1, now() - n * interval '1 second', n,
        '<m' || n % 5 || '>.f', 'E' || n % 3, now(), repeat('x', 500)
    FROM generate_series(1, 20000) AS n
) TO STDOUT
"""


@tagged("post_install", "-at_install")
class TestScreenPlans(TransactionCase):
    """The plans on a copy of the table.

    Its rows are frozen from the start: scans of an index alone need that, and while
    the transaction of the test is open no vacuum gives it.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls.env.cr._cnx.server_version < 140000:
            raise unittest.SkipTest("COPY of PostgreSQL 13 marks no page as visible")
        cursor = sql_db.db_connect(cls.env.cr.dbname).cursor()
        cls.addClassCleanup(cursor.close)
        cls.connection = cursor._cnx
        cls.pg = cls.connection.cursor()
        cls.pg.execute("CREATE SCHEMA screen_plans")
        cls.addClassCleanup(cls.connection.rollback)
        cls.pg.execute(
            "CREATE TABLE screen_plans.queue_job (LIKE public.queue_job INCLUDING ALL)"
        )
        cls.pg.execute("SET search_path = screen_plans, public")
        rows = io.StringIO()
        cls.pg.copy_expert(ROWS, rows)
        rows.seek(0)
        cls.pg.copy_expert(f"COPY queue_job ({COLUMNS}) FROM STDIN WITH (FREEZE)", rows)
        cls.pg.execute("ANALYZE queue_job")
        user = new_test_user(
            cls.env, "plans", "base.group_user,queue_job.group_queue_job_manager"
        )
        cls.jobs = cls.env["queue.job"].with_user(user)

    def plan(self, query):
        """Return the plan of a query of the ORM, on the copy."""
        self.pg.execute(
            "EXPLAIN " + self.env.cr.mogrify(query).decode().replace('"public".', "")
        )
        return "\n".join(line for (line,) in self.pg.fetchall())

    def assert_uses(self, index, query, scan="Index"):
        """Fail unless the plan reads the copy of this index of the table."""
        plan = self.plan(query)
        self.assertNotIn("Seq Scan on queue_job", plan)
        column = "split_part(indexdef, ' USING ', 2)"
        definition = f"SELECT {column} FROM pg_indexes WHERE indexname = %s"
        self.pg.execute(
            f"SELECT indexname FROM pg_indexes WHERE schemaname = 'screen_plans' "
            f"AND split_part(indexdef, ' USING ', 2) = ({definition} AND schemaname = 'public')",
            (index,),
        )
        names = [name for (name,) in self.pg.fetchall()]
        used = re.findall(
            r"Index(?: Only)? Scan(?: Backward)? (?:using|on) (\w+)", plan
        )
        self.assertTrue(set(names) & set(used), plan)
        self.assertIn(f"{scan} Scan", plan)

    def grouped(self, groupby, domain):
        """Return the SQL of a group of the web client."""
        queries = []
        execute = self.env.cr.execute

        def collect(query, *args, **kwargs):
            queries.append(query)
            return execute(query, *args, **kwargs)

        self.jobs.formatted_read_group(
            domain, [groupby], ["__count"]
        )  # fills the caches
        with mock.patch.object(self.env.cr, "execute", collect):
            self.jobs.formatted_read_group(
                domain, [groupby], ["__count", "exec_time:avg"]
            )
        return next(q for q in queries if "GROUP BY" in self.env.cr.mogrify(q).decode())

    def test_page_of_the_list(self):
        for domain in ([("state", "in", ACTIVE)], [], [("state", "=", "done")]):
            query = self.jobs._search(domain, limit=80, order=self.jobs._order).select()
            self.assert_uses("queue_job_newest_index", query)

    def test_count(self):
        query = self.jobs._search([("state", "in", ACTIVE)]).select("count(*)")
        self.assert_uses("queue_job_counts_index", query, "Index Only")

    def test_groups(self):
        for groupby in ("state", "channel"):
            query = self.grouped(groupby, [("state", "in", ACTIVE)])
            self.assert_uses("queue_job_counts_index", query, "Index Only")

    def test_uuid(self):
        query = self.jobs._search([("uuid", "=", "plan-777")]).select()
        self.assert_uses("queue_job__uuid_index", query)

    def test_graph(self):
        query = self.jobs._search([("graph_uuid", "=", "graph-7")], order="id").select()
        self.assert_uses("queue_job__graph_uuid_index", query)

    def test_failures(self):
        self.assert_uses(
            "queue_job_failure_index",
            self.env["queue.job.failure"]._table_query,
            "Index Only",
        )

    def test_figures_of_a_function(self):
        values = {
            "channel": "root.1",
            "function": "<m1>.f",
            "limit": 100,
            "edges": [1],
            "visible": SQL("TRUE"),
        }
        self.assert_uses(
            "queue_job_channel_date_done_date_created_index",
            SQL(sql.durations_of_function, **values),
        )
        self.assert_uses("queue_job_eta_index", SQL(sql.waiting_of_function, **values))

    def test_search_box_asks_for_whole_uuids(self):
        """A part of a uuid would be looked for in every row."""
        arch = self.env.ref("queue_job.view_queue_job_search").arch
        for name in ("uuid", "graph_uuid"):
            self.assertIn(f'<field name="{name}" operator="="', arch)
