# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, TransactionCase, tagged
from odoo.tools import mute_logger


class FunctionCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.functions = cls.env["queue.job.function"]
        cls.users_model = cls.env.ref("base.model_res_users")
        cls.root = cls.env.ref("queue_job.channel_root")

    def make(self, **vals):
        return self.functions.create(
            {"model_id": self.users_model.id, "method": "read", **vals}
        )


@tagged("post_install", "-at_install")
class TestName(FunctionCase):
    def test_computed_from_model_and_method(self):
        self.assertEqual(self.make().name, "<res.users>.read")

    def test_empty_while_something_is_missing(self):
        self.assertEqual(self.make(method=False).name, "")

    def test_sets_model_and_method(self):
        function = self.functions.create({"name": "<res.users>._Read2"})
        self.assertEqual(
            (function.model_id, function.method), (self.users_model, "_Read2")
        )
        function.name = "<res.partner>.read"
        self.assertEqual(function.model_id.model, "res.partner")

    def test_wrong_form_is_refused(self):
        for name in (
            "res.users.read",
            "<res.users>",
            "<res.users>.re ad",
            "<Res>.x",
            "",
        ):
            with (
                self.subTest(name=name),
                self.assertRaisesRegex(UserError, "angle brackets"),
            ):
                self.functions.create({"name": name})

    def test_unknown_model_is_refused(self):
        with self.assertRaisesRegex(UserError, "no model 'no.such.model'"):
            self.functions.create({"name": "<no.such.model>.read"})

    def test_name_of_a_method(self):
        self.assertEqual(self.functions.job_function_name("a.b", "c"), "<a.b>.c")


@tagged("post_install", "-at_install")
class TestConfig(FunctionCase):
    def test_all_settings(self):
        channel = self.env["queue.job.channel"].create(
            {"name": "foo", "parent_id": self.root.id}
        )
        function = self.make(
            channel_id=channel.id,
            edit_retry_pattern="{1: 2, 3: 4}",
            edit_related_action=(
                '{"enable": True, "func_name": "related_action_foo", "kwargs": {"b": 1}}'
            ),
            on_fail_method="on_fail_foo",
            allow_commit=True,
        )
        self.assertEqual(
            self.functions.job_config("<res.users>.read"),
            self.functions.JobConfig(
                channel="root.foo",
                retry_pattern={1: 2, 3: 4},
                related_action_enable=True,
                related_action_func_name="related_action_foo",
                related_action_kwargs={"b": 1},
                job_function_id=function.id,
                allow_commit=True,
                on_fail_method_name="on_fail_foo",
            ),
        )

    def test_default(self):
        self.assertEqual(
            self.functions.job_config("<res.users>.no_record"),
            self.functions.job_default_config(),
        )
        self.assertEqual(
            self.functions.job_default_config(),
            ("root", {}, True, None, {}, None, False, None),
        )

    def test_record_without_settings(self):
        function = self.make()
        self.assertEqual(
            self.functions.job_config("<res.users>.read"),
            ("root", {}, True, None, {}, function.id, False, False),
        )

    def test_cached_without_queries(self):
        self.make()
        self.functions.job_config("<res.users>.read")
        with self.assertQueryCount(0):
            self.functions.job_config("<res.users>.read")

    def test_cache_follows_changes(self):
        name = "<res.users>.read"
        self.functions.job_config(name)
        function = self.make()
        self.assertEqual(self.functions.job_config(name).job_function_id, function.id)
        function.allow_commit = True
        self.assertTrue(self.functions.job_config(name).allow_commit)
        function.unlink()
        self.assertFalse(self.functions.job_config(name).job_function_id)

    def test_cache_follows_the_channels_name(self):
        parent = self.env["queue.job.channel"].create(
            {"name": "a", "parent_id": self.root.id}
        )
        channel = self.env["queue.job.channel"].create(
            {"name": "b", "parent_id": parent.id}
        )
        self.make(channel_id=channel.id)
        self.assertEqual(
            self.functions.job_config("<res.users>.read").channel, "root.a.b"
        )
        parent.name = "c"
        self.assertEqual(
            self.functions.job_config("<res.users>.read").channel, "root.c.b"
        )

    def test_oldest_of_several_counts(self):
        first = self.make()
        self.make(allow_commit=True)
        config = self.functions.job_config("<res.users>.read")
        self.assertEqual(config.job_function_id, first.id)

    def test_not_over_rpc(self):
        for name in ("job_config", "job_default_config"):
            method = getattr(self.env.registry["queue.job.function"], name)
            self.assertTrue(getattr(method, "_api_private", False))


