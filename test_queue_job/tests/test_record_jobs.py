# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The jobs of a record, for models that ask with one line of Python or of XML."""

from odoo.tests import Form, TransactionCase, new_test_user, tagged

USER = "base.group_user,queue_job.group_queue_job_user"
MANAGER = "base.group_user,queue_job.group_queue_job_manager"


class RecordCase(TransactionCase):
    model_name = "test.queue.record"

    def setUp(self):
        super().setUp()
        self.records = self.env[self.model_name].create([{"name": n} for n in "abc"])

    def delay(self, records):
        return records.with_delay().work().db_record().with_env(self.env)

    def opened(self, action, user=None):
        """Return the jobs that an action lists."""
        self.assertEqual(action["res_model"], "queue.job")
        jobs = self.env["queue.job"].with_user(user or self.env.user)
        return jobs.search(action["domain"], order="id").sudo()

    def columns(self, job):
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT record_id, record_ids FROM queue_job WHERE id = %s", (job.id,)
        )
        return self.env.cr.fetchone()


@tagged("post_install", "-at_install")
class TestMixin(RecordCase):
    def test_jobs_know_their_records(self):
        one, three = self.records[0], self.records
        self.assertEqual(self.columns(self.delay(one)), (one.id, None))
        self.assertEqual(self.columns(self.delay(three)), (None, three.ids))
        nobody = self.env[self.model_name]
        self.assertEqual(self.columns(self.delay(nobody)), (None, None))

    def test_graphs_know_their_records_too(self):
        first, second = (record.delayable().work() for record in self.records[:2])
        first.on_done(second).delay()
        for delayable, record in ((first, self.records[0]), (second, self.records[1])):
            job = delayable._generated_job.db_record()
            self.assertEqual(self.columns(job), (record.id, None))

    def test_open_and_count(self):
        first, second, third = self.records
        mine, ours = self.delay(first), self.delay(self.records[:2])
        self.assertEqual(self.opened(first.action_open_jobs()), mine | ours)
        self.assertEqual(self.opened(second.action_open_jobs()), ours)
        self.assertFalse(self.opened(third.action_open_jobs()))
        self.assertEqual(self.records.mapped("jobs_count"), [2, 1, 0])
        self.assertIn(first.display_name, first.action_open_jobs()["name"])

    def test_ended_jobs_are_shown_too(self):
        job = self.delay(self.records[0])
        job.state = "done"
        action = self.records[0].action_open_jobs()
        self.assertEqual(self.opened(action), job)
        self.assertFalse(action["context"])

    def test_count_stops_at_a_hundred(self):
        for _number in range(101):
            self.delay(self.records[0])
        self.assertEqual(self.records[0].jobs_count, 100)

    def test_a_new_record_has_no_jobs(self):
        self.assertEqual(self.env[self.model_name].new({"name": "x"}).jobs_count, 0)

    def test_reader_sees_what_the_rules_let_him_see(self):
        user = new_test_user(self.env, "reader", USER)
        manager = new_test_user(self.env, "boss", MANAGER)
        record = self.records[0]
        self.delay(record)
        mine = self.delay(record.with_user(user))
        elsewhere = self.delay(record)
        elsewhere.company_id = self.env["res.company"].create({"name": "elsewhere"})
        self.env.flush_all()
        self.assertEqual(record.with_user(user).jobs_count, 1)
        action = record.with_user(user).action_open_jobs()
        self.assertEqual(self.opened(action, user), mine)
        self.assertEqual(record.with_user(manager).jobs_count, 2)

    def test_without_rights_on_jobs_the_record_is_read_all_the_same(self):
        self.delay(self.records[0])
        user = new_test_user(self.env, "nobody", "base.group_user")
        self.assertEqual(self.records[0].with_user(user).jobs_count, 0)
        with Form(self.records[0].with_user(user)) as form:
            form.name = "z"

    def test_button_on_the_form(self):
        view = self.env.ref("test_queue_job.view_test_queue_record_form")
        for groups, is_shown in ((USER, True), ("base.group_user", False)):
            user = new_test_user(self.env, f"u{is_shown}", groups)
            arch = self.records.with_user(user).get_view(view.id)["arch"]
            self.assertEqual('name="action_open_jobs"' in arch, is_shown)

    def test_search_goes_by_index(self):
        query = self.env["queue.job"]._search(
            self.records[0].action_open_jobs()["domain"]
        )
        self.env.cr.execute("SET LOCAL enable_seqscan = off")
        self.env.cr.execute("EXPLAIN " + self.env.cr.mogrify(query.select()).decode())
        plan = "\n".join(line for (line,) in self.env.cr.fetchall())
        self.assertIn("queue_job_record_index", plan)
        self.assertIn("queue_job_records_index", plan)

    def test_jobs_from_before_the_module_asked(self):
        """Installing or updating the module that asks fills the columns of older jobs."""
        one, two = self.delay(self.records[0]), self.delay(self.records[:2])
        none = self.delay(self.env[self.model_name])
        self.env.cr.execute(
            "UPDATE queue_job SET record_id = NULL, record_ids = NULL WHERE model_name = %s",
            (self.model_name,),
        )
        # As other writers store it: the document itself, not a string that holds it.
        self.env.cr.execute(
            "UPDATE queue_job SET records = (records #>> '{}')::jsonb WHERE id = %s "
            "AND jsonb_typeof(records) = 'string'",
            (two.id,),
        )
        self.records.init()
        self.assertEqual(self.columns(one), (self.records[0].id, None))
        self.assertEqual(self.columns(two), (None, self.records[:2].ids))
        self.assertEqual(self.columns(none), (None, None))


