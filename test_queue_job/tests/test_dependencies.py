# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import gc
from unittest import mock

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job.controllers.main import RunJobController
from odoo.addons.queue_job.delay import chain, group
from odoo.addons.queue_job.exception import RetryableJobError
from odoo.addons.queue_job.job import Job
from odoo.addons.queue_job.tests.test_migrations import load_script

from .common import CommittedJobCase, GraphCase, JobCase

CANCELLED_WITH_PARENT = "Cancelled because a job it depends on was cancelled"


@tagged("post_install", "-at_install")
class TestAddDepends(JobCase):
    def test_links_both_sides(self):
        parent, child = Job(self.record.testing_method), Job(self.record.testing_method)
        child.add_depends({parent})
        self.assertEqual(child.depends_on, {parent})
        self.assertEqual(parent.reverse_depends_on, {child})
        self.assertEqual(set(child._depends_on), {parent})
        self.assertEqual(set(parent._reverse_depends_on), {child})

    def test_state_follows_the_parents(self):
        waiting, done = Job(self.record.testing_method), Job(self.record.testing_method)
        done.state = "done"
        child = Job(self.record.testing_method)
        child.add_depends({done})
        self.assertEqual(child.state, "pending")
        child.add_depends({waiting})
        self.assertEqual(child.state, "wait_dependencies")

    def test_itself_is_refused(self):
        job = Job(self.record.testing_method)
        with self.assertRaises(ValueError):
            job.add_depends({job})

    def test_reverse_links_do_not_keep_jobs_alive(self):
        parent, child = Job(self.record.testing_method), Job(self.record.testing_method)
        child.add_depends({parent})
        del child
        gc.collect()
        self.assertFalse(set(parent._reverse_depends_on))

    def test_dependencies_are_stored_and_loaded(self):
        parent, child = Job(self.record.testing_method), Job(self.record.testing_method)
        parent.graph_uuid = child.graph_uuid = "graph"
        child.add_depends({parent})
        parent.store()
        child.store()
        self.env.flush_all()
        self.env.invalidate_all()
        loaded_parent, loaded_child = self.load(parent), self.load(child)
        self.assertEqual(loaded_child.depends_on, {parent})
        self.assertEqual(loaded_parent.reverse_depends_on, {child})
        self.assertFalse(loaded_parent.depends_on)
        self.assertFalse(loaded_child.reverse_depends_on)
        self.assertTrue(loaded_parent.should_check_dependents())
        self.assertFalse(loaded_child.should_check_dependents())

    def test_parent_stored_before_does_not_know_its_child(self):
        parent = self.make_job()
        child = Job(self.record.testing_method)
        child.add_depends({parent})
        child.store()
        self.assertFalse(self.row(parent).dependencies.get("reverse_depends_on"))
        parent.store()
        self.assertEqual(
            self.row(parent).dependencies["reverse_depends_on"], [child.uuid]
        )


@tagged("post_install", "-at_install")
class TestRelease(GraphCase):
    def test_child_of_one_parent(self):
        a, b, c = self.delayables("abc")
        chain(a, b, c).delay()
        self.finish(a)
        self.assertEqual(self.states(a, b, c), ["done", "pending", "wait_dependencies"])

    def test_child_waits_for_all_parents(self):
        a, b, c = self.delayables("abc")
        group(a, b).on_done(c).delay()
        self.finish(a)
        self.assertEqual(self.states(c), ["wait_dependencies"])
        self.finish(b)
        self.assertEqual(self.states(c), ["pending"])

    def test_all_children_of_a_group_after_a_group(self):
        parents, children = (
            self.delayables("abcdefghijkl"),
            self.delayables("abcdefghijkl"),
        )
        group(*parents).on_done(group(*children)).delay()
        for parent in parents[:-1]:
            self.finish(parent)
        self.assertEqual(set(self.states(*children)), {"wait_dependencies"})
        self.finish(parents[-1])
        self.assertEqual(set(self.states(*children)), {"pending"})

    def test_failed_parent_does_not_release(self):
        a, b = self.delayables("ab")
        chain(a, b).delay()
        job = self.load(self.job_of(a))
        job.set_failed(exc_name="E")
        job.store()
        job.enqueue_waiting()
        self.assertEqual(self.states(b), ["wait_dependencies"])

    def test_only_waiting_children_are_released(self):
        a, b = self.delayables("ab")
        chain(a, b).delay()
        self.row(self.job_of(b)).button_cancelled()
        self.finish(a)
        self.assertEqual(self.states(b), ["cancelled"])

    def test_release_goes_through_the_write_of_the_model(self):
        a, b = self.record.delayable(), self.record.delayable()
        chain(a.testing_method(), b.testing_method()).delay()
        seen = []
        write = type(self.job_model).write

        def spy(records, vals):
            if "state" in vals:
                seen.append((records.mapped("uuid"), vals["state"]))
            return write(records, vals)

        self.patch(type(self.job_model), "write", spy)
        self.finish(a)
        self.assertIn(([self.job_of(b).uuid], "pending"), seen)

    def test_graph_of_an_older_database_releases_after_the_upgrade(self):
        """Such a database knows its graphs from the uuid lists alone."""
        a, b = self.delayables("ab")
        chain(a, b).delay()
        self.env.flush_all()
        self.env.cr.execute("DELETE FROM queue_job_dependency")
        load_script("post").store_dependencies(self.env.cr)
        self.env.invalidate_all()
        self.assertEqual(self.rows(b)[0].dependency_ids, self.rows(a)[0])
        self.finish(a)
        self.assertEqual(self.states(b), ["pending"])

    def test_set_pending_of_a_child_waits_for_its_parent(self):
        a, b = self.delayables("ab")
        chain(a, b).delay()
        job = self.load(self.job_of(b))
        job.set_pending()
        self.assertEqual(job.state, "wait_dependencies")
        self.finish(a)
        job = self.load(self.job_of(b))
        job.set_pending()
        self.assertEqual(job.state, "pending")


