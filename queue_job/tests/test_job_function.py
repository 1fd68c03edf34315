# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, TransactionCase, new_test_user, tagged
from odoo.tools import mute_logger

from .test_migrations import load_script

SIBLINGS = {"queue_job_cron_x"}
CHECKS_LOGGER = "odoo.addons.queue_job.models.queue_job_function"


class FunctionCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.functions = cls.env["queue.job.function"]
        cls.users_model = cls.env.ref("base.model_res_users")
        cls.root = cls.env.ref("queue_job.channel_root")
        cls.manager = new_test_user(
            cls.env,
            "qj_function_manager",
            groups="base.group_user,queue_job.group_queue_job_manager",
        )

    def make(self, **vals):
        return self.functions.create(
            {"model_id": self.users_model.id, "method": "read", **vals}
        )

    def make_by_person(self, **vals):
        functions = self.functions.with_user(self.manager)
        return functions.create(
            {"model_id": self.users_model.id, "method": "read", **vals}
        )

    def define(self, model, name, module="odoo.addons.test_queue_job.models.hooks"):
        """Let an addon define a method on a model, as its class in Python would."""
        method = self.patch_method(model, name)
        definition = type("Definition", (), {"__module__": module, name: method})
        model_class = self.registry[model]
        classes = (definition, *model_class._model_classes__)
        # The addon depends on this one; it may not be installed here.
        third_parties = {definition.__module__.split(".")[2]} - SIBLINGS
        self.patch(
            type(self.functions), "_third_parties", lambda functions: third_parties
        )
        self.patch(model_class, "_model_classes__", classes)
        return method

    def patch_method(self, model, name):
        def method(self, **kwargs):
            return None

        model_class = self.registry[model]
        if name in vars(model_class) or hasattr(model_class, name):
            self.patch(model_class, name, method)
        else:
            setattr(model_class, name, method)
            self.addCleanup(delattr, model_class, name)
        return method


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
        for pattern in ({"a": 1}, {1: "x"}, {1: [1, 2, 3]}, [10, 60], (10,), "10", 10):
            with self.subTest(pattern=pattern), self.assertRaises(ValidationError):
                self.make(retry_pattern=pattern)

    def test_unreadable_pattern_of_an_old_row_is_ignored(self):
        function = self.make()
        function.flush_recordset()
        for text in ('"{\\"a\\": 1}"', '"[10, 60]"', "[10, 60]", "10"):
            self.env.cr.execute(
                "UPDATE queue_job_function SET retry_pattern = %s WHERE id = %s",
                [text, function.id],
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

    def test_s04_a_person_names_only_what_is_meant_for_it(self):
        """C9: a job manager ran private methods of the sibling addons, because only
        names of the framework and of this addon were refused.
        """
        self.define(
            "queue.job", "_fail_over_limit", "odoo.addons.queue_job_cron_x.models"
        )
        names = ("unlink", "write", "create", "sudo", "_write", "with_delay", "requeue")
        names += ("message_post", "button_done", "_change_job_state", "__class__")
        names += ("_register_hook", "_message_post_on_failure", "activity_schedule")
        names += ("_fail_over_limit", "_test_job", "testing_related_method", "no_such")
        by_person = self.make_by_person()
        for name in names:
            action = {"func_name": name}
            with (
                self.subTest(name=name),
                self.assertRaisesRegex(UserError, "related_action_"),
            ):
                self.make_by_person(related_action=action)
            with self.subTest(name=name), self.assertRaises(UserError):
                by_person.edit_related_action = str(action)
                by_person.flush_recordset()

    def test_s04_a_marked_method_is_allowed(self):
        method = self.define("queue.job", "open_order")
        with self.assertRaises(UserError):
            self.make_by_person(related_action={"func_name": "open_order"})
        method._queue_job_related_action = True
        self.make_by_person(related_action={"func_name": "open_order"})
        # An override needs no mark of its own.
        self.define("queue.job", "open_order")
        self.make_by_person(related_action={"func_name": "open_order"})

    def test_s04_a_method_named_as_related_action_is_allowed(self):
        for name in ("related_action_open_record", "related_action_of_later"):
            self.make_by_person(related_action={"func_name": name})

    def test_data_files_may_name_any_method(self):
        """C3: methods that a third party defines on `base` or `mail.thread` were refused."""
        for name in ("search_read", "unlink", "open_on_base"):
            with self.subTest(name=name):
                function = self.make(related_action={"func_name": name})
                self.assertFalse(function.related_action_by_user)

    def test_a_person_who_moves_a_declared_function_is_checked(self):
        function = self.make(related_action={"func_name": "unlink"})
        with self.assertRaises(UserError):
            function.with_user(self.manager).method = "write"
        function.with_user(self.manager).allow_commit = True
        self.assertFalse(function.related_action_by_user)


@tagged("post_install", "-at_install")
class TestOnFailMethod(FunctionCase):
    def test_s04_framework_methods_are_refused_to_a_person(self):
        model = self.env.ref("base.model_res_partner")
        for name in ("unlink", "write", "_create", "with_delay", "message_post"):
            with (
                self.subTest(name=name),
                self.assertRaisesRegex(UserError, "framework"),
            ):
                self.make_by_person(model_id=model.id, on_fail_method=name)

    def test_s04_what_another_odoo_addon_defines_everywhere_is_framework(self):
        """The addons of Odoo that extend `base` do not depend on this one."""
        with self.assertRaisesRegex(UserError, "framework"):
            self.make_by_person(on_fail_method="web_save")

    def test_s04_an_override_by_a_third_party_is_still_the_framework(self):
        self.define("base", "unlink")
        with self.assertRaisesRegex(UserError, "framework"):
            self.make_by_person(on_fail_method="unlink")

    def test_s04_moves_of_jobs_are_refused(self):
        model = self.env.ref("queue_job.model_queue_job")
        self.define(
            "queue.job", "_fail_over_limit", "odoo.addons.queue_job_cron_x.models"
        )
        for name in ("requeue", "_fail_over_limit", "_test_job"):
            with self.subTest(name=name), self.assertRaises(UserError):
                self.make_by_person(model_id=model.id, on_fail_method=name)
        self.make_by_person(model_id=model.id, on_fail_method="_test_on_fail")

    def test_a_hook_of_a_third_party_on_every_model_is_allowed(self):
        """C3: a hook on `base` or `mail.thread` was taken for one of the framework."""
        for model in ("base", "mail.thread"):
            hook = f"_on_fail_of_{model.replace('.', '_')}"
            self.define(model, hook)
            partner = self.env.ref("base.model_res_partner")
            with self.subTest(model=model):
                self.make_by_person(model_id=partner.id, on_fail_method=hook)

    def test_a_hook_of_a_third_party_on_the_job_is_allowed(self):
        model = self.env.ref("queue_job.model_queue_job")
        self.define("queue.job", "_on_fail_of_job")
        self.make_by_person(model_id=model.id, on_fail_method="_on_fail_of_job")

    def test_method_of_the_model_is_allowed(self):
        self.make_by_person(on_fail_method="context_get")

    def test_a_person_names_a_hook_that_exists(self):
        """Each call of the job function would fail otherwise."""
        for name in ("no_such_hook", "login"):
            with self.subTest(name=name), self.assertRaisesRegex(UserError, name):
                self.make_by_person(on_fail_method=name)

    def test_data_files_may_name_any_method(self):
        """OCA's suite names ``search_read``."""
        for name in ("search_read", "unlink", "hook_of_later"):
            with self.subTest(name=name):
                self.assertFalse(self.make(on_fail_method=name).on_fail_method_by_user)

    def test_the_author_is_who_wrote_last(self):
        function = self.make_by_person(on_fail_method="context_get")
        self.assertTrue(function.on_fail_method_by_user)
        function.sudo().allow_commit = True
        self.assertTrue(function.on_fail_method_by_user)
        function.sudo().on_fail_method = "unlink"
        self.assertFalse(function.on_fail_method_by_user)
        function.on_fail_method = "context_get"
        self.assertTrue(function.on_fail_method_by_user)

    def test_a_person_does_not_choose_the_author(self):
        function = self.make_by_person(on_fail_method="context_get")
        function.write({"on_fail_method_by_user": False})
        self.assertTrue(function.on_fail_method_by_user)
        again = self.make_by_person(
            on_fail_method="context_get", on_fail_method_by_user=False
        )
        self.assertTrue(again.on_fail_method_by_user)


@tagged("post_install", "-at_install")
class TestNamesAtLoading(FunctionCase):
    """Names that a module's author mistyped are logged when the registry is loaded."""

    def logged(self, **vals):
        function = self.make(**vals)
        self.env["ir.model.data"].create(
            {
                "module": "queue_job",
                "name": "job_function_mistyped",
                "model": "queue.job.function",
                "res_id": function.id,
            }
        )
        self.env.flush_all()
        with self.assertLogs(CHECKS_LOGGER, "WARNING") as logs:
            self.functions._register_hook()
        return [
            line for line in logs.output if "queue_job.job_function_mistyped" in line
        ]

    def test_a_method_that_does_not_exist_is_named_with_its_xml_id(self):
        (line,) = self.logged(method="no_such_method")
        self.assertIn("res.users", line)
        self.assertIn("no_such_method", line)

    def test_a_field_is_no_method(self):
        (line,) = self.logged(method="login")
        self.assertIn("login", line)

    def test_an_on_fail_method_that_does_not_exist_is_named(self):
        (line,) = self.logged(on_fail_method="no_such_hook")
        self.assertIn("no_such_hook", line)

    def test_the_names_of_this_suite_exist(self):
        with self.assertNoLogs(CHECKS_LOGGER, "WARNING"):
            self.functions._register_hook()


@tagged("post_install", "-at_install")
class TestNamesAfterAnUpgrade(FunctionCase):
    """What a person could not name now is logged when older rows come in."""

    def logged(self):
        with self.assertLogs(CHECKS_LOGGER, "WARNING") as logs:
            self.functions._log_refused_methods()
        return [line for line in logs.output if "<res.users>.read" in line]

    def test_declared_names_are_logged_and_kept(self):
        self.make(related_action={"func_name": "unlink"}, on_fail_method="write")
        self.assertEqual(len(self.logged()), 2)

    def test_a_name_of_a_person_is_said_to_be_refused(self):
        self.make(related_action={"func_name": "unlink"}).flush_recordset()
        self.env.cr.execute(
            "UPDATE queue_job_function SET related_action_by_user = true "
            "WHERE name = '<res.users>.read'"
        )
        self.env.invalidate_all()
        (line,) = self.logged()
        self.assertIn("No action available", line)

    def test_rows_of_modules_and_of_persons_are_told_apart(self):
        by_module = self.make(method="write")
        by_person = self.make(method="search")
        exported = self.make(method="create")
        for module, function in (("queue_job", by_module), ("__export__", exported)):
            self.env["ir.model.data"].create(
                {
                    "module": module,
                    "name": f"function_{function.id}",
                    "model": "queue.job.function",
                    "res_id": function.id,
                }
            )
        functions = by_module | by_person | exported
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE queue_job_function SET related_action_by_user = NULL, "
            "on_fail_method_by_user = NULL WHERE id = ANY(%s)",
            [functions.ids],
        )
        load_script("post").migrate(self.env.cr, "19.0.2.4.0")
        self.env.invalidate_all()
        for name in ("related_action_by_user", "on_fail_method_by_user"):
            self.assertEqual(functions.mapped(name), [False, True, True])


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
