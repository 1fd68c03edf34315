# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The upgrade in place, on tables as older series build them.

The tables are made in a schema that comes first in the search path, so that the
scripts find them under their own names.
"""

import importlib.util
import json

from odoo.tests import TransactionCase, tagged
from odoo.tools.misc import file_path

# Columns of 16.0 and 17.0: the serialized ones are text.
JOBS_OF_16 = """
CREATE TABLE queue_job (
    id serial PRIMARY KEY, uuid varchar NOT NULL, graph_uuid varchar, user_id int,
    company_id int, name varchar, model_name varchar, method_name varchar,
    records text, args text, kwargs text, dependencies text, func_string varchar,
    state varchar NOT NULL, priority int, exc_name varchar, exc_message varchar,
    exc_info text, result text, date_created timestamp, date_started timestamp,
    date_enqueued timestamp, date_done timestamp, exec_time double precision,
    date_cancelled timestamp, eta timestamp, retry int, max_retries int,
    channel_method_name varchar, job_function_id int, channel varchar,
    identity_key varchar, worker_pid int
)
"""
FUNCTIONS_OF_16 = """
CREATE TABLE queue_job_function (
    id serial PRIMARY KEY, name varchar, model_id int, method varchar, channel_id int,
    channel varchar, retry_pattern text, related_action text
)
"""
CHANNELS_OF_19 = """
CREATE TABLE queue_job_channel (
    id serial PRIMARY KEY, name varchar, complete_name varchar UNIQUE, parent_id int,
    removal_interval int NOT NULL DEFAULT 30
)
"""
CHANNELS_OF_LATE_18 = """
ALTER TABLE queue_job_channel
    ADD COLUMN capacity int, ADD COLUMN sequential boolean, ADD COLUMN throttle int,
    ADD COLUMN paused boolean