@tagged("post_install", "-at_install")
class TestCancelDependents(GraphCase):
    def test_cancel_goes_down_the_chain(self):
        a, b, c = self.delayables("abc")
        chain(a, b, c).delay()
        [top] = self.rows(a)
        top.button_cancelled()
        self.assertEqual(self.states(a, b, c), ["cancelled"] * 3)
        a_row, b_row, c_row = self.rows(a, b, c)
        self.assertEqual(b_row.date_cancelled, a_row.date_cancelled)
        self.assertEqual(c_row.date_cancelled, a_row.date_cancelled)
        self.assertEqual(b_row.result, CANCELLED_WITH_PARENT)
        self.assertEqual(c_row.result, CANCELLED_WITH_PARENT)
        self.assertEqual(a_row.result, f"Cancelled by {self.env.user.name}")

    def test_one_cancelled_parent_is_enough(self):
        a, b, c = self.delayables("abc")
        group(a, b).on_done(c).delay()
        self.rows(a)[0].button_cancelled()
        self.assertEqual(self.states(a, b, c), ["cancelled", "pending", "cancelled"])

    def test_cancelled_child_stays_when_another_parent_is_done(self):
        a, b, c = self.delayables("abc")
        group(a, b).on_done(c).delay()
        self.rows(a)[0].button_cancelled()
        self.finish(b)
        self.assertEqual(self.states(c), ["cancelled"])

    def test_job_selected_with_its_parent_is_cancelled_as_dependent(self):
        a, b = self.delayables("ab")
        chain(a, b).delay()
        a_row, b_row = self.rows(a, b)
        (a_row | b_row).button_cancelled()
        self.assertEqual(self.rows(b)[0].result, CANCELLED_WITH_PARENT)

    def test_diamond(self):
        a, b, c, d = self.delayables("abcd")
        a.on_done(b.on_done(d), c.on_done(d)).delay()
        self.rows(a)[0].button_cancelled()
        self.assertEqual(self.states(a, b, c, d), ["cancelled"] * 4)

    def test_deleting_a_job_that_was_not_done_cancels_what_waits_for_it(self):
        for state in ("pending", "failed"):
            with self.subTest(state):
                a, b, c, d = self.delayables("abcd")
                a.on_done(b.on_done(c), d).delay()
                top, done = self.rows(a, d)
                top.state = state
                done.state = "done"
                top.unlink()
                self.assertEqual(self.states(b, c, d), ["cancelled"] * 2 + ["done"])
                self.assertEqual(self.rows(b)[0].result, CANCELLED_WITH_PARENT)

    def test_deleting_a_job_that_was_done_cancels_nothing(self):
        a, b, c = self.delayables("abc")
        group(a, b).on_done(c).delay()
        self.finish(a)
        self.rows(a)[0].unlink()
        self.assertEqual(self.states(b, c), ["pending", "wait_dependencies"])
        self.finish(b)
        self.assertEqual(self.states(c), ["pending"])

    def test_all_of_a_large_group(self):
        parents, children = (
            self.delayables("abcdefghijkl"),
            self.delayables("abcdefghijkl"),
        )
        group(*parents).on_done(group(*children)).delay()
        self.rows(parents[3])[0].button_cancelled()
        self.assertEqual(set(self.states(*children)), {"cancelled"})
        self.assertEqual(self.states(parents[0]), ["pending"])


