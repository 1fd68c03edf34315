# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Names of tables, records and settings that modules, SQL and servers rely on."""

import select
from unittest.mock import patch

import psycopg2.extensions

from odoo.modules.module import Manifest
from odoo.tests import TransactionCase, tagged

from odoo.addons.mail.models.mail_thread import MailThread

from .. import configuration, post_init_hook
from ..jobrunner import config, runner

FUNCTION_LOGGER = "odoo.addons.queue_job.models.queue_job_function"


@tagged("post_install", "-at_install")
class TestManifest(TransactionCase):
    def test_what_dependents_and_tools_read(self):
        manifest = Manifest.for_addon("queue_job")
        self.assertEqual(manifest["name"], "Job Queue")
        self.assertEqual(manifest["category"], "Generic Modules")
        self.assertEqual(manifest["depends"], ["mail", "base_sparse_field", "web"])
        self.assertEqual(manifest["external_dependencies"], {"python": ["requests"]})
        self.assertEqual(manifest["post_init_hook"], "post_init_hook")
        self.assertTrue(manifest["installable"])
        self.assertIn(
            "queue_job/static/src/views/**/*", manifest["assets"]["web.assets_backend"]
        )


@tagged("post_install", "-at_install")
class TestTables(TransactionCase):
    def column(self, query, *args):
        self.env.cr.execute(query, args)
        return [value for (value,) in self.env.cr.fetchall()]

    def columns_of(self, table):
        return set(
            self.column(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s",
                table,
            )
        )

    def test_tables_of_models(self):
        for model in (
            "queue.job",
            "queue.job.channel",
            "queue.job.function",
            "queue.job.lock",
            "queue.requeue.job",
            "queue.jobs.to.done",
            "queue.jobs.to.cancelled",
        ):
            self.assertEqual(self.env[model]._table, model.replace(".", "_"))

    def test_tables_between_wizards_and_jobs(self):
        for wizard in ("requeue_job", "jobs_to_done", "jobs_to_cancelled"):
            table = f"queue_job_queue_{wizard}_rel"
            with self.subTest(table):
                self.assertEqual(
                    self.columns_of(table), {f"queue_{wizard}_id", "queue_job_id"}
                )

    def test_columns_of_the_lock_table(self):
        self.assertEqual(
            self.columns_of("queue_job_lock"),
            {
                "id",
                "queue_job_id",
                "create_uid",
                "create_date",
                "write_uid",
                "write_date",
            },
        )
        field = self.env["queue.job.lock"]._fields["queue_job_id"]
        self.assertEqual((field.ondelete, field.required), ("cascade", True))
        self.assertTrue(field.index)

    def test_an_index_begins_with_each_column_that_is_looked_up(self):
        first = self.column(
            """
            SELECT DISTINCT attribute.attname FROM pg_index AS index
            JOIN pg_attribute AS attribute
              ON attrelid = indrelid AND attnum = indkey[0]
            WHERE indrelid = 'queue_job'::regclass
            """
        )
        self.assertLessEqual(
            {"uuid", "graph_uuid", "state", "channel", "company_id", "identity_key"},
            set(first),
        )

    def test_named_indexes(self):
        definitions = dict(
            zip(
                *(
                    self.column(
                        f"SELECT {column} FROM pg_indexes WHERE tablename = 'queue_job' "
                        "ORDER BY indexname"
                    )
                    for column in ("indexname", "indexdef")
                ),
                strict=True,
            )
        )
        definition = definitions["queue_job_identity_key_state_partial_index"]
        for part in (
            "(identity_key)",
            "'pending'",
            "'enqueued'",
            "'wait_dependencies'",
            "identity_key IS NOT NULL",
        ):
            self.assertIn(part, definition)
        self.assertIn(
            "(channel, date_done, date_created)",
            definitions["queue_job_channel_date_done_date_created_index"],
        )

    def test_what_happens_when_the_other_end_is_deleted(self):
        for model, name, ondelete in (
            ("queue.job", "user_id", "set null"),
            ("queue.job", "company_id", "set null"),
            ("queue.job", "job_function_id", "set null"),
            ("queue.job.channel", "parent_id", "restrict"),
            ("queue.job.function", "model_id", "cascade"),
        ):
            with self.subTest(name):
                self.assertEqual(self.env[model]._fields[name].ondelete, ondelete)

    def test_function_and_trigger(self):
        self.env.cr.execute(
            """
            SELECT lanname, typname FROM pg_proc
            JOIN pg_language ON pg_language.oid = prolang
            JOIN pg_type ON pg_type.oid = prorettype
            WHERE proname = 'queue_job_notify'
            """
        )
        self.assertEqual(self.env.cr.fetchall(), [("plpgsql", "trigger")])
        self.env.cr.execute(
            """
            SELECT action_timing, action_orientation, event_manipulation
            FROM information_schema.triggers
            WHERE event_object_table = 'queue_job' AND trigger_name = 'queue_job_notify'
            """
        )
        self.assertEqual(
            sorted(self.env.cr.fetchall()),
            [("AFTER", "ROW", event) for event in ("DELETE", "INSERT", "UPDATE")],
        )

    def test_hook_of_the_installation_can_run_twice(self):
        self.env.cr.execute("DROP TRIGGER queue_job_notify ON queue_job")
        for _time in range(2):
            post_init_hook(self.env)
        count = self.column(
            "SELECT count(*) FROM information_schema.triggers "
            "WHERE event_object_table = 'queue_job' AND trigger_name = 'queue_job_notify'"
        )
        self.assertEqual(count, [3])