@tagged("post_install", "-at_install")
class TestOffer(RecordCase):
    model_name = "test.queue.offer"

    def action(self):
        domain = [("model_id.model", "=", self.model_name), ("name", "=", "Jobs")]
        return self.env["ir.actions.server"].search(domain)

    def offered(self, user):
        bindings = self.env["ir.actions.actions"].with_user(user)
        offered = bindings.get_bindings(self.model_name).get("action", ())
        return [binding["name"] for binding in offered]

    def run_action(self, records, user=None):
        context = {
            "active_model": records._name,
            "active_ids": records.ids,
            "active_id": records[:1].id,
        }
        action = self.action().with_user(user or self.env.user)
        return action.with_context(**context).run()

    def test_offered_to_those_who_may_see_jobs(self):
        self.assertEqual(len(self.action()), 1)
        for groups, expected in (
            (USER, ["Jobs"]),
            (MANAGER, ["Jobs"]),
            ("base.group_user", []),
        ):
            with self.subTest(groups=groups):
                user = new_test_user(self.env, groups[-7:] + "x", groups)
                self.assertEqual(self.offered(user), expected)

    def test_opens_the_jobs_of_the_selection(self):
        first, second, _third = self.records
        jobs = self.delay(first) | self.delay(second)
        self.delay(self.records[2])
        self.assertEqual(self.opened(self.run_action(first | second)), jobs)
        user = new_test_user(self.env, "reader", USER)
        mine = self.delay(first.with_user(user))
        action = self.run_action(first, user)
        self.assertEqual(self.opened(action, user), mine)

    def test_jobs_know_their_records(self):
        self.assertEqual(
            self.columns(self.delay(self.records[1])), (self.records[1].id, None)
        )

    def test_without_the_offer_the_columns_stay_empty(self):
        """Jobs of models that do not ask pay nothing."""
        self.action().unlink()
        self.assertEqual(self.columns(self.delay(self.records[1])), (None, None))

    def test_offering_again_fills_what_was_stored_meanwhile(self):
        self.action().unlink()
        job = self.delay(self.records[1])
        self.env["queue.job"]._offer_on_records(self.model_name)
        self.assertEqual(self.columns(job), (self.records[1].id, None))
        self.assertEqual(len(self.action()), 1)