@tagged("post_install", "-at_install")
class TestRetryPattern(FunctionCase):
    def test_typed_text_is_shown_back(self):
        function = self.make()
        for text in ("{1: 10, 2: 20}", "{1: (10, 20), 2: (20, 40)}"):
            with self.subTest(text=text):
                function.edit_retry_pattern = text
                function.flush_recordset()
                function.invalidate_recordset()
                self.assertEqual(function.edit_retry_pattern, text)

    def test_pairs_are_tuples_in_the_configuration(self):
        self.make(retry_pattern={1: [10, 20], 5: (1, 2), 7: 3})
        self.assertEqual(
            self.functions.job_config("<res.users>.read").retry_pattern,
            {1: (10, 20), 5: (1, 2), 7: 3},
        )

    def test_empty_text(self):
        function = self.make(retry_pattern={1: 10})
        for text in ("", "  ", False):
            function.edit_retry_pattern = text
            self.assertEqual(function.retry_pattern, {})

    def test_refused(self):
        cases = (
            "{1: ",
            "foo",
            "{1: foo}",
            "[1]",
            "1",
            "{'a': 1}",
            "{1: 'b'}",
            "{1: (1,)}",
        )
        cases += (
            "{1: (1, 2, 3)}",
            "{1: 1.5}",
            "{1: '10'}",
            "{1.5: 1}",
            "{1: None}",
            "{-1: 1}",
        )
        cases += (
            "{1: -1}",
            "{1: (20, 10)}",
            "{1: True}",
            "{1: ('1', 2)}",
            "__import__('os')",
        )
        function = self.make()
        for text in cases:
            with (
                self.subTest(text=text),
                self.assertRaisesRegex(UserError, "10: .300, 600."),
            ):
                function.edit_retry_pattern = text
                function.flush_recordset()

    def test_refused_when_declared(self):
        for pattern in ({"a": 1}, {1: "x"}, {1: [1, 2, 3]}):
            with self.subTest(pattern=pattern), self.assertRaises(ValidationError):
                self.make(retry_pattern=pattern)

    def test_unreadable_pattern_of_an_old_row_is_ignored(self):
        function = self.make()
        function.flush_recordset()
        self.env.cr.execute(
            "UPDATE queue_job_function SET retry_pattern = %s WHERE id = %s",
            ['"{\\"a\\": 1}"', function.id],
        )
        function.invalidate_recordset()
        with mute_logger("odoo.addons.queue_job.models.queue_job_function"):
            self.assertEqual(function._parse_retry_pattern(), {})


@tagged("post_install", "-at_install")
class TestRelatedAction(FunctionCase):
    def test_typed_text(self):
        function = self.make()
        text = "{'enable': True, 'func_name': 'related_action_x', 'kwargs': {'a': 1}}"
        function.edit_related_action = text
        self.assertEqual(function.edit_related_action, text)
        function.edit_related_action = ""
        self.assertEqual(function.related_action, {})

    def test_disabled(self):
        self.make(related_action={"enable": False})
        self.assertFalse(
            self.functions.job_config("<res.users>.read").related_action_enable
        )

    def test_refused(self):
        function = self.make()
        for text in (
            "{",
            "foo",
            "{'other': 1}",
            "{'func_name': 1}",
            "{'kwargs': [1]}",
            "'a'",
        ):
            with (
                self.subTest(text=text),
                self.assertRaisesRegex(UserError, "related_action_foo"),
            ):
                function.edit_related_action = text
                function.flush_recordset()

    def test_s04_framework_methods_are_refused(self):
        names = (
            "unlink",
            "write",
            "create",
            "sudo",
            "_write",
            "with_delay",
            "message_post",
        )
        names += (
            "requeue",
            "button_done",
            "_change_job_state",
            "__class__",
            "_register_hook",
        )
        names += ("_message_post_on_failure", "activity_schedule")
        for name in names:
            with (
                self.subTest(name=name),
                self.assertRaisesRegex(UserError, "framework"),
            ):
                self.make(related_action={"func_name": name})
            with self.subTest(name=name), self.assertRaises(UserError):
                self.functions._check_callable_name("queue.job", name)

    def test_s04_methods_meant_for_it_are_allowed(self):
        self.functions._check_callable_name("queue.job", "related_action_open_record")
        cls = self.env.registry["queue.job"]
        cls.testing_related = lambda self: None
        self.addCleanup(delattr, cls, "testing_related")
        self.functions._check_callable_name("queue.job", "testing_related")

    def test_s04_missing_method_is_refused_when_called(self):
        self.make(related_action={"func_name": "no_such_method"})
        for model, name in (
            ("queue.job", "no_such_method"),
            ("no.model", "x"),
            ("queue.job", "state"),
        ):
            with self.subTest(name=name), self.assertRaises(UserError):
                self.functions._check_callable_name(model, name)