@tagged("post_install", "-at_install")
class TestNotification(TransactionCase):
    def test_channel_and_payload(self):
        """Of a new job, of one that is requeued, and of one that is deleted unfinished."""
        listener = psycopg2.connect(**runner._connection_info_for(self.env.cr.dbname))
        self.addCleanup(listener.close)
        listener.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        listening = listener.cursor()
        listening.execute("LISTEN queue_job")

        def heard():
            select.select([listener], [], [], 10)
            listener.poll()
            payloads = {(note.channel, note.payload) for note in listener.notifies}
            listener.notifies.clear()
            return payloads

        with self.registry.cursor() as cr:
            job = self.env(cr=cr)["queue.job"].create(
                {"uuid": "names-notify", "state": "failed"}
            )
            row = job.id
        told = ("queue_job", "names-notify")
        self.assertIn(told, heard())
        with self.registry.cursor() as cr:
            self.env(cr=cr)["queue.job"].browse(row).requeue()
        self.assertIn(told, heard())
        with self.registry.cursor() as cr:
            self.env(cr=cr)["queue.job"].browse(row).unlink()
        self.assertIn(told, heard())


@tagged("post_install", "-at_install")
class TestRecords(TransactionCase):
    def test_access_rights(self):
        for name, model, rights in (
            ("access_queue_job_manager", "queue.job", (1, 1, 0, 0)),
            ("access_queue_job_lock_manager", "queue.job.lock", (1, 0, 0, 0)),
            ("access_queue_job_function_manager", "queue.job.function", (1, 1, 1, 1)),
            ("access_queue_job_channel_manager", "queue.job.channel", (1, 1, 1, 1)),
            ("access_queue_requeue_job", "queue.requeue.job", (1, 1, 1, 1)),
            ("access_queue_jobs_to_done", "queue.jobs.to.done", (1, 1, 1, 1)),
            ("access_queue_jobs_to_cancelled", "queue.jobs.to.cancelled", (1, 1, 1, 1)),
        ):
            with self.subTest(name):
                access = self.env.ref(f"queue_job.{name}")
                self.assertEqual(access.model_id.model, model)
                self.assertEqual(
                    access.group_id, self.env.ref("queue_job.group_queue_job_manager")
                )
                self.assertEqual(
                    (
                        access.perm_read,
                        access.perm_write,
                        access.perm_create,
                        access.perm_unlink,
                    ),
                    rights,
                )

    def test_company_rule_is_for_all_and_may_be_changed(self):
        rule = self.env.ref("queue_job.queue_job_comp_rule")
        self.assertFalse(rule.groups)
        data = self.env["ir.model.data"].search(
            [("module", "=", "queue_job"), ("name", "=", "queue_job_comp_rule")]
        )
        self.assertTrue(data.noupdate)

    def test_subtype_and_root_channel(self):
        subtype = self.env.ref("queue_job.mt_job_failed")
        self.assertEqual(subtype.res_model, "queue.job")
        root = self.env.ref("queue_job.channel_root")
        self.assertEqual((root.complete_name, root.parent_id.id), ("root", False))


