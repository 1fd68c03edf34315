# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What dependents find in the views: XML ids, anchors, names of filters."""

from lxml import etree

from odoo.tests import Form, TransactionCase, tagged
from odoo.tools.misc import file_open

XMLIDS = {
    "ir.ui.view": (
        "view_queue_job_form",
        "view_queue_job_tree",
        "view_queue_job_pivot",
        "view_queue_job_graph",
        "view_queue_job_search",
        "view_queue_job_channel_form",
        "view_queue_job_channel_tree",
        "view_queue_job_channel_search",
        "view_queue_job_function_form",
        "view_queue_job_function_tree",
        "view_queue_job_function_search",
        "view_requeue_job",
        "view_set_jobs_done",
        "view_set_jobs_cancelled",
    ),
    "ir.actions.act_window": (
        "action_queue_job",
        "action_queue_job_channel",
        "action_queue_job_function",
        "action_requeue_job",
        "action_set_jobs_done",
        "action_set_jobs_cancelled",
    ),
    "ir.ui.menu": (
        "menu_queue_job_root",
        "menu_queue",
        "menu_queue_job",
        "menu_queue_job_channel",
        "menu_queue_job_function",
    ),
    "ir.model": (
        "model_queue_job",
        "model_queue_job_channel",
        "model_queue_job_function",
        "model_queue_job_lock",
        "model_queue_requeue_job",
        "model_queue_jobs_to_done",
        "model_queue_jobs_to_cancelled",
    ),
    "ir.module.category": ("module_category_queue_job",),
    "res.groups.privilege": ("privilege_queue_job",),
    "res.groups": ("group_queue_job_manager",),
    "ir.rule": ("queue_job_comp_rule",),
    "mail.message.subtype": ("mt_job_failed",),
    "queue.job.channel": ("channel_root",),
    "queue.job.function": ("job_function_queue_job__test_job",),
    "ir.model.constraint": ("constraint_queue_job_channel_name_uniq",),
    "ir.model.access": (
        "access_queue_job_manager",
        "access_queue_job_lock_manager",
        "access_queue_job_function_manager",
        "access_queue_job_channel_manager",
        "access_queue_requeue_job",
        "access_queue_jobs_to_done",
        "access_queue_jobs_to_cancelled",
    ),
}
NOUPDATE = ("queue_job_comp_rule", "mt_job_failed", "job_function_queue_job__test_job")
WAITING_OR_FAILED = ("wait_dependencies", "pending", "enqueued", "failed")


class ViewCase(TransactionCase):
    def arch(self, xmlid):
        return etree.fromstring(self.env.ref(f"queue_job.{xmlid}").arch)

    def found(self, arch, path):
        return [str(name) for name in arch.xpath(path)]


@tagged("post_install", "-at_install")
class TestXmlIds(ViewCase):
    def test_all_are_there(self):
        for model, names in XMLIDS.items():
            for name in names:
                with self.subTest(name=name):
                    record = self.env.ref(f"queue_job.{name}")
                    self.assertEqual(record._name, model)

    def test_noupdate(self):
        data = self.env["ir.model.data"].search([("module", "=", "queue_job")])
        names = [name for group in XMLIDS.values() for name in group]
        for record in data.filtered(lambda record: record.name in names):
            with self.subTest(name=record.name):
                self.assertEqual(record.noupdate, record.name in NOUPDATE)

    def test_menus(self):
        root = self.env.ref("queue_job.menu_queue_job_root")
        with file_open(root.web_icon.replace(",", "/"), "rb") as icon:
            self.assertTrue(icon.read(8).startswith(b"\x89PNG"))
        queue = self.env.ref("queue_job.menu_queue")
        self.assertEqual(queue.parent_id, root)
        sequences = {menu.action.xml_id: menu.sequence for menu in queue.child_id}
        self.assertLessEqual(
            {
                ("queue_job.action_queue_job", 10),
                ("queue_job.action_queue_job_channel", 12),
                ("queue_job.action_queue_job_function", 14),
            },
            set(sequences.items()),
        )

    def test_failure_subtype(self):
        subtype = self.env.ref("queue_job.mt_job_failed")
        self.assertEqual((subtype.res_model, subtype.default), ("queue.job", True))


