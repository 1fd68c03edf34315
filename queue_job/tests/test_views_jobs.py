# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The screens of jobs, as the web client asks for them, and the confirmations."""

from lxml import etree

from odoo.tests import Form, TransactionCase, tagged

from ..delay import chain
from ..states import STATES

ACTIVE = ("wait_dependencies", "pending", "enqueued", "started", "failed")


@tagged("post_install", "-at_install")
class TestScreens(TransactionCase):
    def test_action_opens_the_list_first(self):
        views = self.env.ref("queue_job.action_queue_job").views
        self.assertEqual(
            [kind for _id, kind in views], ["list", "kanban", "form", "pivot", "graph"]
        )
        named = dict((kind, view_id) for view_id, kind in views)
        self.assertEqual(
            named["kanban"], self.env.ref("queue_job.view_queue_job_kanban").id
        )

    def test_lists_are_called_by_their_names(self):
        """The web client showed the display name, which was Jobs for each of them."""
        delayable = self.env["res.partner"].delayable().create_company()
        chain(delayable, self.env["res.partner"].delayable().create_company()).delay()
        job = delayable._generated_job.db_record().with_env(self.env)
        channel = self.env["queue.job.channel"].create(
            {"name": "named", "parent_id": self.env.ref("queue_job.channel_root").id}
        )
        partner = self.env.user.partner_id
        for action, name in (
            (job.open_graph_jobs(), f"Jobs for graph {job.graph_uuid}"),
            (channel.action_open_jobs(), "Jobs of root.named"),
            (channel.parent_id.action_open_jobs(), "Jobs"),
            (job._action_open_jobs_of(partner), f"Jobs of {partner.display_name}"),
            (self.env["queue.job.failure"].action_open_jobs(), "Failed Jobs"),
        ):
            with self.subTest(name=name):
                self.assertEqual((action["name"], action["display_name"]), (name, name))

    def test_all_views_can_be_read(self):
        for model in ("queue.job", "queue.job.attempt", "queue.job.failure"):
            for view in self.env["ir.ui.view"].search([("model", "=", model)]):
                if view.type != "qweb":
                    with self.subTest(view=view.xml_id):
                        self.env[model].get_view(view.id, view.type)

    def test_list_of_a_page_costs_few_queries(self):
        for number in range(30):
            self.env["res.partner"].with_delay(description=str(number)).create_company()
        self.env.flush_all()
        arch = self.env["queue.job"].get_view(
            self.env.ref("queue_job.view_queue_job_tree").id
        )["arch"]
        names = [n for n in self.env["queue.job"]._fields if f'name="{n}"' in arch]
        self.env.invalidate_all()
        with self.assertQueryCount(20):
            self.env["queue.job"].search([("state", "in", ACTIVE)], limit=80).read(
                names
            )


@tagged("post_install", "-at_install")
class TestKanban(TransactionCase):
    def columns(self, domain):
        jobs = self.env["queue.job"].with_context(read_group_expand=True)
        groups = jobs.web_read_group(domain, ["state"], ["__count"])
        return [(group["state"], group["__count"]) for group in groups["groups"]]

    def setUp(self):
        super().setUp()
        self.env.cr.execute("DELETE FROM queue_job")
        for state in ("failed", "done", "pending", "failed"):
            job = self.env["res.partner"].with_delay().create_company().db_record()
            job.with_context(tracking_disable=True).state = state

    def test_failed_first_then_the_order_of_a_job_s_life(self):
        """A phone shows one column at a time: failed jobs were five swipes away.

        Columns that the default filters show are there when they are empty too.
        """
        filters = ["|"] * 4 + [("state", "=", state) for state in ACTIVE]
        self.assertEqual(
            self.columns(filters),
            [
                ("failed", 2),
                ("wait_dependencies", 0),
                ("pending", 1),
                ("enqueued", 0),
                ("started", 0),
            ],
        )

    def test_all_columns_without_a_filter(self):
        states = [state for state, _count in self.columns([])]
        life = [state for state, _label in STATES if state != "failed"]
        self.assertEqual(states, ["failed", *life])

    def test_no_column_that_the_filter_leaves_out(self):
        domain = [("state", "=", "done"), ("priority", ">", 3)]
        self.assertEqual(self.columns(domain), [("done", 1)])