@tagged("post_install", "-at_install")
class TestRequeueTogether(GraphCase):
    """A whole graph is selected: its jobs keep their order."""

    def requeue_all(self, delayables, button):
        rows = self.job_model.concat(*self.rows(*delayables))
        getattr(rows, button)()
        rows.requeue()
        return self.states(*delayables)

    def test_chain(self):
        for button in ("button_cancelled", "button_done"):
            with self.subTest(button):
                a, b, c = delayables = self.delayables("abc")
                chain(a, b, c).delay()
                self.assertEqual(
                    self.requeue_all(delayables, button),
                    ["pending", "wait_dependencies", "wait_dependencies"],
                )
                self.finish(a)
                self.assertEqual(self.states(b, c), ["pending", "wait_dependencies"])

    def test_group_behind_a_group(self):
        """Their links are one joint."""
        parents, children = (
            self.delayables("abcdefghijkl"),
            self.delayables("abcdefghijkl"),
        )
        group(*parents).on_done(group(*children)).delay()
        states = self.requeue_all(parents + children, "button_cancelled")
        self.assertEqual(set(states[:12]), {"pending"})
        self.assertEqual(set(states[12:]), {"wait_dependencies"})


@tagged("post_install", "-at_install")
class TestReleaseRaces(CommittedJobCase):
    def delay_graph(self):
        """Two parents of one child, both about to be done."""
        with self.new_env() as env:
            record = self.record_in(env)
            a, b, c = (record.delayable().testing_method() for _name in "abc")
            group(a, b).on_done(c).delay()
            return [delayable._generated_job.uuid for delayable in (a, b, c)]

    def test_two_parents_that_end_at_once_release_the_child(self):
        parent, other_parent, child = self.delay_graph()
        self.move(parent, "enqueued")
        self.move(other_parent, "enqueued")
        with self.registry.cursor() as cr:
            # This transaction looked before the other parent was done.
            cr.execute("SELECT count(*) FROM queue_job")
            self.acquire_and_run(other_parent)
            self.assertEqual(
                self.columns(child, "state"), {"state": "wait_dependencies"}
            )
        self.acquire_and_run(parent)
        self.assertEqual(self.columns(child, "state"), {"state": "pending"})

    def test_parent_that_ends_while_its_child_is_put_off_releases_it(self):
        """It was requeued while the child ran: whoever ends it sees no child that waits."""
        with self.new_env() as env:
            record = self.record_in(env)
            a, b = (record.delayable().testing_method() for _name in "ab")
            chain(a, b).delay()
            parent, child = (d._generated_job.uuid for d in (a, b))
        self.move(parent, "started")
        self.move(child, "enqueued")
        set_pending = Job.set_pending

        def set_pending_slowly(job, **options):
            set_pending(job, **options)
            self.assertEqual(job.state, "wait_dependencies")
            self.move(parent, "done")
            with self.new_env() as env:
                RunJobController._enqueue_dependent_jobs(env, Job.load(env, parent))

        raising = mock.patch.object(
            type(self.env["test.queue.job"]),
            "testing_method",
            side_effect=RetryableJobError("later"),
        )
        with raising, mock.patch.object(Job, "set_pending", set_pending_slowly):
            self.acquire_and_run(child)
        self.assertEqual(self.columns(child, "state"), {"state": "pending"})

    @mute_logger("odoo.sql_db")
    def test_b04_children_of_parents_that_end_at_once_are_all_released(self):
        """In 19.0 one of the children waits for ever, after useless retries."""
        with self.new_env() as env:
            record = self.record_in(env)
            root, p1, p2, c1, c2 = (
                record.delayable().testing_method() for _name in range(5)
            )
            root.on_done(p1.on_done(c1, c2), p2.on_done(c1)).delay()
            uuids = [delayable._generated_job.uuid for delayable in (p1, p2, c1, c2)]
        for uuid in uuids[:2]:
            self.move(uuid, "done")
        with self.new_env() as env:
            job = Job.load(env, uuids[0])
            with self.new_env() as other:
                RunJobController._enqueue_dependent_jobs(
                    other, Job.load(other, uuids[1])
                )
            with mock.patch("time.sleep") as sleep:
                RunJobController._enqueue_dependent_jobs(env, job)
            self.assertLessEqual(len(sleep.call_args_list), 1)
        states = [self.columns(uuid, "state")["state"] for uuid in uuids]
        self.assertEqual(states, ["done", "done", "pending", "pending"])