@tagged("post_install", "-at_install")
class TestOnFailMethod(FunctionCase):
    def test_s04_framework_methods_are_refused(self):
        for name in ("unlink", "write", "_create", "with_delay", "env"):
            with (
                self.subTest(name=name),
                self.assertRaisesRegex(UserError, "framework"),
            ):
                self.make(on_fail_method=name)

    def test_s04_moves_of_jobs_are_refused(self):
        model = self.env.ref("queue_job.model_queue_job")
        with self.assertRaises(UserError):
            self.make(model_id=model.id, on_fail_method="requeue")
        self.make(model_id=model.id, on_fail_method="_test_on_fail")

    def test_method_of_the_model_is_allowed(self):
        self.make(on_fail_method="context_get")
        self.functions._check_callable_name("res.users", "context_get")


@tagged("post_install", "-at_install")
class TestDeclaration(FunctionCase):
    """Records that modules declare in XML are merged."""

    def declare(self, **vals):
        return self.functions.with_context(install_mode=True).create(vals)

    def test_same_name(self):
        function = self.make()
        again = self.declare(name="<res.users>.read", allow_commit=True)
        self.assertEqual(again, function)
        self.assertTrue(function.allow_commit)

    def test_same_model_and_method(self):
        function = self.make()
        again = self.declare(
            model_id=self.users_model.id, method="read", retry_pattern={1: 2}
        )
        self.assertEqual(again, function)
        self.assertEqual(function.retry_pattern, {"1": 2})

    def test_noupdate_record_is_kept_as_it_is(self):
        function = self.make()
        self.env["ir.model.data"].create(
            {
                "module": "queue_job",
                "name": "test_function",
                "model": "queue.job.function",
                "res_id": function.id,
                "noupdate": True,
            }
        )
        self.assertEqual(
            self.declare(name="<res.users>.read", allow_commit=True), function
        )
        self.assertFalse(function.allow_commit)

    def test_new_ones_in_order(self):
        function = self.make()
        records = self.functions.with_context(install_mode=True).create(
            [
                {"name": "<res.users>.b"},
                {"name": "<res.users>.read"},
                {"name": "<res.users>.a"},
                {"name": "<res.users>.b"},
            ]
        )
        self.assertEqual(records.mapped("method"), ["b", "read", "a", "b"])
        self.assertEqual(records[1], function)
        self.assertFalse(self.functions.with_context(install_mode=True).create([]))

    def test_not_merged_without_install_mode(self):
        self.assertNotEqual(self.make(), self.make())

    def test_own_function(self):
        function = self.env.ref("queue_job.job_function_queue_job__test_job")
        self.assertEqual(function.name, "<queue.job>._test_job")
        self.assertEqual(function.channel, "root")


@tagged("post_install", "-at_install")
class TestForm(FunctionCase):
    @mute_logger("odoo.tests.form.onchange")
    def test_everything_can_be_configured(self):
        with Form(self.functions) as form:
            form.model_id = self.users_model
            form.method = "context_get"
            form.on_fail_method = "name_search_failed"
            form.edit_retry_pattern = "{1: 10}"
            form.edit_related_action = "{'enable': False}"
            form.allow_commit = True
        function = form.record
        self.assertEqual(function.name, "<res.users>.context_get")
        self.assertEqual(function.retry_pattern, {"1": 10})
        self.assertEqual(function.related_action, {"enable": False})

    def test_missing_method_gives_a_warning(self):
        function = self.functions.new(
            {"model_id": self.users_model.id, "method": "no_method"}
        )
        self.assertIn("no_method", function._onchange_names()["warning"]["message"])

    def test_second_function_of_a_method_gives_a_warning(self):
        self.make()
        function = self.functions.new(
            {"model_id": self.users_model.id, "method": "read"}
        )
        self.assertIn("already", function._onchange_names()["warning"]["message"])
        self.assertFalse(self.make(method="search")._onchange_names())