@tagged("post_install", "-at_install")
class TestJobViews(ViewCase):
    def test_form_anchors(self):
        arch = self.arch("view_queue_job_form")
        self.assertEqual((arch.get("create"), arch.get("delete")), ("false", "false"))
        self.assertTrue(arch.xpath("//div[@name='button_box']"))
        self.assertTrue(arch.xpath("//h1/field[@name='name']"))
        self.assertEqual(
            self.found(arch, "//page/@name")[:2], ["results", "dependencies"]
        )
        self.assertEqual(
            self.found(arch, "//page[@name='results']//group/@name"),
            ["result", "exc_info"],
        )
        widget = self.found(arch, "//field[@name='dependency_graph']/@widget")
        self.assertEqual(widget, ["job_directed_graph"])
        self.assertTrue(arch.xpath("//chatter"))

    def test_form_buttons_work_where_they_show(self):
        """A button is hidden exactly in the states that its method leaves alone."""
        arch = self.arch("view_queue_job_form")
        shown = {
            "requeue": ("failed",),
            "button_done": WAITING_OR_FAILED,
            "button_cancelled": WAITING_OR_FAILED,
        }
        states = dict(self.env["queue.job"]._fields["state"].selection)
        for name, expected in shown.items():
            (button,) = arch.xpath(f"//header/button[@name='{name}']")
            self.assertEqual(button.get("groups"), "queue_job.group_queue_job_manager")
            for state in states:
                with self.subTest(button=name, state=state):
                    hidden = eval(button.get("invisible"), {"state": state})
                    self.assertEqual(not hidden, state in expected)
        self.assertTrue(arch.xpath("//header/button[@name='open_related_action']"))
        self.assertTrue(
            arch.xpath("//div[@name='button_box']/button[@name='open_graph_jobs']")
        )

    def test_form_opens(self):
        job = self.env["res.partner"].with_delay().create_company().db_record()
        with Form(job.with_env(self.env)) as form:
            form.priority = 3
        self.assertEqual(job.priority, 3)

    def test_list(self):
        arch = self.arch("view_queue_job_tree")
        self.assertEqual(arch.tag, "list")
        self.assertEqual((arch.get("create"), arch.get("delete")), ("false", "false"))
        self.assertLessEqual(
            {"name", "model_name", "state", "date_created", "eta", "uuid", "channel"},
            set(self.found(arch, "//field/@name")),
        )

    def test_list_shows_how_long_which_try_and_why(self):
        arch = self.arch("view_queue_job_tree")
        shown = self.found(arch, "//field[not(@optional = 'hide')]/@name")
        self.assertLessEqual({"reason", "waited", "ran", "tries"}, set(shown))

    def test_search(self):
        arch = self.arch("view_queue_job_search")
        self.assertLessEqual(
            {
                *("uuid", "graph_uuid", "name", "func_string", "channel", "priority"),
                *("job_function_id", "model_name", "exc_name", "exc_message"),
                *("exc_info", "result", "company_id"),
            },
            set(self.found(arch, "/search/field/@name")),
        )
        filters = set(self.found(arch, "//filter/@name"))
        self.assertLessEqual(
            set(dict(self.env["queue.job"]._fields["state"].selection)), filters
        )
        self.assertLessEqual(
            {
                *("retried", "last_24_hours", "last_7_days", "last_30_days"),
                *("group_by_channel", "group_by_job_function_id", "group_by_state"),
                *("group_by_priority", "group_by_model_name", "group_by_exc_name"),
                *("group_by_exc_message", "group_by_graph", "group_by_date_created"),
            },
            filters,
        )

    def test_filters_can_be_searched(self):
        arch = self.arch("view_queue_job_search")
        for domain in self.found(arch, "//filter/@domain"):
            with self.subTest(domain=domain):
                self.env["queue.job"].search(
                    eval(domain, {"uid": self.env.uid}), limit=1
                )

    def test_action(self):
        action = self.env.ref("queue_job.action_queue_job")
        self.assertEqual(action.view_mode, "list,form,pivot,graph")
        switched_on = {
            key.removeprefix("search_default_") for key in eval(action.context)
        }
        self.assertEqual(
            switched_on,
            {"wait_dependencies", "pending", "enqueued", "started", "failed"},
        )


@tagged("post_install", "-at_install")
class TestOtherViews(ViewCase):
    def test_channel_form(self):
        arch = self.arch("view_queue_job_channel_form")
        names = self.found(arch, "//field/@name")
        for name in ("name", "parent_id", "complete_name", "removal_interval"):
            self.assertIn(name, names)
        self.assertTrue(arch.xpath("//field[@name='job_function_ids']"))

    def test_function_form_configures_everything(self):
        arch = self.arch("view_queue_job_function_form")
        (group,) = arch.xpath("//field[@name='name']/..")
        self.assertEqual(group.tag, "group")
        self.assertLessEqual(
            {
                *("name", "model_id", "method", "channel_id", "allow_commit"),
                *("on_fail_method", "edit_retry_pattern", "edit_related_action"),
            },
            set(self.found(group, "field/@name")),
        )

    def test_wizards(self):
        for name, button in (
            ("requeue_job", "requeue"),
            ("set_jobs_done", "set_done"),
            ("set_jobs_cancelled", "set_cancelled"),
        ):
            arch = self.arch(f"view_{name}")
            self.assertTrue(arch.xpath(f"//footer/button[@name='{button}']"))
            action = self.env.ref(f"queue_job.action_{name}")
            self.assertEqual(action.target, "new")
            self.assertEqual(action.binding_model_id.model, "queue.job")
