"""From OCA's queue_job to this one, back, and here again, on one database.

What stands for OCA's addon is ``setup/oca_addon``: its tables, as Odoo makes them, and
its names. The rows are made by SQL, as that addon leaves them.
"""

import contextlib
import json
import unittest

from _lib.bench_server import BenchServer
from _lib.bootstrap import REPO
from _lib.odoo_command import OdooCommand
from _lib.suite import Suite
from docutils import nodes
from docutils.core import publish_doctree

MIGRATION = REPO / "queue_job" / "readme" / "MIGRATION.rst"
PATIENCE = 120  # seconds until the waiting jobs of a few lines are done
TABLES = ("queue_job", "queue_job_channel", "queue_job_function", "queue_job_lock")
WAITING = ("pending", "document", "keyed", "dated", "enqueued", "started")
GRAPH = ("parent", "left", "right", "last")
ENDED = ("done", "cancelled", "failed")

PARTNERS = """
names = %r
partners = env["res.partner"].create([{"name": name} for name in names])
result(dict(zip(names, partners.ids)))
env.cr.commit()
"""
CHANNELS = """
INSERT INTO queue_job_channel (name, complete_name, parent_id, removal_interval)
SELECT 'export', 'root.export', id, 5 FROM queue_job_channel WHERE name = 'root';
INSERT INTO queue_job_function (name, model_id, method, channel_id, channel, retry_pattern)
SELECT '<res.partner>.write', model.id, 'write', channel.id, 'root.export',
    to_jsonb('{"1": 10, "5": [60, 120]}'::text)
FROM ir_model model, queue_job_channel channel
WHERE model.model = 'res.partner' AND channel.name = 'export'
"""
JOB = """
INSERT INTO queue_job (
    uuid, state, user_id, company_id, name, model_name, method_name, records, args, kwargs,
    func_string, channel_method_name, channel, priority, retry, max_retries, worker_pid,
    exec_time, date_created, dependencies, graph_uuid, identity_key, eta,
    date_enqueued, date_started, date_done, date_cancelled, exc_name, exc_info
) VALUES (
    %(uuid)s, %(state)s, 2, 1, %(uuid)s, 'res.partner', 'write', %(records)s, %(args)s,
    %(kwargs)s, 'write', '<res.partner>.write', 'root.export', 10, %(retry)s, 5, 0,
    0, now() AT TIME ZONE 'UTC', %(dependencies)s, %(graph)s, %(key)s, %(eta)s,
    %(enqueued)s, %(started)s, %(done)s, %(cancelled)s, %(exc_name)s, %(exc_info)s
)
"""
LOCK = """
INSERT INTO queue_job_lock (id, queue_job_id) SELECT id, id FROM queue_job WHERE uuid = 'started'
"""
EARLIER = "2020-01-01 10:00:00"
ROWS = "SELECT uuid, row_to_json(queue_job) FROM queue_job ORDER BY id"
# Here: a job with a key that is done, then jobs that wait when the database goes back.
DELAY_HERE = """
from odoo.addons.queue_job.delay import chain
partner = env["res.partner"].create({"name": "ours"})
jobs = {
    "plain": partner.with_delay(identity_key="ours").write({"ref": "x"}),
    "nested": partner.with_delay().write({"comment": (1, 2)}),
}
first = partner.delayable().write({"ref": "first"})
second = partner.delayable().write({"ref": "second"})
chain(first, second).delay()
jobs.update(first=first._generated_job, second=second._generated_job)
result({name: job.uuid for name, job in jobs.items()})
env.cr.commit()
"""
# There: what reads and writes rows as OCA's code does.
WORK_THERE = """
jobs = env["queue.job"]
found = {job.uuid: {
    "records": job.records, "args": job.args, "kwargs": job.kwargs,
    "dependencies": job.dependencies, "state": job.state, "channel": job.channel,
} for job in jobs.search([])}
function = env["queue.job.function"].search([("method", "=", "write")])
root = env.ref("queue_job.channel_root")
channel = env["queue.job.channel"].create({"name": "theirs", "parent_id": root.id})
made = jobs.create({"uuid": "theirs", "state": "pending", "channel": channel.complete_name,
                    "records": {"_type": "odoo_recordset"}, "args": [1], "kwargs": {}})
env["queue.job.function"].create({"model_id": env["ir.model"]._get_id("res.users"),
                                  "method": "write", "channel_id": channel.id})
env["queue.jobs.to.done"].create({"job_ids": [(6, 0, made.ids)]})
made.write({"state": "failed", "exc_message": "no"})
env.flush_all()
gone = jobs.search([("state", "=", "cancelled")])
gone.unlink()
result({"jobs": found, "pattern": function.retry_pattern,
        "views": [view["arch"] for view in (
            jobs.get_view(view_type="form"), jobs.get_view(view_type="list"))]})
env.cr.commit()
"""
ASK_AGAIN = """
partner = env["res.partner"].search([], limit=1)
result({key: partner.with_delay(identity_key=key).write({"ref": "y"}).uuid
        for key in ("k", "ours", "theirs")})
env.cr.commit()
"""


