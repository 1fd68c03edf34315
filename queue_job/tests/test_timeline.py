# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Where the time of a job went: steps in their order, moves by users, spans that add up."""

import random
from datetime import datetime, timedelta

from freezegun import freeze_time

from odoo.tests import TransactionCase, new_test_user, tagged

from ..delay import chain, group

NINE = datetime(2026, 3, 4, 9)


class History:
    """A random life of a job, as its rows tell it and as it was.

    Dates are exact, but that of sending, which the runner cuts to the second.
    """

    def __init__(self, rnd):
        self.rnd = rnd
        self.now = NINE + timedelta(microseconds=rnd.randrange(10**6))
        self.true = [("created", self.now)]
        self.row = {"date_created": self.now, "state": "pending", "retry": 0}
        self.attempts, self.moves = [], []
        # From when on the job can run, and how long it waited and ran last.
        self.due, self.waited, self.ran = self.now, 0, 0
        for _step in range(rnd.randrange(5)):
            self.move()
        if self.row["state"] == "pending":
            self.waited = max((self.end() - self.due).total_seconds(), 0)

    def pass_time(self):
        self.now += timedelta(
            microseconds=self.rnd.choice([1, 900, 10**6, 5 * 10**7])
            * self.rnd.randint(1, 9)
        )
        return self.now

    def end(self):
        return self.now + timedelta(hours=5)

    def move(self):
        if self.row["state"] == "pending":
            self.run()
        elif self.row["state"] != "started":
            self.requeue()

    def run(self):
        if self.row.get("eta"):
            self.now = max(self.now, self.row["eta"])
        sent, started = self.pass_time(), self.pass_time()
        self.waited = (started - self.due).total_seconds()
        self.row["date_started"] = started
        outcome = self.rnd.choice(["done", "failed", "postponed", "started"])
        if outcome == "started":
            self.row.update(state="started", date_enqueued=sent.replace(microsecond=0))
            self.true += [("enqueued", None), ("started", started)]
            self.ran = (self.end() - started).total_seconds()
            return
        ended = self.pass_time()
        self.row["retry"] += 1
        self.ran = (ended - started).total_seconds()
        if outcome == "done":
            self.row.update(state="done", date_done=ended, exec_time=self.ran)
        else:
            self.attempts.append((self.row["retry"], outcome, started, ended))
        if outcome == "postponed":
            self.row.pop("date_started")
            self.row["eta"] = self.due = ended + timedelta(seconds=30)
            self.true += [("started", started), ("postponed", ended)]
            self.ran = 0
            return
        if outcome == "failed":
            self.row["state"] = "failed"
        self.row["date_enqueued"] = sent.replace(microsecond=0)
        self.true += [("enqueued", None), ("started", started), (outcome, ended)]

    def requeue(self):
        at = self.pass_time()
        # What is known of the run before is what the attempts know.
        kept = ("created", "requeued", "failed", "postponed")
        started = {date for _number, _outcome, date, _ended in self.attempts}
        self.true = [
            (kind, date)
            for kind, date in self.true
            if kind in kept or kind == "started" and date in started
        ]
        self.true.append(("requeued", at))
        self.moves.append(at)
        for name in ("date_started", "date_enqueued", "date_done"):
            self.row.pop(name, None)
        self.row.update(state="pending", retry=0)
        self.due, self.ran = at, 0