@tagged("post_install", "-at_install")
class TestConfirmations(TransactionCase):
    def setUp(self):
        super().setUp()
        self.jobs = self.env["queue.job"]
        for _number in range(5):
            self.jobs |= (
                self.env["res.partner"].with_delay().create_company().db_record()
            )
        self.jobs = self.jobs.with_env(self.env)
        self.jobs[0].state = "started"

    def form(self, model, **context):
        view = {
            "queue.requeue.job": "view_requeue_job",
            "queue.jobs.to.done": "view_set_jobs_done",
            "queue.jobs.to.cancelled": "view_set_jobs_cancelled",
        }[model]
        context = {"active_model": "queue.job", "active_ids": self.jobs.ids, **context}
        return Form(
            self.env[model].with_context(**context),
            view=self.env.ref(f"queue_job.{view}"),
        )

    def test_counts(self):
        for model, moved in (
            ("queue.requeue.job", 0),
            ("queue.jobs.to.done", 4),
            ("queue.jobs.to.cancelled", 4),
        ):
            with self.subTest(model=model):
                form = self.form(model)
                self.assertEqual(
                    (form.moved_count, form.left_count), (moved, 5 - moved)
                )

    def test_done_jobs_that_would_run_once_more_are_told(self):
        """Whoever selects all of a list does not mean to do again what is done."""
        self.jobs[1:].write({"state": "failed"})
        self.assertEqual(self.form("queue.requeue.job").done_count, 0)
        self.jobs[2:4].write({"state": "done"})
        form = self.form("queue.requeue.job")
        self.assertEqual((form.moved_count, form.done_count), (4, 2))
        arch = etree.fromstring(self.env.ref("queue_job.view_requeue_job").arch)
        (shown,) = arch.xpath("//field[@name='done_count']/..")
        self.assertFalse(eval(shown.get("invisible"), {"done_count": 2}))

    def test_one_sentence_for_none_one_and_many(self):
        """It said that 1 jobs will be cancelled."""
        for name in ("requeue_job", "set_jobs_done", "set_jobs_cancelled"):
            arch = etree.fromstring(self.env.ref(f"queue_job.view_{name}").arch)
            for count, opening in ((0, "None of"), (1, "One job"), (2, "jobs will")):
                with self.subTest(view=name, count=count):
                    (shown,) = (
                        sentence
                        for sentence in arch.xpath("//div[@class='fs-4']")
                        if not eval(sentence.get("invisible"), {"moved_count": count})
                    )
                    text = "".join(shown.itertext()).strip()
                    self.assertTrue(text.startswith(opening), text)

    def test_large_selection_is_a_domain(self):
        ids = [*self.jobs.ids, *range(10**8, 10**8 + 1000)]
        wizard = self.form("queue.jobs.to.done", active_ids=ids).save()
        self.assertFalse(wizard.job_ids)
        self.assertEqual((wizard.jobs_count, wizard.moved_count), (5, 4))
        wizard.set_done()
        self.assertEqual(sorted(self.jobs.mapped("state")), ["done"] * 4 + ["started"])

    def test_all_that_match_beyond_what_the_browser_sends(self):
        """Of a selection of all, the browser sends 20,000 ids and the domain."""
        self.env["ir.config_parameter"].set_param("web.active_ids_limit", "600")
        ids = [self.jobs[1].id, *range(10**8, 10**8 + 599)]
        domain = [["id", "in", self.jobs.ids]]
        wizard = self.form(
            "queue.jobs.to.cancelled", active_ids=ids, active_domain=domain
        ).save()
        wizard.set_cancelled()
        self.assertEqual(self.jobs.mapped("state").count("cancelled"), 4)

    def test_all_of_a_list_without_filters(self):
        """Its domain is empty, and stands for all jobs all the same."""
        self.env["ir.config_parameter"].set_param("web.active_ids_limit", "600")
        ids = [self.jobs[1].id, *range(10**8, 10**8 + 599)]
        everything = self.env["queue.job"].search_count([])
        wizard = self.form(
            "queue.jobs.to.cancelled", active_ids=ids, active_domain=[]
        ).save()
        self.assertEqual(wizard.jobs_count, everything)
        wizard.set_cancelled()
        self.assertEqual(self.jobs.mapped("state").count("cancelled"), 4)

    def test_domain_of_the_list_alone_selects_nothing_more(self):
        wizard = self.form(
            "queue.jobs.to.done", active_ids=self.jobs[1].ids, active_domain=[]
        ).save()
        self.assertEqual(wizard.job_ids, self.jobs[1])

    def test_a_selection_costs_no_query_for_each_job(self):
        """Fifty thousand jobs are moved as a set."""

        def cost(count, model, method, state):
            self.env.cr.execute("DELETE FROM queue_job")
            self.env.invalidate_all()
            calls = [self.env["res.partner"].with_delay() for _number in range(count)]
            ids = [call.create_company().db_record().id for call in calls]
            self.env.flush_all()
            self.env.cr.execute("UPDATE queue_job SET state = %s", [state])
            self.env.invalidate_all()
            wizard = self.form(model, active_ids=ids).save()
            before = self.env.cr.sql_log_count
            getattr(wizard, method)()
            self.env.flush_all()
            return self.env.cr.sql_log_count - before

        for case in (
            ("queue.requeue.job", "requeue", "failed"),
            ("queue.jobs.to.done", "set_done", "pending"),
            ("queue.jobs.to.cancelled", "set_cancelled", "pending"),
        ):
            with self.subTest(case=case):
                cost(1, *case)  # fills the caches
                self.assertEqual(cost(3, *case), cost(60, *case))