@tagged("post_install", "-at_install")
class TestDescriptions(TransactionCase):
    def test_channels(self):
        channels = self.env["queue.job.channel"]
        self.assertEqual(channels._description, "Job Channels")
        self.assertEqual(channels._rec_name, "complete_name")
        self.assertTrue(channels._log_access)
        fields = channels._fields
        self.assertEqual(fields["parent_id"].string, "Parent Channel")
        self.assertEqual(fields["job_function_ids"].string, "Job Functions")
        self.assertTrue(fields["removal_interval"].required)
        self.assertTrue(
            fields["complete_name"].store and fields["complete_name"].readonly
        )
        with patch.object(type(self.env["queue.job"]), "_removal_interval", 7):
            root = self.env.ref("queue_job.channel_root")
            channel = channels.create({"name": "names", "parent_id": root.id})
        self.assertEqual(channel.removal_interval, 7)

    def test_functions(self):
        functions = self.env["queue.job.function"]
        self.assertEqual(functions._description, "Job Functions")
        self.assertFalse(functions._log_access)
        fields = functions._fields
        self.assertTrue(fields["name"].store and fields["name"].index)
        self.assertTrue(fields["channel_id"].required)
        self.assertFalse(fields["model_id"].required)
        self.assertTrue(fields["channel"].store and fields["channel"].readonly)
        for name in ("retry_pattern", "related_action"):
            self.assertEqual(fields[name].type, "job_serialized")
            self.assertEqual(fields[f"edit_{name}"].type, "text")
        model = self.env.ref("base.model_res_users")
        function = functions.create({"model_id": model.id, "method": "names"})
        self.assertEqual(function.channel_id, self.env.ref("queue_job.channel_root"))
        self.assertEqual(
            functions.JobConfig._fields,
            (
                "channel",
                "retry_pattern",
                "related_action_enable",
                "related_action_func_name",
                "related_action_kwargs",
                "job_function_id",
                "allow_commit",
                "on_fail_method_name",
            ),
        )

    def test_unreadable_retry_pattern_is_logged(self):
        function = self.env.ref("queue_job.job_function_queue_job__test_job")
        self.env.cr.execute(
            "UPDATE queue_job_function SET retry_pattern = %s WHERE id = %s",
            ['"{\\"a\\": 1}"', function.id],
        )
        function.invalidate_recordset()
        with self.assertLogs(FUNCTION_LOGGER, "ERROR"):
            self.assertEqual(function._parse_retry_pattern(), {})

    def test_states_of_the_field(self):
        self.assertEqual(
            self.env["queue.job"]._fields["state"].selection,
            [
                ("wait_dependencies", "Wait Dependencies"),
                ("pending", "Pending"),
                ("enqueued", "Enqueued"),
                ("started", "Started"),
                ("done", "Done"),
                ("cancelled", "Cancelled"),
                ("failed", "Failed"),
            ],
        )

    def test_name_of_a_job_is_its_description(self):
        job = self.env["res.partner"].with_delay(description="D").create_company()
        self.assertEqual(job.db_record().display_name, "D")

    def test_creation_of_jobs_logs_and_subscribes_nothing(self):
        contexts = []
        create = MailThread.create

        def spy(records, vals_list):
            contexts.append(records.env.context)
            return create(records, vals_list)

        spy._api_model = True
        with patch.object(MailThread, "create", spy):
            self.env["queue.job"].create({"uuid": "names", "state": "pending"})
        [context] = contexts
        self.assertTrue(context["mail_create_nolog"])
        self.assertTrue(context["mail_create_nosubscribe"])


@tagged("post_install", "-at_install")
class TestSettings(TransactionCase):
    def test_each_variable_wins_over_its_key(self):
        section = {
            name: f"{name} of the file"
            for name in (
                "channels",
                "scheme",
                "host",
                "port",
                "http_auth_user",
                "http_auth_password",
                "jobrunner_db_host",
                "jobrunner_db_port",
                "jobrunner_db_user",
                "jobrunner_db_password",
            )
        }

        def settings():
            values = config.runner_settings()
            info = config.connection_info_for("any")
            return {
                "channels": values["channel_config_string"],
                "scheme": values["scheme"],
                "host": values["host"],
                "port": values["port"],
                "http_auth_user": values["user"],
                "http_auth_password": values["password"],
                **{
                    f"jobrunner_db_{key}": info.get(key)
                    for key in ("host", "port", "user", "password")
                },
            }

        variables = {f"ODOO_QUEUE_JOB_{name.upper()}": "" for name in section}
        with (
            patch.object(configuration, "queue_job_section", lambda: section),
            patch.dict("os.environ", variables),
        ):
            self.assertEqual(settings(), section)
            for name in section:
                variable = {f"ODOO_QUEUE_JOB_{name.upper()}": "of the environment"}
                with self.subTest(name), patch.dict("os.environ", variable):
                    self.assertEqual(
                        settings(), {**section, name: "of the environment"}
                    )
