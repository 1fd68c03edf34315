# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import contextlib
from logging import INFO
from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.fields import NotStorableError
from odoo.addons.queue_job.job import Job, identity_exact
from odoo.addons.queue_job.tests.common import trap_jobs

from .common import LOGGER, DuplicatesCase

BLOCKING = ("wait_dependencies", "pending", "enqueued", "failed")
HARMLESS = ("started", "done", "cancelled")


@tagged("post_install", "-at_install")
class TestDuplicates(DuplicatesCase):
    def test_second_call_gets_the_job_of_the_first(self):
        first = self.ask(priority=3)
        with self.prevented("x"):
            second = self.ask()
        self.assertIsInstance(second, Job)
        self.assertEqual((second.uuid, second.priority), (first.uuid, 3))
        self.assertEqual(self.stored().uuid, first.uuid)

    def test_one_line_for_each_prevented_creation(self):
        self.ask("a")
        self.ask("b")
        with self.prevented("a", "b", "a"):
            for value in "aba":
                self.ask(value)

    def test_other_arguments_are_another_job(self):
        partners = self.partner + self.env["res.partner"].create({"name": "Two"})
        with self.assertNoLogs(LOGGER, INFO):
            for records in (self.partner, partners, partners[::-1]):
                records.with_delay().write({"ref": "x"})
            self.ask("y")
            self.partner.with_delay().write(vals={"ref": "x"})
            self.partner.with_delay().name_create("x")
            self.jobs.with_delay()._test_job(failure_rate=0, job_duration=0)
            self.jobs.with_delay()._test_job(job_duration=0, failure_rate=0)
        self.assertEqual(len(self.stored()), 8)

    @mute_logger(LOGGER)
    def test_caller_and_properties_do_not_count(self):
        first = self.ask()
        user = self.env.ref("base.user_admin")
        company = self.env["res.company"].create({"name": "Other"})
        calls = [
            self.ask(
                priority=1, eta=60, channel="root.other", description="d", max_retries=1
            ),
            self.partner.with_user(user).with_delay().write({"ref": "x"}),
            self.partner.with_company(company).with_delay().write({"ref": "x"}),
            self.partner.with_context(lang="fr_FR").with_delay().write({"ref": "x"}),
        ]
        self.assertEqual({job.uuid for job in calls}, {first.uuid})

    @mute_logger(LOGGER)
    def test_recordset_arguments_count_by_model_and_ids(self):
        def ask(records):
            return self.jobs.with_delay()._test_job(records).uuid

        first = ask(self.partner)
        self.assertEqual(ask(self.partner.with_context(lang="fr_FR").sudo()), first)
        self.assertNotEqual(ask(self.env["res.users"].browse(self.partner.id)), first)
        self.assertNotEqual(ask(self.partner.copy()), first)

    def test_caller_needs_no_right_on_jobs(self):
        """Nor one on the company of the job that exists."""
        first = self.ask()
        user = self.env["res.users"].create({"name": "U", "login": "no rights on jobs"})
        with self.prevented("x"):
            again = self.partner.with_user(user).with_delay().write({"ref": "x"})
        self.assertEqual(again.uuid, first.uuid)

    @mute_logger(LOGGER)
    def test_states_that_block(self):
        for state in BLOCKING + HARMLESS:
            with self.subTest(state):
                first = self.ask(state)
                self.move(first, state)
                is_refused = self.ask(state).uuid == first.uuid
                self.assertEqual(is_refused, state in BLOCKING)

    @mute_logger(LOGGER)
    def test_failed_job_blocks_until_somebody_deals_with_it(self):
        first = self.ask()
        self.move(first, "failed")
        self.assertEqual(self.ask(), first)
        first.db_record().requeue()
        self.assertEqual(self.ask(), first)
        self.move(first, "failed")
        first.db_record().button_done()
        second = self.ask()
        self.assertNotEqual(second, first)
        second.db_record().button_cancelled()
        self.assertNotEqual(self.ask(), second)

    def test_states_are_one_method(self):
        """The log tells the states as they are; here the list without cancelled."""
        first = self.ask()
        first.db_record().unlink()
        model = self.registry["queue.job"]
        with mock.patch.object(
            model, "_states_without_duplicates", lambda self: ["started", "done"]
        ):
            first = self.ask()
            self.move(first, "cancelled")
            with self.assertLogs(LOGGER, INFO) as logs:
                self.assertEqual(self.ask(), first)
        self.assertIn("[('state', 'not in', ['started', 'done']), (", logs.output[0])

    @mute_logger(LOGGER)
    def test_long_and_odd_texts(self):
        for text in (
            "long" * 100_000,
            'it\'s "quoted"',
            "nul \x00",
            "lone \ud800",
            "é 日本",
        ):
            # The text of arguments with such characters cannot be stored; of lists it can.
            first = self.jobs.with_delay()._test_job([repr(text)])
            self.assertEqual(
                self.jobs.with_delay()._test_job([repr(text)]).uuid, first.uuid
            )
            self.assertNotEqual(
                self.jobs.with_delay()._test_job([repr(text) + "."]), first
            )

    def test_unstorable_call_leaves_nothing_behind(self):
        """The caller may catch the error; the key is free then."""
        argument = object()
        for _try in range(2):
            with contextlib.suppress(NotStorableError):
                self.partner.with_delay().write(argument)
            with contextlib.suppress(NotStorableError):
                Job(self.partner.write, args=(argument,)).store()
        self.env.cr.execute(
            "SELECT count(*) FROM queue_job_key WHERE key LIKE '%<object object%'"
        )
        self.assertEqual(self.env.cr.fetchone(), (0,))

    # Identity keys ----------------------------------------------------------

    @mute_logger(LOGGER)
    def test_identity_key_is_checked_first(self):
        by_key = self.ask("a", identity_key="key")
        by_call = self.ask("b")
        with self.assertNoLogs(LOGGER, INFO):
            self.assertEqual(self.ask("b", identity_key="key").uuid, by_key.uuid)
        self.assertEqual(self.ask("b", identity_key="other").uuid, by_call.uuid)

    def test_identity_key_is_never_rewritten(self):
        self.ask("a", identity_key="key")
        self.ask("b", identity_key=identity_exact)
        self.ask("c")
        rows = self.stored()
        exact = identity_exact(Job(self.partner.write, args=({"ref": "b"},)))
        self.assertEqual(rows.mapped("identity_key"), ["key", exact, False])

    @mute_logger(LOGGER)
    def test_refused_call_does_not_keep_its_identity_key(self):
        self.ask("a")
        self.ask("a", identity_key="key")
        other = self.ask("b", identity_key="key")
        self.assertEqual(other.args, ({"ref": "b"},))

    @mute_logger(LOGGER)
    def test_key_of_another_job_does_not_let_a_duplicate_pass(self):
        first = self.ask("a", identity_key="one")
        self.assertEqual(self.ask("a", identity_key="two").uuid, first.uuid)
        self.assertEqual(self.ask("a").uuid, first.uuid)

    # Graphs -----------------------------------------------------------------

    def delayable(self, value):
        return self.partner.delayable().write({"ref": value})

    def test_graph_of_duplicates_is_not_stored(self):
        one, two = self.ask("a"), self.ask("b")
        parent, child = self.delayable("a"), self.delayable("b")
        with self.prevented("a", "b"):
            chain(parent, child).delay()
        self.assertEqual(parent._generated_job.uuid, one.uuid)
        self.assertEqual(child._generated_job.uuid, two.uuid)
        self.assertEqual(self.stored().mapped("uuid"), [one.uuid, two.uuid])

    def test_graph_with_one_new_job_is_stored_whole(self):
        """No dependent waits for a job that was not created."""
        first = self.ask("a")
        parent, child = self.delayable("a"), self.delayable("b")
        with self.assertNoLogs(LOGGER, INFO):
            chain(parent, child).delay()
        rows = self.stored() - first.db_record()
        self.assertEqual(rows.mapped("state"), ["pending", "wait_dependencies"])
        self.assertEqual(rows[1].dependency_ids, rows[0])

    def test_group_may_hold_the_same_call_twice(self):
        group(self.delayable("a"), self.delayable("a")).delay()
        self.assertEqual(len(self.stored()), 2)
        with self.prevented("a", "a"):
            group(self.delayable("a"), self.delayable("a")).delay()

    @mute_logger(LOGGER)
    def test_job_that_waits_in_a_graph_blocks(self):
        parent, child = self.delayable("a"), self.delayable("b")
        chain(parent, child).delay()
        self.assertEqual(self.ask("b").uuid, child._generated_job.uuid)
        self.assertEqual(child._generated_job.state, "wait_dependencies")

    # What is not stored -----------------------------------------------------

    def test_trapped_jobs_are_not_prevented(self):
        self.ask()
        with trap_jobs() as trap, self.assertNoLogs(LOGGER, INFO):
            self.ask()
            self.ask()
        trap.assert_jobs_count(2)

    def test_jobs_without_delay_are_not_prevented(self):
        self.ask("a")
        partner = self.partner.with_context(queue_job__no_delay=True)
        with (
            self.assertNoLogs(LOGGER, INFO),
            mute_logger("odoo.addons.queue_job.utils"),
        ):
            partner.with_delay().write({"ref": "a"})
        self.assertEqual(self.partner.ref, "a")
        with mock.patch.dict("os.environ", {"QUEUE_JOB__NO_DELAY": "1"}):
            self.partner.ref = False
            with (
                self.assertNoLogs(LOGGER, INFO),
                mute_logger("odoo.addons.queue_job.utils"),
            ):
                self.ask("a")
            self.assertEqual(self.partner.ref, "a")

    # Other doors ------------------------------------------------------------

    def test_job_stored_by_itself_becomes_its_twin(self):
        first = self.ask()
        job = Job(self.partner.write, args=({"ref": "x"},))
        with self.prevented("x"):
            job.store()
        self.assertEqual(job.db_record(), first.db_record())
        job.store()
        self.assertEqual(len(self.stored()), 1)
        self.assertEqual(job.uuid, first.uuid)

    @mute_logger(LOGGER)
    def test_job_stored_by_itself_blocks(self):
        job = Job(self.partner.write, args=({"ref": "x"},))
        job.store()
        self.assertEqual(self.ask().uuid, job.uuid)

    @mute_logger(LOGGER)
    def test_long_calls_are_compared_as_a_whole(self):
        """(B17) The text of a call is cut where it is stored."""
        long = "x" * 1_000_000
        first, other = self.ask(f"{long}a"), self.ask(f"{long}b")
        self.assertNotEqual(first.uuid, other.uuid)
        self.assertEqual(self.ask(f"{long}a").uuid, first.uuid)
        self.assertEqual(self.ask(f"{long}b").uuid, other.uuid)

    @mute_logger(LOGGER)
    def test_twin_that_does_not_wait_is_no_twin(self):
        """(A6) A job was changed while the triggers were disabled."""
        first = self.ask()
        self.env.flush_all()
        self.env.cr.execute("SET CONSTRAINTS ALL IMMEDIATE")
        self.env.cr.execute("ALTER TABLE queue_job DISABLE TRIGGER USER")
        self.move(first, "done")
        self.env.cr.execute("ALTER TABLE queue_job ENABLE TRIGGER USER")
        self.assertNotEqual(self.ask().uuid, first.uuid)

    def test_other_suites_store_equal_calls(self):
        """In tests the policy acts where they ask for it: 55 tests of others failed."""
        first = self.ask()
        with mock.patch.object(type(self), "prevents_duplicates", False):
            second = self.ask()
            self.move(first, "done")
            first.db_record().requeue()
        self.assertNotEqual(second.uuid, first.uuid)
        self.assertEqual(
            self.stored().mapped(lambda row: bool(row.twin_key)), [True, False]
        )

    def test_moves_of_a_stored_job_are_not_creations(self):
        job = self.ask()
        with self.assertNoLogs(LOGGER, INFO):
            job.set_done()
            job.store()
            job.db_record().requeue()
        self.assertEqual(self.stored().mapped("state"), ["pending"])

    def test_rows_made_directly_never_vanish(self):
        """Others may rely on ``create``; what they make blocks like any job."""
        call = {"func_string": "f()", "channel_method_name": "<res.partner>.write"}
        values = [
            {"uuid": "a", "state": "pending", **call},
            {"uuid": "b", "state": "pending", **call},
            {"uuid": "c", "state": "pending"},
            {"uuid": "d", "state": "pending"},
        ]
        with self.assertNoLogs(LOGGER, INFO):
            rows = self.jobs.create(values)
        self.assertEqual(rows.mapped("uuid"), list("abcd"))
        self.assertEqual(
            rows.mapped(lambda row: bool(row.twin_key)), [True, True, False, False]
        )
        self.assertFalse(self.jobs.create([]))

    def test_nobody_is_told_of_a_refused_job(self):
        """Runners in crons are woken by ``create`` and ``write`` of jobs."""
        self.ask()
        model = self.registry["queue.job"]
        with (
            mock.patch.object(model, "create") as create,
            mock.patch.object(model, "write") as write,
            self.prevented("x", "x"),
        ):
            self.ask()
            Job(self.partner.write, args=({"ref": "x"},)).store()
        create.assert_not_called()
        write.assert_not_called()

    def test_cron_runner_is_not_triggered_for_a_refused_job(self):
        if "queue_job_runner" not in self.env["ir.cron"]._fields:
            self.skipTest("queue_job_cron_jobrunner is not installed")
        self.ask()
        triggers = self.env["ir.cron.trigger"].search_count([])
        self.assertTrue(triggers)
        with self.prevented("x"):
            self.ask()
        self.assertEqual(self.env["ir.cron.trigger"].search_count([]), triggers)

    # Cost -------------------------------------------------------------------

    def count_queries(self, function):
        self.env.flush_all()
        before = self.env.cr.sql_log_count
        function()
        self.env.flush_all()
        return self.env.cr.sql_log_count - before

    @mute_logger(LOGGER)
    def test_refused_call_is_one_query(self):
        self.ask()
        self.assertEqual(self.count_queries(self.ask), 1)
        ten = [self.partner.delayable().write({"ref": "x"}) for _number in range(10)]
        self.assertEqual(self.count_queries(group(*ten).delay), 1)

    def test_new_job_costs_one_query_more(self):
        self.ask("warm")
        watched = self.count_queries(lambda: self.ask("a"))
        self.make_function(prevent_duplicates=False)
        self.ask("warm")
        self.assertEqual(watched - self.count_queries(lambda: self.ask("b")), 1)

    def test_look_up_uses_an_index(self):
        """Also for the jobs that have no reservation, beside many that are done."""
        job = self.ask()
        job.db_record()
        self.env.cr.execute(
            """
            ALTER TABLE queue_job DISABLE TRIGGER USER;
            INSERT INTO queue_job (uuid, state, func_string, twin_key)
            SELECT gen_random_uuid(), 'done', func_string, twin_key
            FROM queue_job, generate_series(1, 20000) WHERE uuid = %(uuid)s;
            ALTER TABLE queue_job ENABLE TRIGGER USER;
            ANALYZE queue_job;
            EXPLAIN SELECT uuid FROM queue_job
            WHERE twin_key = 'key' AND func_string = 'call' AND state <> 'done'
              AND state = ANY('{pending,failed}') AND uuid <> 'asker'
            ORDER BY id LIMIT 1 FOR SHARE SKIP LOCKED
            """,
            {"uuid": job.uuid},
        )
        plan = "\n".join(line for (line,) in self.env.cr.fetchall())
        self.assertIn("queue_job_twin_key_index", plan)