def double(value):
    """Return what makes a jsonb string that holds a document."""
    return json.dumps(json.dumps(value))


class TestSwitch(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.suite = Suite.without_options()
        odoo = OdooCommand(
            cls.suite.odoo.source,
            cls.suite.server,
            cls.suite.cache,
            [REPO / "setup" / "oca_addon"],
        )
        cls.oca = Suite(cls.suite.cache, odoo, cls.suite.databases, cls.suite.template)
        with contextlib.ExitStack() as stack:
            cls.database = stack.enter_context(
                cls.oca.database("switch", ["queue_job"])
            )
            cls.fill()
            cls.come()
            cls.serve()
            cls.go_back()
            cls.come_again()
            cls.addClassCleanup(stack.pop_all().close)

    @classmethod
    def query(cls, statement, params=()):
        return cls.suite.server.query(statement, params, database=cls.database)

    @classmethod
    def execute(cls, statement):
        """Run a statement of the readme, whose percent signs stand for themselves."""
        return cls.suite.server.query(statement, None, database=cls.database)

    @classmethod
    def rows(cls):
        return dict(cls.query(ROWS))

    # There ------------------------------------------------------------------

    @classmethod
    def fill(cls):
        names = (*WAITING, *GRAPH, *ENDED)
        cls.partners = cls.oca.shell(cls.database, PARTNERS % (names,))
        cls.query(CHANNELS)
        started = {"enqueued": EARLIER, "started": EARLIER, "retry": 1}
        cls.add("pending")
        cls.add("document", encode=json.dumps)
        cls.add("keyed", key="k")
        cls.add("dated", eta=EARLIER)
        cls.add("enqueued", state="enqueued", enqueued=EARLIER)
        cls.add("started", state="started", **started)
        cls.query(LOCK)
        cls.add("parent", children=["left", "right"])
        for name in ("left", "right"):
            cls.add(name, "wait_dependencies", parents=["parent"], children=["last"])
        cls.add("last", "wait_dependencies", parents=["left", "right"])
        cls.add("done", state="done", done=EARLIER, **started)
        cls.add("cancelled", state="cancelled", cancelled=EARLIER)
        cls.add("failed", state="failed", exc_name="E", exc_info="trace", **started)
        cls.before = cls.rows()
        cls.columns_there = cls.columns()

    @classmethod
    def add(
        cls, uuid, state="pending", *, encode=double, parents=(), children=(), **columns
    ):
        """Store a job that writes its name into the reference of its partner."""
        records = {
            "_type": "odoo_recordset",
            "model": "res.partner",
            "ids": [cls.partners[uuid]],
            "uid": 2,
            "su": False,
            "context": {"lang": "en_US"},
        }
        dependencies = {"depends_on": parents, "reverse_depends_on": children}
        in_graph = bool(parents or children)
        names = ("key", "eta", "enqueued", "started", "done", "cancelled")
        cls.query(
            JOB,
            {
                **dict.fromkeys((*names, "exc_name", "exc_info")),
                "retry": 0,
                **columns,
                "uuid": uuid,
                "state": state,
                "records": encode(records),
                "args": encode([{"ref": uuid}]),
                "kwargs": encode({}),
                "dependencies": json.dumps(dependencies) if in_graph else None,
                "graph": "graph" if in_graph else None,
            },
        )

    @classmethod
    def columns(cls):
        """Return ``{(table, column): (type, nullable, default)}`` of the tables of both."""
        rows = cls.query(
            "SELECT table_name, column_name, data_type, is_nullable, column_default "
            "FROM information_schema.columns WHERE table_name = ANY(%s)",
            (list(TABLES),),
        )
        return {(table, name): tuple(facts) for table, name, *facts in rows}

    @classmethod
    def triggers(cls):
        """Return ``{trigger: (table, number of events)}``."""
        rows = cls.execute(
            "SELECT tgname, relname, (tgtype::int >> 2 & 1) + (tgtype::int >> 3 & 1) "
            "+ (tgtype::int >> 4 & 1) + (tgtype::int >> 5 & 1) "
            "FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE relname LIKE 'queue_job%' AND NOT tgisinternal"
        )
        return {name: tuple(facts) for name, *facts in rows}

    # Here -------------------------------------------------------------------

    @classmethod
    def come(cls):
        # C11: the upgrade steps were skipped once OCA's version had passed ours.
        cls.query(
            "UPDATE ir_module_module SET latest_version = '19.0.9.9.9' "
            "WHERE name = 'queue_job'"
        )
        cls.suite.load(cls.database, ["queue_job"], "-u")
        cls.after = cls.rows()
        cls.columns_here = cls.columns()
        cls.indexes_here = dict(
            cls.query(
                "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'queue_job'"
            )
        )
        cls.triggers_here = cls.triggers()
        cls.settings = cls.query(
            "SELECT channel.complete_name, removal_interval, function.name, retry_pattern "
            "FROM queue_job_function function "
            "JOIN queue_job_channel channel ON channel.id = channel_id "
            "WHERE method = 'write'"
        )

    @classmethod
    def serve(cls):
        unfinished = (
            "SELECT count(*) FROM queue_job "
            "WHERE state NOT IN ('done', 'cancelled', 'failed')"
        )
        with BenchServer(cls.suite.odoo, cls.database, "switch", workers=2) as server:
            server.wait(lambda: not cls.query(unfinished)[0][0], PATIENCE)
        cls.served = cls.rows()
        cls.references = dict(
            cls.query("SELECT name, ref FROM res_partner WHERE ref IS NOT NULL")
        )

    # Back -------------------------------------------------------------------

    @classmethod
    def go_back(cls):
        cls.delayed = cls.suite.shell(cls.database, DELAY_HERE)
        snippets = cls.snippets()
        cls.unknown_there = {uuid for uuid, *_rest in cls.execute(snippets["look"])}
        cls.encodings = cls.query(
            "SELECT DISTINCT jsonb_typeof(args) FROM queue_job WHERE uuid <> 'document'"
        )
        cls.execute(snippets["version"])
        cls.oca.load(cls.database, ["queue_job"], "-u")
        cls.oca.shell(cls.database, snippets["hook"] + "\nresult(1)\n")
        cls.execute(snippets["tidy"])
        cls.columns_back = cls.columns()
        cls.work = cls.oca.shell(cls.database, WORK_THERE)
        cls.triggers_back = cls.triggers()
        # Jobs end there, and others wait when the database comes again.
        cls.query(
            "UPDATE queue_job SET state = 'done', date_done = now() WHERE uuid = ANY(%s)",
            ([cls.delayed["plain"]],),
        )
        cls.partners |= dict.fromkeys(("away", "behind"), cls.partners["pending"])
        cls.add("away", key="theirs", children=["behind"])
        cls.add("behind", "wait_dependencies", parents=["away"])

    @staticmethod
    def snippets():
        """Return what the readme says is to be executed on the way back."""
        tree = publish_doctree(
            MIGRATION.read_text(), settings_overrides={"report_level": 5}
        )
        blocks = [node for node in tree.findall(nodes.literal_block)]
        texts = [(block["classes"][-1], block.astext()) for block in blocks]
        [look, version, tidy] = [text for language, text in texts if language == "sql"]
        [hook] = [text for language, text in texts if language == "python"]
        return {"look": look, "version": version, "hook": hook, "tidy": tidy}

    # Again ------------------------------------------------------------------

    @classmethod
    def come_again(cls):
        cls.suite.load(cls.database, ["queue_job"], "-u")
        cls.asked_again = cls.suite.shell(cls.database, ASK_AGAIN)
        cls.edges_again = cls.query(
            "SELECT parent.uuid, child.uuid FROM queue_job_dependency edge "
            "JOIN queue_job parent ON parent.id = parent_id "
            "JOIN queue_job child ON child.id = child_id WHERE parent.uuid = 'away'"
        )

    # Tests ------------------------------------------------------------------

    def test_coming_changes_no_column_of_any_job(self):
        names = {name for table, name in self.columns_there if table == "queue_job"}
        after = {
            uuid: {name: row[name] for name in names}
            for uuid, row in self.after.items()
        }
        self.assertEqual(after, self.before)

    def test_coming_keeps_channels_and_functions(self):
        pattern = '{"1": 10, "5": [60, 120]}'
        self.assertEqual(
            self.settings, [("root.export", 5, "<res.partner>.write", pattern)]
        )

    def test_coming_keeps_the_types_of_the_columns(self):
        for key, facts in self.columns_there.items():
            with self.subTest(key):
                self.assertEqual(self.columns_here[key], facts)

    def test_their_code_could_add_rows_at_once(self):
        """Nothing that this addon adds to their tables has to be given."""
        added = self.columns_here.keys() - self.columns_there.keys()
        self.assertTrue(added)
        for key in added:
            with self.subTest(key):
                _type, nullable, default = self.columns_here[key]
                self.assertTrue(nullable == "YES" or default is not None)

    def test_coming_replaces_the_indexes(self):
        """Those that this addon does not use cost time at each change of a job."""
        key_index = self.indexes_here["queue_job_identity_key_state_partial_index"]
        self.assertIn("USING hash", key_index)
        self.assertIn("IS NOT NULL", self.indexes_here["queue_job__graph_uuid_index"])
        self.assertNotIn("queue_job__state_index", self.indexes_here)
        self.assertNotIn("queue_job__channel_index", self.indexes_here)

    def test_waiting_jobs_run_here(self):
        for name in (*WAITING, *GRAPH):
            with self.subTest(name):
                self.assertEqual(self.served[name]["state"], "done")
                self.assertEqual(self.references.get(name), name)

    def test_graph_runs_in_its_order(self):
        ends = {name: self.served[name]["date_done"] for name in GRAPH}
        self.assertLess(ends["parent"], min(ends["left"], ends["right"]))
        self.assertLess(max(ends["left"], ends["right"]), ends["last"])

    def test_tries_go_on(self):
        self.assertEqual(self.served["pending"]["retry"], 1)
        self.assertGreater(self.served["started"]["retry"], 1)

    def test_ended_jobs_stay(self):
        for name in ENDED:
            with self.subTest(name):
                self.assertEqual(self.served[name], self.after[name])
                self.assertNotIn(name, self.references)

    def test_their_code_finds_strings_and_lists(self):
        self.assertEqual(self.encodings, [("string",)])
        plain = self.work["jobs"][self.delayed["plain"]]
        self.assertEqual(plain["records"]["_type"], "odoo_recordset")
        self.assertEqual((plain["args"], plain["kwargs"]), ([{"ref": "x"}], {}))
        self.assertEqual(plain["channel"], "root.export")
        second = self.work["jobs"][self.delayed["second"]]
        self.assertEqual(second["state"], "wait_dependencies")
        self.assertEqual(
            second["dependencies"],
            {"depends_on": [self.delayed["first"]], "reverse_depends_on": []},
        )
        self.assertEqual(self.work["pattern"], {"1": 10, "5": [60, 120]})

    def test_jobs_that_their_code_cannot_read_are_found_before(self):
        self.assertEqual(self.unknown_there, {self.delayed["nested"]})

    def test_their_tables_are_theirs_again(self):
        self.assertEqual(self.columns_back, self.columns_there)

    def test_changes_of_channels_are_told_here(self):
        """The hook that makes this trigger runs at an installation only."""
        self.assertEqual(
            self.triggers_here["queue_job_channel_notify"], ("queue_job_channel", 3)
        )

    def test_only_their_trigger_stays(self):
        self.assertEqual(self.triggers_back, {"queue_job_notify": ("queue_job", 3)})

    def test_their_views_are_theirs_again(self):
        for arch in self.work["views"]:
            self.assertNotIn("attempt_ids", arch)

    def test_key_of_a_job_that_ended_there_is_free_here(self):
        self.assertNotIn(self.asked_again["k"], self.before)
        self.assertNotEqual(self.asked_again["ours"], self.delayed["plain"])

    def test_key_of_a_job_that_waited_there_is_taken_here(self):
        self.assertEqual(self.asked_again["theirs"], "away")

    def test_graph_of_there_is_known_here(self):
        self.assertEqual(self.edges_again, [("away", "behind")])
