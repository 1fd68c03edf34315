# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Who may do what with jobs, from Python and over RPC.

The tests named after S1 to S12 hold a weakness of the field closed.
"""

import json
from datetime import datetime

from odoo import Command
from odoo.exceptions import AccessError, UserError
from odoo.service.model import call_kw
from odoo.tests import TransactionCase, new_test_user, tagged
from odoo.tools.safe_eval import safe_eval

from ..job import Job

MODELS = (
    "queue.job",
    "queue.job.lock",
    "queue.job.function",
    "queue.job.channel",
    "queue.job.dependency",
    "queue.job.key",
    "queue.requeue.job",
    "queue.jobs.to.done",
    "queue.jobs.to.cancelled",
    "queue.jobs.to.stopped",
)
# Model: rights of a manager to read, write, create, delete.
MANAGER_RIGHTS = {
    "queue.job": (True, True, False, False),
    "queue.job.lock": (True, False, False, False),
    "queue.job.function": (True, True, True, True),
    "queue.job.channel": (True, True, True, True),
    "queue.job.dependency": (False, False, False, False),
    "queue.job.key": (False, False, False, False),
    "queue.requeue.job": (True, True, True, True),
    "queue.jobs.to.done": (True, True, True, True),
    "queue.jobs.to.cancelled": (True, True, True, True),
    "queue.jobs.to.stopped": (True, True, True, True),
}


class SecurityCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        manager_groups = "base.group_user,queue_job.group_queue_job_manager"
        cls.manager = new_test_user(cls.env, "qj_manager", groups=manager_groups)
        cls.admin = new_test_user(
            cls.env, "qj_admin", groups=f"{manager_groups},base.group_system"
        )
        cls.internal = new_test_user(cls.env, "qj_internal", groups="base.group_user")
        cls.portal = new_test_user(cls.env, "qj_portal", groups="base.group_portal")
        cls.public = cls.env.ref("base.public_user")
        cls.sentinel = cls.env.registry["queue.job"].EDIT_SENTINEL

    def make_job(self, user=None, **properties):
        partner = self.env["res.partner"].with_user(user or self.internal)
        return partner.with_delay(**properties).create_company().db_record()

    def rpc(self, user, model, method, *args, **kwargs):
        """Call as the RPC entry points of Odoo do."""
        result = call_kw(self.env[model].with_user(user), method, list(args), kwargs)
        self.env.flush_all()
        return result


@tagged("post_install", "-at_install")
class TestRights(SecurityCase):
    def test_rights_of_managers(self):
        for model, rights in MANAGER_RIGHTS.items():
            records = self.env[model].with_user(self.manager)
            operations = ("read", "write", "create", "unlink")
            with self.subTest(model=model):
                found = tuple(map(records.has_access, operations))
                self.assertEqual(found, rights)

    def test_nobody_else_has_any(self):
        for user in (self.internal, self.portal, self.public):
            for model in MODELS:
                for operation in ("read", "write", "create", "unlink"):
                    with self.subTest(
                        user=user.login, model=model, operation=operation
                    ):
                        self.assertFalse(
                            self.env[model].with_user(user).has_access(operation)
                        )

    def test_menus_are_for_managers(self):
        root = self.env.ref("queue_job.menu_queue_job_root")
        menus = self.env["ir.ui.menu"]
        self.assertIn(root.id, menus.with_user(self.manager)._visible_menu_ids())
        self.assertNotIn(root.id, menus.with_user(self.internal)._visible_menu_ids())

    def test_group(self):
        group = self.env.ref("queue_job.group_queue_job_manager")
        self.assertIn(self.env.ref("base.user_admin"), group.user_ids)
        self.assertIn(
            self.env.ref("base.user_root"),
            group.with_context(active_test=False).user_ids,
        )
        self.assertEqual(
            group.privilege_id, self.env.ref("queue_job.privilege_queue_job")
        )
        self.assertTrue(self.env.ref("queue_job.module_category_queue_job"))

    def test_company_rule(self):
        other = self.env["res.company"].create({"name": "Other"})
        job = self.make_job()
        job.company_id = other
        jobs = self.env["queue.job"].with_user(self.manager)
        self.assertFalse(jobs.search([("id", "=", job.id)]))
        with self.assertRaises(AccessError):
            jobs.browse(job.id).button_cancelled()
        job.company_id = False
        self.assertTrue(jobs.search([("id", "=", job.id)]))


@tagged("post_install", "-at_install")
class TestManager(SecurityCase):
    """What managers can do, and only through the doors meant for it."""

    def test_s01_create_is_private(self):
        vals = {
            "uuid": "x",
            "state": "pending",
            "model_name": "res.users",
            "method_name": "unlink",
        }
        for user in (
            self.env.ref("base.user_root"),
            self.admin,
            self.manager,
            self.internal,
        ):
            with self.subTest(user=user.login), self.assertRaises(AccessError):
                self.rpc(user, "queue.job", "create", [vals])

    def test_s01_no_other_way_to_create(self):
        job = self.make_job()
        for user in (self.admin, self.manager):
            for method, args in (
                ("copy", [job.ids]),
                ("name_create", ["x"]),
                ("web_save", [[], {"uuid": "x", "state": "pending"}, {}]),
                ("load", [["uuid", "state"], [["x", "pending"]]]),
            ):
                with self.subTest(user=user.login, method=method):
                    count = self.env["queue.job"].search_count([])
                    try:
                        with self.env.cr.savepoint():
                            result = self.rpc(user, "queue.job", method, *args)
                    except Exception:
                        continue
                    self.assertEqual(method, "load")
                    self.assertFalse(result["ids"])
                    self.assertEqual(self.env["queue.job"].search_count([]), count)

    def test_s01_no_delete(self):
        job = self.make_job()
        for user in (self.admin, self.manager):
            with self.assertRaises(AccessError):
                self.rpc(user, "queue.job", "unlink", job.ids)

    def test_s01_protected_fields_need_the_sentinel(self):
        job = self.make_job()
        for context in (
            {},
            {"_job_edit_sentinel": True},
            {"_job_edit_sentinel": "object"},
        ):
            for user in (self.env.ref("base.user_root"), self.admin, self.manager):
                with self.assertRaisesRegex(AccessError, "method_name"):
                    self.rpc(
                        user,
                        "queue.job",
                        "write",
                        job.ids,
                        {"method_name": "x"},
                        context=context,
                    )
        with self.assertRaises(AccessError):
            job.sudo().write({"records": self.env["res.users"]})
        job.with_context(_job_edit_sentinel=self.sentinel).write({"name": "changed"})
        self.assertEqual(job.name, "changed")

    def test_s03_user_can_be_set_to_oneself_only(self):
        job = self.make_job()
        for user_id in (1, self.admin.id, self.internal.id):
            with self.subTest(user_id=user_id), self.assertRaises(AccessError):
                self.rpc(
                    self.manager, "queue.job", "write", job.ids, {"user_id": user_id}
                )
        self.rpc(
            self.manager, "queue.job", "write", job.ids, {"user_id": self.manager.id}
        )
        job.invalidate_recordset()
        self.assertEqual(job.user_id, self.manager)
        self.assertEqual(job.records.env.user, self.manager)
        self.assertFalse(job.records.env.su)

    def test_s03_system_administrator_may_set_the_user(self):
        job = self.make_job()
        self.rpc(self.admin, "queue.job", "write", job.ids, {"user_id": self.portal.id})
        self.assertEqual(job.user_id, self.portal)

    def test_s03_states_move_by_buttons_only(self):
        job = self.make_job()
        for vals in (
            {"state": "done"},
            {"retry": 0},
            {"company_id": False},
            {"identity_key": "x"},
            {"date_done": datetime.now()},
            {"result": "x"},
        ):
            with self.subTest(vals=vals), self.assertRaises(AccessError):
                self.rpc(self.manager, "queue.job", "write", job.ids, vals)
        self.rpc(self.manager, "queue.job", "button_cancelled", job.ids)
        self.assertEqual(job.state, "cancelled")
        self.rpc(self.manager, "queue.job", "requeue", job.ids)
        self.assertEqual(job.state, "pending")
        self.rpc(self.manager, "queue.job", "button_done", job.ids)
        self.assertEqual(job.state, "done")
        with self.assertRaises(AccessError):
            self.rpc(self.manager, "queue.job", "_change_job_state", job.ids, "pending")

    def code_of(self, user, jobs, code):
        """Run code as a server action does, with the rights of a user."""
        safe_eval(code, {"records": jobs.with_user(user)}, mode="exec")
        self.env.flush_all()
        jobs.invalidate_recordset()

    def test_s03_code_moves_with_the_rights_of_a_manager(self):
        """C6: server actions and buttons of other addons got an AccessError."""
        jobs = self.make_job() | self.make_job()
        for state, result in (
            ("cancelled", "Cancelled by"),
            ("pending", None),
            ("done", "Manually set to done by"),
        ):
            self.code_of(self.manager, jobs, f"records.write({{'state': '{state}'}})")
            self.assertEqual(jobs.mapped("state"), [state] * 2)
            if result:
                self.assertIn(result, jobs[0].result)
        self.assertTrue(jobs[0].date_done)
        self.code_of(
            self.manager, jobs, "records.write({'state': 'pending', 'priority': 3})"
        )
        self.assertEqual(jobs.mapped("priority"), [3, 3])
        self.assertEqual(jobs.mapped("state"), ["pending"] * 2)

    def test_s03_code_moves_only_where_a_button_does(self):
        job = self.make_job()
        for code in (
            "records.write({'state': 'started'})",
            "records.write({'state': 'failed'})",
            "records.write({'state': 'done', 'retry': 0})",
            "records.write({'state': 'done', 'method_name': 'unlink'})",
            "records.with_context(_job_edit_sentinel=True).write({'state': 'done'})",
        ):
            with (
                self.subTest(code=code),
                self.assertRaises(AccessError),
                self.env.cr.savepoint(),
            ):
                self.code_of(self.manager, job, code)
            job.invalidate_recordset()
            self.assertEqual(job.state, "pending")
        job.sudo().write({"state": "started"})
        with self.assertRaises(AccessError):
            self.code_of(self.manager, job, "records.write({'state': 'cancelled'})")

    def test_s03_code_of_others_moves_nothing(self):
        job = self.make_job()
        for user in (self.internal, self.portal):
            with (
                self.subTest(user=user.login),
                self.assertRaises(AccessError),
                self.env.cr.savepoint(),
            ):
                self.code_of(user, job, "records.write({'state': 'done'})")
        self.assertEqual(job.state, "pending")

    def test_s03_no_way_of_a_client_moves(self):
        job = self.make_job()
        for method, args in (
            ("write", [{"state": "done"}]),
            ("web_save", [{"state": "done"}, {}]),
        ):
            with self.subTest(method=method), self.assertRaises(AccessError):
                self.rpc(self.manager, "queue.job", method, job.ids, *args)
        self.assertEqual(job.state, "pending")

    def test_user_may_requeue_where_the_function_says_so(self):
        """C6: the reader of his own failed job could not requeue it."""
        self.env["ir.model.access"].create(
            {
                "name": "readers of jobs",
                "model_id": self.env["ir.model"]._get_id("queue.job"),
                "group_id": self.env.ref("base.group_user").id,
                "perm_read": True,
            }
        )
        model = self.env["ir.model"]._get_id("res.partner")
        function = self.env["queue.job.function"].create(
            {"model_id": model, "method": "create_company"}
        )
        own, foreign, done = (
            self.make_job(),
            self.make_job(self.portal),
            self.make_job(),
        )
        (own | foreign).sudo().write({"state": "failed"})
        done.sudo().write({"state": "done"})
        jobs = (own | foreign | done).with_user(self.internal)
        self.assertFalse(any(jobs.mapped("can_user_requeue")))
        with self.assertRaises(AccessError):
            self.rpc(self.internal, "queue.job", "requeue", own.ids)
        function.user_can_requeue = True
        jobs.invalidate_recordset()
        self.assertEqual(jobs.mapped("can_user_requeue"), [True, False, False])
        for refused in (foreign, done, own | foreign):
            with (
                self.subTest(ids=refused.ids),
                self.assertRaises(AccessError),
                self.env.cr.savepoint(),
            ):
                self.rpc(self.internal, "queue.job", "requeue", refused.ids)
        self.rpc(self.internal, "queue.job", "requeue", own.ids)
        self.assertEqual(own.state, "pending")
        for button in ("button_done", "button_cancelled"):
            with self.assertRaises(AccessError):
                self.rpc(self.internal, "queue.job", button, own.ids)

    def test_s03_when_and_where_may_be_changed(self):
        job = self.make_job()
        vals = {
            "priority": 3,
            "eta": "2030-01-01 00:00:00",
            "channel": "root.x",
            "max_retries": 9,
        }
        self.rpc(self.manager, "queue.job", "write", job.ids, vals)
        self.assertEqual((job.priority, job.channel, job.max_retries), (3, "root.x", 9))

    def test_s03_buttons_are_refused_to_others(self):
        job = self.make_job()
        for user in (self.internal, self.portal, self.public):
            for method in (
                "requeue",
                "button_done",
                "button_cancelled",
                "open_related_action",
            ):
                with (
                    self.subTest(user=user.login, method=method),
                    self.assertRaises(AccessError),
                ):
                    self.rpc(user, "queue.job", method, job.ids)
        self.assertEqual(job.state, "pending")

    def test_s03_wizards_obey_the_rights(self):
        job = self.make_job()
        wizard_ids = self.rpc(
            self.manager, "queue.jobs.to.done", "create", [{"job_ids": job.ids}]
        )
        self.rpc(self.manager, "queue.jobs.to.done", "set_done", wizard_ids)
        self.assertEqual(job.state, "done")
        job = self.make_job()
        values = {"job_ids": job.ids}
        for user in (self.internal, self.portal, self.public):
            with self.subTest(user=user.login), self.assertRaises(AccessError):
                self.rpc(user, "queue.jobs.to.done", "create", [values])
        job.company_id = self.env["res.company"].create({"name": "Other"})
        with self.assertRaises(AccessError):
            wizard_ids = self.rpc(
                self.manager, "queue.jobs.to.done", "create", [values]
            )
            self.rpc(self.manager, "queue.jobs.to.done", "set_done", wizard_ids)
        self.assertEqual(job.state, "pending")

    def test_s12_what_a_job_calls_is_never_editable(self):
        protected = self.env.registry["queue.job"]._protected_fields
        job = self.make_job()
        for name in protected:
            for user in (self.admin, self.manager):
                with self.subTest(name=name), self.assertRaises(AccessError):
                    self.rpc(user, "queue.job", "write", job.ids, {name: False})
        described = self.rpc(self.manager, "queue.job", "fields_get", list(protected))
        self.assertTrue(all(field["readonly"] for field in described.values()))

    def test_s03_what_a_form_shows_readonly_is_readonly(self):
        """Over RPC too: the screens are not the only door."""
        fields = self.env["queue.job"]._fields.values()
        names = [
            field.name
            for field in fields
            if field._module == "queue_job"
            and field.store
            and field.column_type
            and field.readonly
        ]
        self.assertIn("exec_time", names)
        job = self.make_job()
        for name in names:
            with self.subTest(name=name), self.assertRaises(AccessError):
                self.rpc(self.manager, "queue.job", "write", job.ids, {name: False})

    def test_fields_can_be_read_by_a_client(self):
        job = self.make_job()
        (values,) = self.rpc(self.manager, "queue.job", "read", job.ids)
        self.assertEqual(values["records"]["model"], "res.partner")
        json.dumps(values, default=str)


@tagged("post_install", "-at_install")
class TestRelatedActionRights(SecurityCase):
    def configure(self, **related_action):
        model = self.env["ir.model"]._get("res.partner")
        self.env["queue.job.function"].create(
            {
                "model_id": model.id,
                "method": "create_company",
                "related_action": related_action,
            }
        )

    def name_as_person_of_before(self, name):
        """Store what a person could write before it was checked."""
        function = self.env["queue.job.function"].search(
            [("name", "=", "<res.partner>.create_company")]
        )
        function.related_action = {"func_name": name}
        function.flush_recordset()
        self.env.cr.execute(
            "UPDATE queue_job_function SET related_action_by_user = true WHERE id = %s",
            [function.id],
        )
        function.invalidate_recordset()

    def test_s04_what_a_person_stored_is_answered_as_nothing(self):
        """C9: a row of before, or whose method lost its mark, is not called."""
        job = self.make_job()
        self.configure()
        for name in ("unlink", "requeue", "_fail_over_limit", "no_such_method"):
            self.name_as_person_of_before(name)
            with (
                self.subTest(name=name),
                self.assertRaisesRegex(UserError, "No action available"),
            ):
                job.with_user(self.manager).open_related_action()
        self.assertTrue(job.exists())
        self.assertEqual(job.state, "pending")

    def test_a_missing_method_is_named(self):
        self.configure(func_name="no_such_method")
        with self.assertRaisesRegex(UserError, "no_such_method"):
            self.make_job().with_user(self.manager).open_related_action()

    def test_s04_called_with_the_users_own_rights(self):
        seen = []

        def related_action_test(record, **kwargs):
            seen.append((record.env.uid, record.env.su, kwargs))
            return {"type": "ir.actions.act_window_close"}

        cls = self.env.registry["queue.job"]
        cls.related_action_test = related_action_test
        self.addCleanup(delattr, cls, "related_action_test")
        self.configure(func_name="related_action_test", kwargs={"a": 1})
        self.make_job().with_user(self.manager).open_related_action()
        self.assertEqual(seen, [(self.manager.id, False, {"a": 1})])


@tagged("post_install", "-at_install")
class TestEverybodyDelays(SecurityCase):
    def test_s07_no_rights_on_the_queue_are_needed(self):
        for user in (self.internal, self.portal, self.public):
            with self.subTest(user=user.login):
                job = self.make_job(user, identity_key=f"key {user.id}")
                self.assertEqual(job.user_id, user)
                self.assertFalse(job.records.env.su)
                self.assertEqual(
                    self.make_job(user, identity_key=f"key {user.id}"), job
                )

    def test_s07_graphs_too(self):
        partner = self.env["res.partner"].with_user(self.portal)
        first = partner.delayable().create_company()
        first.on_done(partner.delayable().create_company())
        first.delay()
        self.assertEqual(first._generated_job.db_record().graph_jobs_count, 2)

    def test_s07_what_was_delayed_cannot_be_read(self):
        job = self.make_job(self.portal)
        with self.assertRaises(AccessError):
            job.with_user(self.portal).read(["state"])

    def test_s08_superuser_mode_of_the_caller_is_kept(self):
        partner = self.env["res.partner"].with_user(self.internal)
        job = partner.sudo().with_delay().create_company().db_record()
        self.assertEqual(
            (job.records.env.uid, job.records.env.su), (self.internal.id, True)
        )

    def test_s11_sentinel_stays_inside(self):
        partner = self.env["res.partner"].with_context(_job_edit_sentinel=self.sentinel)
        job = partner.with_delay().create_company()
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT records::text FROM queue_job WHERE uuid = %s", [job.uuid]
        )
        self.assertNotIn("sentinel", self.env.cr.fetchone()[0])
        loaded = Job.load(self.env, job.uuid)
        self.assertNotIn("_job_edit_sentinel", loaded.recordset.env.context)
        plain = self.env["res.partner"].with_delay().create_company()
        self.assertNotIn("_job_edit_sentinel", plain.recordset.env.context)
        self.assertNotIn("_job_edit_sentinel", plain.db_record().env.context)

    def test_s11_sentinel_cannot_be_stored_as_an_argument(self):
        with self.assertRaises(TypeError):
            self.env["res.partner"].with_delay().create_company(self.sentinel)


@tagged("post_install", "-at_install")
class TestCompanies(SecurityCase):
    """S9: what shows other jobs shows those that the reader may read."""

    def setUp(self):
        super().setUp()
        partner = self.env["res.partner"]
        parent, child = (partner.delayable().create_company() for _ in range(2))
        parent.on_done(child)
        parent.delay()
        self.parent = parent._generated_job.db_record()
        self.child = child._generated_job.db_record()
        self.child.company_id = self.env["res.company"].create({"name": "Other"})
        self.env.flush_all()
        self.env.invalidate_all()

    def test_s09_graph_and_count(self):
        parent = self.parent.with_user(self.manager)
        self.assertEqual(parent.graph_jobs_count, 1)
        self.assertEqual(
            [node["id"] for node in parent.dependency_graph["nodes"]], parent.ids
        )
        self.assertEqual(parent.dependency_graph["edges"], [])
        self.assertEqual(parent.open_graph_jobs()["domain"], [("id", "in", parent.ids)])
        self.assertEqual(self.parent.sudo().graph_jobs_count, 2)

    def test_s09_dependents(self):
        parent = self.parent.with_user(self.manager)
        self.assertFalse(parent.dependent_ids)
        jobs = self.env["queue.job"].with_user(self.manager)
        self.assertFalse(jobs.search([("dependency_ids", "in", parent.ids)]))
        self.assertFalse(
            jobs.search([("dependent_ids.state", "=", "wait_dependencies")])
        )
        self.assertEqual(self.parent.sudo().dependent_ids, self.child)

    def test_s09_reader_of_both_companies_sees_both(self):
        self.manager.company_ids = [Command.link(self.child.company_id.id)]
        companies = self.manager.company_ids.ids
        parent = self.parent.with_user(self.manager).with_context(
            allowed_company_ids=companies
        )
        self.assertEqual(parent.graph_jobs_count, 2)
        self.assertEqual(parent.dependent_ids.ids, self.child.ids)
