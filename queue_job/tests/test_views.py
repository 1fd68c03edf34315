# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What dependents find in the views: XML ids, anchors, names of filters."""

from datetime import timedelta

from lxml import etree

from odoo import fields
from odoo.tests import Form, TransactionCase, new_test_user, tagged
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
        self.assertEqual((root.name, queue.name), ("Job Queue", "Jobs"))
        self.assertEqual(root.web_icon, "queue_job,static/description/icon.png")
        menus = queue.child_id + root.child_id
        sequences = {menu.action.xml_id: menu.sequence for menu in menus if menu.action}
        jobs = self.env.ref("queue_job.menu_queue_job")
        self.assertEqual(jobs.parent_id, queue)
        self.assertLessEqual(
            {
                ("queue_job.action_queue_job", 10),
                ("queue_job.action_queue_job_channel", 12),
                ("queue_job.action_queue_job_function", 14),
            },
            set(sequences.items()),
        )

    def test_bar_of_menus(self):
        """As Odoo's own apps: what is looked at often takes one click."""
        root = self.env.ref("queue_job.menu_queue_job_root")
        names = root.child_id.sorted("sequence").mapped("name")
        self.assertEqual(
            names, ["Overview", "Jobs", "Failures", "Channels", "Functions", "Analysis"]
        )

    def test_a_user_lands_on_his_jobs(self):
        user = new_test_user(
            self.env, "lands", groups="base.group_user,queue_job.group_queue_job_user"
        )
        menus = self.env["ir.ui.menu"].with_user(user)
        root = self.env.ref("queue_job.menu_queue_job_root")
        loaded = menus.load_web_menus(False)
        self.assertEqual(
            loaded[root.id]["actionID"], self.env.ref("queue_job.action_queue_job").id
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
            # The other one is for users of jobs whose function lets them requeue.
            (button,) = arch.xpath(
                f"//header/button[@name='{name}']"
                "[@groups='queue_job.group_queue_job_manager']"
            )
            for state in states:
                with self.subTest(button=name, state=state):
                    hidden = eval(
                        button.get("invisible"),
                        {"state": state, "has_checkpoint": False},
                    )
                    self.assertEqual(not hidden, state in expected)
        self.assertTrue(arch.xpath("//header/button[@name='open_related_action']"))
        self.assertTrue(
            arch.xpath("//div[@name='button_box']/button[@name='open_graph_jobs']")
        )

    def test_form_status_bar(self):
        (state,) = self.arch("view_queue_job_form").xpath("//header/field")
        self.assertEqual(
            (state.get("name"), state.get("widget"), state.get("statusbar_visible")),
            ("state", "statusbar", "wait_dependencies,pending,enqueued,started,done"),
        )

    def test_form_stat_button(self):
        (button,) = self.arch("view_queue_job_form").xpath(
            "//div[@name='button_box']/button[@name='open_graph_jobs']"
        )
        self.assertEqual(button.get("invisible"), "not graph_uuid")
        (count,) = button.xpath("field")
        self.assertEqual(count.get("name"), "graph_jobs_count")
        self.assertEqual(count.get("string"), "Graph Jobs")

    def test_form_fields_in_order(self):
        arch = self.arch("view_queue_job_form")
        names = self.found(arch, "//sheet//field/@name")
        for ordered in (
            ("uuid", "graph_uuid", "func_string", "job_function_id", "channel"),
            ("channel", "priority", "eta", "company_id", "user_id", "worker_pid"),
            (
                *("worker_pid", "date_created", "date_enqueued", "date_started"),
                *("date_done", "exec_time", "retry", "max_retries"),
            ),
        ):
            places = [names.index(name) for name in ordered]
            self.assertEqual(places, sorted(places), ordered)
        for name, groups in (
            ("func_string", "base.group_no_one"),
            ("worker_pid", "base.group_no_one"),
            ("date_enqueued", "base.group_no_one"),
            ("company_id", "base.group_multi_company"),
        ):
            with self.subTest(name):
                path = f"//sheet//field[@name='{name}']/@groups"
                self.assertEqual(self.found(arch, path), [groups])

    def test_form_pages_hide_what_is_empty(self):
        arch = self.arch("view_queue_job_form")
        for name, hidden in (
            ("results", "not result and not exc_info"),
            ("dependencies", "not graph_uuid"),
        ):
            path = f"//page[@name='{name}']/@invisible"
            self.assertEqual(self.found(arch, path), [hidden])
        names = self.found(arch, "//group[@name='exc_info']//field/@name")
        self.assertEqual(names, ["exc_name", "exc_info"])

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
            {
                *("name", "model_name", "state", "date_created", "eta", "date_done"),
                *("exec_time", "priority", "exc_name", "exc_message", "uuid"),
                *("channel", "company_id"),
            },
            set(self.found(arch, "//field/@name")),
        )
        self.assertEqual(
            (arch.get("decoration-danger"), arch.get("decoration-muted")),
            ("state == 'failed'", "state in ('done', 'cancelled')"),
        )
        (eta,) = arch.xpath("//field[@name='eta']")
        self.assertEqual(eta.get("widget"), "remaining_days")
        for name in ("eta", "priority", "exc_name", "exc_message"):
            path = f"//field[@name='{name}']/@optional"
            self.assertEqual(self.found(arch, path), ["hide"], name)

    def test_pivot_and_graph(self):
        pivot = self.arch("view_queue_job_pivot")
        for kind, expected in (
            ("measure", "exec_time"),
            ("row", "job_function_id"),
            ("col", "date_done"),
        ):
            path = f"/pivot/field[@type='{kind}']/@name"
            self.assertEqual(self.found(pivot, path), [expected])
        self.assertEqual(self.found(pivot, "//field/@interval"), ["week"])
        graph = self.arch("view_queue_job_graph")
        self.assertEqual(
            self.found(graph, "/graph/field/@name"),
            ["job_function_id", "state", "exec_time"],
        )

    def test_charts_open_with_content(self):
        """They showed durations of unfinished jobs: nothing, on every server."""
        # Without a measure the web client counts.
        graph = self.arch("view_queue_job_graph")
        self.assertFalse(graph.xpath("//field[@type='measure']"))
        self.assertEqual(self.arch("view_queue_job_pivot").get("display_quantity"), "1")
        action = self.env.ref("queue_job.action_queue_job_analysis")
        self.assertEqual(action.view_mode, "graph,pivot")
        self.assertEqual(eval(action.context), {"search_default_last_7_days": 1})
        self.assertEqual(
            self.env.ref("queue_job.menu_queue_job_analysis").action, action
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

    def test_filters_select_what_their_names_say(self):
        self.env.cr.execute("DELETE FROM queue_job")
        arch = self.arch("view_queue_job_search")
        states = dict(self.env["queue.job"]._fields["state"].selection)
        ages = {"last_24_hours": 0.9, "last_7_days": 6.9, "last_30_days": 29.9}
        jobs = {name: self.job(state=name) for name in states}
        jobs |= {name: self.job(days) for name, days in ages.items()}
        jobs["old"] = self.job(30.1)
        jobs["retried"] = self.job(40, retry=2)
        jobs["tried"] = self.job(40, retry=1)
        in_time = ("last_24_hours", "last_7_days", "last_30_days")
        expected = {state: {state} for state in states}
        expected["pending"] |= {*in_time, "old", "retried", "tried"}
        expected["retried"] = {"retried"}
        for place, name in enumerate(in_time):
            expected[name] = {*states, *in_time[: place + 1]}
        names = {job.id: name for name, job in jobs.items()}
        for name, selected in expected.items():
            (domain,) = arch.xpath(f"//filter[@name='{name}']/@domain")
            with self.subTest(filter=name):
                found = self.env["queue.job"].search(eval(domain))
                self.assertEqual({names[job.id] for job in found}, selected)

    def job(self, days=0, **values):
        job = self.env["res.partner"].with_delay().create_company().db_record()
        created = fields.Datetime.now() - timedelta(days=days)
        editor = job.with_context(_job_edit_sentinel=job.EDIT_SENTINEL)
        editor.write({"date_created": created, **values})
        return job

    def test_groups_are_by_what_their_names_say(self):
        arch = self.arch("view_queue_job_search")
        for name in self.found(arch, "//filter[starts-with(@name, 'group_by_')]/@name"):
            (context,) = arch.xpath(f"//filter[@name='{name}']/@context")
            field = {"graph": "graph_uuid", "user": "user_id"}.get(
                name.removeprefix("group_by_"), name.removeprefix("group_by_")
            )
            with self.subTest(name=name):
                self.assertEqual(eval(context), {"group_by": field})

    def test_form_tells_what_no_limit_of_retries_is(self):
        arch = self.arch("view_queue_job_form")
        (max_retries,) = arch.xpath("//sheet//field[@name='max_retries']")
        note = " ".join("".join(max_retries.getparent().itertext()).split())
        self.assertIn("If the max. retries is 0", note)
        self.assertIn("unlimited", note)

    def test_message_of_a_failure_names_the_section_of_the_form(self):
        """It spoke of an 'Exception Information' that no screen has."""
        (group,) = self.arch("view_queue_job_form").xpath("//group[@name='exc_info']")
        message = self.env["queue.job"].new()._message_failed_job()
        self.assertIn(f"'{group.get('string')}' section", message)

    def test_empty_screens_say_what_to_do(self):
        for xmlid, part in (
            ("action_queue_job", "with_delay"),
            ("action_queue_job_failure", "run its jobs again"),
            ("action_queue_job_channel", "capacity"),
            ("action_queue_job_function", "with_delay"),
        ):
            with self.subTest(action=xmlid):
                self.assertIn(part, self.env.ref(f"queue_job.{xmlid}").help or "")

    def test_action(self):
        action = self.env.ref("queue_job.action_queue_job")
        self.assertEqual((action.name, action.res_model), ("Jobs", "queue.job"))
        self.assertEqual(action.view_mode, "list,form,pivot,graph")
        self.assertEqual(
            action.search_view_id, self.env.ref("queue_job.view_queue_job_search")
        )
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
        (functions,) = arch.xpath("//field[@name='job_function_ids']")
        self.assertEqual(functions.get("widget"), "many2many_tags")
        root = {"is_root": True}
        other = {"is_root": False}
        for name, required in (("name", "1"), ("parent_id", "not is_root")):
            (field,) = arch.xpath(f"//field[@name='{name}']")
            self.assertEqual(field.get("required"), required)
            self.assertTrue(eval(field.get("readonly"), root))
            self.assertFalse(eval(field.get("readonly"), other))

    def test_channel_list_and_search(self):
        arch = self.arch("view_queue_job_channel_tree")
        self.assertTrue(arch.xpath("//field[@name='complete_name']"))
        arch = self.arch("view_queue_job_channel_search")
        names = self.found(arch, "/search/field/@name")
        self.assertLessEqual({"name", "complete_name", "parent_id"}, set(names))

    def test_function_list_and_search(self):
        arch = self.arch("view_queue_job_function_tree")
        self.assertLessEqual(
            {"name", "channel_id", "allow_commit"},
            set(self.found(arch, "//field/@name")),
        )
        arch = self.arch("view_queue_job_function_search")
        names = self.found(arch, "/search/field/@name")
        self.assertLessEqual({"name", "channel_id"}, set(names))
        self.assertIn("group_by_channel", self.found(arch, "//filter/@name"))

    def test_actions(self):
        for xmlid, name, model in (
            ("action_queue_job_channel", "Channels", "queue.job.channel"),
            ("action_queue_job_function", "Job Functions", "queue.job.function"),
        ):
            action = self.env.ref(f"queue_job.{xmlid}")
            self.assertEqual(
                (action.name, action.res_model, action.view_mode),
                (name, model, "list,form"),
            )

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
        for name, setting, value in (
            ("name", "readonly", "1"),
            ("model_id", "required", "1"),
            ("method", "required", "1"),
            ("edit_retry_pattern", "widget", "ace"),
            ("edit_related_action", "widget", "ace"),
        ):
            path = f"field[@name='{name}']/@{setting}"
            self.assertEqual(self.found(group, path), [value], name)

    def test_wizards(self):
        for name, label, model, button in (
            ("requeue_job", "Requeue Jobs", "queue.requeue.job", "requeue"),
            ("set_jobs_done", "Set jobs to done", "queue.jobs.to.done", "set_done"),
            (
                *("set_jobs_cancelled", "Cancel jobs"),
                *("queue.jobs.to.cancelled", "set_cancelled"),
            ),
        ):
            arch = self.arch(f"view_{name}")
            self.assertTrue(arch.xpath("//field[@name='job_ids']"))
            self.assertTrue(arch.xpath(f"//footer/button[@name='{button}']"))
            self.assertTrue(arch.xpath("//footer/button[@special='cancel']"))
            action = self.env.ref(f"queue_job.action_{name}")
            self.assertEqual((action.name, action.res_model), (label, model))
            self.assertEqual(action.target, "new")
            self.assertEqual(action.binding_model_id.model, "queue.job")