"""
INDEXES_OF_19 = """
CREATE INDEX queue_job__state_index ON queue_job (state);
CREATE INDEX queue_job__channel_index ON queue_job (channel);
CREATE INDEX queue_job__graph_uuid_index ON queue_job (graph_uuid);
CREATE INDEX queue_job_identity_key_state_partial_index ON queue_job (identity_key)
WHERE state IN ('pending', 'enqueued', 'wait_dependencies') AND identity_key IS NOT NULL;
CREATE INDEX queue_job_channel_date_done_date_created_index
ON queue_job (channel, date_done, date_created)
"""
EDGES = """
CREATE TABLE queue_job_dependency (
    id serial PRIMARY KEY, parent_id int, child_id int, joint int
)
"""


def load_script(stage):
    path = file_path(f"queue_job/migrations/19.0.100.0.0/{stage}-migration.py")
    spec = importlib.util.spec_from_file_location(f"queue_job_{stage}_migration", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class MigrationCase(TransactionCase):
    def setUp(self):
        super().setUp()
        self.cr = self.env.cr
        self.env.flush_all()
        self.cr.execute("CREATE SCHEMA qj_old")
        self.cr.execute("SET LOCAL search_path = qj_old, public")

    def tearDown(self):
        # Before the environment is flushed, by which the tables of Odoo are meant.
        self.cr.execute("SET LOCAL search_path = public")
        super().tearDown()

    def fetch(self, query):
        self.cr.execute(query)
        return self.cr.fetchall()


@tagged("post_install", "-at_install")
class TestSerializedColumns(MigrationCase):
    def setUp(self):
        super().setUp()
        self.cr.execute(JOBS_OF_16)
        self.cr.execute(FUNCTIONS_OF_16)
        self.script = load_script("pre")

    def test_text_becomes_jsonb_strings(self):
        records = {
            "_type": "odoo_recordset",
            "model": "res.users",
            "ids": [1],
            "uid": 1,
        }
        self.cr.execute(
            "INSERT INTO queue_job (uuid, state, records, args, kwargs) "
            "VALUES ('a', 'pending', %s, %s, ''), ('b', 'done', NULL, '[]', '{}')",
            [json.dumps(records), '[1, "caf\\u00e9 \\u0000"]'],
        )
        self.cr.execute(
            "INSERT INTO queue_job_function (name, retry_pattern) VALUES ('f', '{\"1\": 10}')"
        )
        self.script.convert_serialized_columns(self.cr)
        rows = self.fetch("SELECT records, args, kwargs FROM queue_job ORDER BY uuid")
        self.assertEqual(json.loads(rows[0][0]), records)
        self.assertEqual(json.loads(rows[0][1]), [1, "café \x00"])
        self.assertEqual(rows[0][2], None)
        self.assertEqual(rows[1], (None, "[]", "{}"))
        self.assertEqual(
            self.fetch(
                "SELECT jsonb_typeof(retry_pattern), related_action FROM queue_job_function"
            ),
            [("string", None)],
        )

    def test_twice_is_the_same(self):
        self.cr.execute(
            "INSERT INTO queue_job (uuid, state, args) VALUES ('a', 'pending', '[1]')"
        )
        for _round in range(2):
            self.script.convert_serialized_columns(self.cr)
            self.assertEqual(self.fetch("SELECT args FROM queue_job"), [("[1]",)])

    def test_documents_of_18_stay(self):
        self.cr.execute(
            "ALTER TABLE queue_job ALTER COLUMN args TYPE jsonb USING args::jsonb"
        )
        self.cr.execute(
            "INSERT INTO queue_job (uuid, state, args) VALUES ('a', 'pending', '[1]')"
        )
        self.script.convert_serialized_columns(self.cr)
        self.assertEqual(self.fetch("SELECT args FROM queue_job"), [([1],)])


@tagged("post_install", "-at_install")
class TestReplacedIndexes(MigrationCase):
    def test_only_what_is_made_anew_or_never_is_dropped(self):
        self.cr.execute(JOBS_OF_16)
        self.cr.execute(INDEXES_OF_19)
        for _round in range(2):
            load_script("pre").drop_replaced_indexes(self.cr)
            self.assertEqual(
                self.fetch(
                    "SELECT indexname FROM pg_indexes WHERE schemaname = 'qj_old' ORDER BY 1"
                ),
                [
                    ("queue_job_channel_date_done_date_created_index",),
                    ("queue_job_pkey",),
                ],
            )

    def test_indexes_of_this_addon_stay(self):
        self.cr.execute("SET LOCAL search_path = public")
        names = (
            "SELECT indexname FROM pg_indexes WHERE tablename = 'queue_job' ORDER BY 1"
        )
        before = self.fetch(names)
        load_script("pre").drop_replaced_indexes(self.cr)
        self.assertEqual(self.fetch(names), before)


@tagged("post_install", "-at_install")
class TestKeys(MigrationCase):
    def test_only_jobs_that_wait_keep_their_key(self):
        self.cr.execute(JOBS_OF_16)
        self.cr.execute("CREATE TABLE queue_job_key (kind varchar, job_uuid varchar)")
        self.cr.execute(
            "INSERT INTO queue_job (uuid, state) VALUES ('a', 'pending'), ('b', 'done'), "
            "('c', 'enqueued'), ('d', 'failed')"
        )
        self.cr.execute(
            "INSERT INTO queue_job_key (job_uuid) VALUES ('a'), ('b'), ('c'), ('d'), ('gone')"
        )
        load_script("post").give_up_keys(self.cr)
        self.assertEqual(
            self.fetch("SELECT job_uuid FROM queue_job_key ORDER BY 1"),
            [("a",), ("c",)],
        )


@tagged("post_install", "-at_install")
class TestRemnantCrons(TransactionCase):
    def test_crons_go_with_their_actions(self):
        data = self.env["ir.model.data"]
        gone = self.env["ir.cron"]
        for name in (
            "ir_cron_queue_job_garbage_collector",
            "ir_cron_autovacuum_queue_jobs",
        ):
            cron = self.env["ir.cron"].create(
                {
                    "name": name,
                    "model_id": self.env.ref("queue_job.model_queue_job").id,
                    "code": "model.autovacuum()",
                }
            )
            gone |= cron
            for xmlid, record in (
                (name, cron),
                (f"{name}_ir_actions_server", cron.ir_actions_server_id),
            ):
                data.create(
                    {
                        "module": "queue_job",
                        "name": xmlid,
                        "model": record._name,
                        "res_id": record.id,
                        "noupdate": True,
                    }
                )
        actions = gone.ir_actions_server_id
        self.env.flush_all()
        for _round in range(2):
            load_script("pre").remove_remnant_crons(self.env.cr)
        self.env.invalidate_all()
        self.assertFalse(gone.exists())
        self.assertFalse(actions.exists())
        self.assertFalse(
            data.search(
                [
                    ("module", "=", "queue_job"),
                    ("name", "like", "ir_cron"),
                    # The addon extends the model.
                    ("model", "not in", ("ir.model", "ir.model.fields")),
                ]
            )
        )


@tagged("post_install", "-at_install")
class TestChannelSettings(MigrationCase):
    def setUp(self):
        super().setUp()
        self.cr.execute(CHANNELS_OF_19)

    def test_19_has_none(self):
        self.cr.execute(
            "INSERT INTO queue_job_channel (name, complete_name) VALUES ('root', 'root')"
        )
        load_script("pre").adapt_channel_settings(self.cr)
        self.assertEqual(
            self.fetch("SELECT * FROM queue_job_channel"),
            [(1, "root", "root", None, 30)],
        )

    def test_late_18(self):
        self.cr.execute(CHANNELS_OF_LATE_18)
        self.cr.execute(
            "INSERT INTO queue_job_channel (name, complete_name, parent_id, capacity, sequential) "
            "VALUES ('root', 'root', NULL, 0, false), ('a', 'root.a', 1, 0, false), "
            "('b', 'root.b', 1, 5, true), ('c', 'root.c', 1, 4, NULL), "
            "('d', 'root.d', 1, NULL, true)"
        )
        for _round in range(2):
            load_script("pre").adapt_channel_settings(self.cr)
        self.assertEqual(
            self.fetch("SELECT name, capacity FROM queue_job_channel ORDER BY name"),
            [("a", 0), ("b", 1), ("c", 4), ("d", 1), ("root", None)],
        )


@tagged("post_install", "-at_install")
class TestDependencies(MigrationCase):
    def setUp(self):
        super().setUp()
        self.cr.execute(JOBS_OF_16)
        self.cr.execute(EDGES)
        self.script = load_script("post")

    def add(self, uuid, parents=(), children=()):
        lists = {"depends_on": list(parents), "reverse_depends_on": list(children)}
        self.cr.execute(
            "INSERT INTO queue_job (uuid, state, dependencies) VALUES (%s, 'pending', %s)",
            [uuid, json.dumps(lists)],
        )

    def edges(self):
        return self.fetch(
            "SELECT parent.uuid, child.uuid, joint FROM queue_job_dependency edge "
            "JOIN queue_job parent ON parent.id = parent_id "
            "JOIN queue_job child ON child.id = child_id ORDER BY 1, 2"
        )

    def test_lists_become_edges_once(self):
        self.add("a", children=["b", "c"])
        self.add("b", parents=["a"], children=["d"])
        self.add("c", parents=["a"], children=["d"])
        self.add("d", parents=["b", "c"])
        self.cr.execute(
            "INSERT INTO queue_job (uuid, state, dependencies) "
            "VALUES ('e', 'pending', NULL), ('f', 'pending', '{}'), ('g', 'pending', '')"
        )
        for _round in range(2):
            self.script.store_dependencies(self.cr)
            self.assertEqual(
                self.edges(),
                [
                    ("a", "b", None),
                    ("a", "c", None),
                    ("b", "d", None),
                    ("c", "d", None),
                ],
            )

    def test_one_end_is_enough_and_missing_jobs_are_skipped(self):
        self.add("a", children=["b", "deleted"])
        self.add("b", parents=["lost"])
        self.add("c", parents=["b"])
        self.script.store_dependencies(self.cr)
        self.assertEqual(self.edges(), [("a", "b", None), ("b", "c", None)])

    def test_nothing_at_installation(self):
        load_script("pre").migrate(self.cr, None)
        self.script.migrate(self.cr, None)
        self.assertEqual(self.edges(), [])