@tagged("post_install", "-at_install")
class TestTimeline(TransactionCase):
    def delay(self, **values):
        row = self.env["res.partner"].with_delay().create_company().db_record()
        self.edit(row, values)
        return row

    def edit(self, row, values):
        row._editor().write(values)

    def kinds(self, row):
        return [step["kind"] for step in row.timeline]

    def labels(self, row):
        return [step["label"] for step in row.timeline]

    def stored(self, history):
        row = self.delay(**history.row)
        for number, outcome, started, ended in history.attempts:
            self.env["queue.job.attempt"].create(
                {
                    "job_id": row.id,
                    "number": number,
                    "outcome": outcome,
                    "date_started": started,
                    "date_ended": ended,
                }
            )
        self.env["queue.job.move"].create(
            [
                {"job_id": row.id, "user_id": 2, "date": at, "state": "pending"}
                for at in history.moves
            ]
        )
        self.env.flush_all()
        self.env.invalidate_all()
        return row

    def test_spans_add_up(self):
        """Steps come in the order in which they happened, and no second is lost.

        "Sent to a worker" stood before "Created" for nearly every quick job, and the
        time waited held the run before.
        """
        for seed in range(60):
            history = History(random.Random(seed))
            row = self.stored(history)
            with self.subTest(seed=seed), freeze_time(history.end()):
                row.invalidate_recordset()
                steps = [kind for kind in self.kinds(row) if kind != "pending"]
                self.assertEqual(steps, [kind for kind, _date in history.true])
                spans = [step["seconds"] for step in row.timeline]
                last = history.true[-1][1]
                if row.state in ("done", "failed"):
                    self.assertIsNone(spans.pop())
                else:
                    last = history.end()
                total = (last - row.date_created).total_seconds()
                self.assertAlmostEqual(sum(spans), total, places=5)
                self.assertTrue(all(span >= 0 for span in spans))
                self.assertAlmostEqual(row.waited, history.waited, places=5)
                self.assertAlmostEqual(row.ran, history.ran, places=5)

    def test_sent_within_the_second_of_the_creation(self):
        created = NINE + timedelta(microseconds=900_000)
        row = self.delay(
            state="done",
            date_created=created,
            date_enqueued=NINE,
            date_started=created + timedelta(microseconds=50),
            date_done=created + timedelta(microseconds=90),
        )
        self.assertEqual(self.kinds(row), ["created", "enqueued", "started", "done"])
        self.assertAlmostEqual(row.waited, 0.00005)

    def test_clock_of_a_runner_that_is_behind(self):
        row = self.delay(
            state="enqueued", date_created=NINE, date_enqueued=NINE - timedelta(hours=1)
        )
        self.assertEqual(self.kinds(row), ["created", "enqueued"])

    def test_moves_name_the_user(self):
        user = new_test_user(
            self.env,
            "mover",
            "base.group_user,queue_job.group_queue_job_manager",
            name="Ada",
        )
        row = self.delay(state="failed", date_started=datetime.now())
        job = row.with_user(user)
        job.requeue()
        self.assertEqual(self.labels(row), ["Created", "Requeued by Ada"])
        job.button_cancelled()
        job.requeue()
        job.button_done()
        self.env.invalidate_all()
        self.assertEqual(
            self.labels(row),
            [
                *("Created", "Requeued by Ada", "Cancelled by Ada"),
                *("Requeued by Ada", "Set to done by Ada"),
            ],
        )
        user.sudo().unlink()
        self.env.invalidate_all()
        self.assertIn("Requeued by a deleted user", self.labels(row))

    def test_cancelled_with_its_parent_names_the_user_too(self):
        partner = self.env["res.partner"]
        parent, child = [partner.delayable().create_company() for _ in range(2)]
        chain(parent, child).delay()
        parent._generated_job.db_record().with_user(2).button_cancelled()
        row = child._generated_job.db_record()
        name = self.env["res.users"].browse(2).name
        self.assertEqual(self.labels(row), ["Created", f"Cancelled by {name}"])

    def test_time_before_the_end_of_the_parents_is_no_waiting(self):
        """A job could not run before: neither behind one parent nor behind a joint."""
        partner = self.env["res.partner"]
        for count in (1, 20):
            parents, children = (
                [partner.delayable().create_company() for _ in range(count)]
                for _ in range(2)
            )
            chain(group(*parents), group(*children)).delay()
            rows = [job._generated_job.db_record() for job in (*parents, *children)]
            ended = datetime.now() + timedelta(minutes=10)
            child = rows[-1]
            self.assertEqual(child.waited, 0)
            for row in rows[:count]:
                self.edit(row, {"state": "done", "date_done": ended})
            started = ended + timedelta(seconds=3)
            self.edit(child, {"state": "started", "date_started": started})
            self.env.flush_all()
            self.env.invalidate_all()
            self.assertAlmostEqual(child.waited, 3)

    def test_eta_is_no_waiting(self):
        row = self.delay(
            state="done",
            date_created=NINE,
            eta=NINE + timedelta(hours=1),
            date_started=NINE + timedelta(hours=1, seconds=2),
            date_done=NINE + timedelta(hours=2),
        )
        self.assertEqual(row.waited, 2)

    def test_list_and_form_tell_the_same_try(self):
        """The form showed the tries that ended, as the current one."""
        arch = self.env.ref("queue_job.view_queue_job_form")._get_combined_arch()
        path = "//label[@for='retry']/../field[@name='%s']/@invisible"
        self.assertEqual(arch.xpath(path % "tries"), ["state != 'started'"])
        self.assertEqual(arch.xpath(path % "retry"), ["state == 'started'"])
        row = self.delay(retry=2, max_retries=5, state="pending")
        self.assertEqual(row.tries, "2 / 5")
