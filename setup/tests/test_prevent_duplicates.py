"""A real runner and late callers: what queue_job_prevent_duplicates promises about changes."""

import contextlib
import unittest

from _lib.bench_server import BenchServer
from _lib.suite import Suite

ADDON = "queue_job_prevent_duplicates"
CALLERS, ROUNDS = 5, 40

# Each caller has a record of its own and one call: copy the record's reference to another
# record. In each round the call is asked for twice: by a transaction that commits at once,
# and by one that changes the record, asks, and commits late: in half of the rounds at random,
# else when the first job has started, which a refused caller waits for in vain. Short jobs
# keep the slots busy, so the first job waits, is dispatched or runs when the second call comes.
SCRIPT = """
import random, time
from concurrent.futures import ThreadPoolExecutor
from odoo import SUPERUSER_ID, api

WAITING = ("pending", "enqueued")

def new_env():
    return api.Environment(env.registry.cursor(), SUPERUSER_ID, {})

def call(caller):
    luck = random.Random(caller)
    early, late, watch = new_env(), new_env(), new_env()
    partners = early["res.partner"].create([{"name": "source"}, {"name": "target"}])
    source, target = partners.ids
    action = early["ir.actions.server"].create({
        "name": "copy %%d" %% caller, "state": "code",
        "model_id": early.ref("base.model_res_partner").id,
        "code": "env['res.partner'].browse(%%d).write({"
                "'ref': env['res.partner'].browse(%%d).ref})" %% (target, source)}).id
    early.cr.commit()
    lost, refused = [], 0

    def ask(env, reference):
        env["res.partner"].browse(source).ref = reference
        env.flush_all()
        return env["ir.actions.server"].browse(action).with_delay(priority=1).run()

    def state(env, uuid):
        env.cr.execute("SELECT state FROM queue_job WHERE uuid = %%s", (uuid,))
        (found,) = env.cr.fetchone()
        env.cr.rollback()
        return found

    for number in range(%(rounds)d):
        wanted = "late %%d" %% number
        first = ask(early, "early %%d" %% number)
        uuid, call = first.uuid, first.func_string
        early["queue.job"].with_delay()._test_job(job_duration=0.01 + luck.random() / 50)
        early.cr.commit()
        early.transaction.reset()
        time.sleep(luck.random() ** 2 * 0.15)
        refused += ask(late, wanted).uuid == uuid
        late.flush_all()
        give_up = time.monotonic() + (0.4 if number %% 2 else luck.random() * 0.05)
        while time.monotonic() < give_up and state(watch, uuid) in WAITING:
            time.sleep(0.003)
        late.cr.commit()
        late.transaction.reset()
        while True:
            watch.cr.execute("SELECT count(*) FROM queue_job WHERE func_string = %%s "
                             "AND state NOT IN ('done', 'failed')", (call,))
            (count,) = watch.cr.fetchone()
            watch.cr.rollback()
            if not count:
                break
            time.sleep(0.003)
        watch.cr.execute("SELECT ref FROM res_partner WHERE id = %%s", (target,))
        (seen,) = watch.cr.fetchone()
        watch.cr.rollback()
        if seen != wanted:
            lost.append([wanted, seen])
    for each in (early, late, watch):
        each.cr.close()
    return lost, refused

with ThreadPoolExecutor(%(callers)d) as pool:
    answers = list(pool.map(call, range(%(callers)d)))
env.cr.execute("SELECT state, count(*) FROM queue_job WHERE method_name = 'run' GROUP BY state")
result({
    "lost": sum((lost for lost, _refused in answers), []),
    "refused": sum(refused for _lost, refused in answers),
    "states": dict(env.cr.fetchall()),
})
""" % {"rounds": ROUNDS, "callers": CALLERS}


@contextlib.contextmanager
def served():
    """Give the suite and a database with the addon that a runner serves."""
    suite = Suite.without_options()
    with (
        suite.database("duplicates", [ADDON]) as database,
        BenchServer(
            suite.odoo, database, "duplicates", workers=2, channels="root:2"
        ) as server,
    ):
        server.wait_until_ready()
        server.wait_until_runner_ready()
        yield suite, database


class TestLateCallers(unittest.TestCase):
    def test_the_last_run_always_sees_the_last_change(self):
        """The known issue of the original addon: a refused caller's change was overtaken."""
        with served() as (suite, database):
            result = suite.shell(database, SCRIPT)
        self.assertEqual(result["lost"], [])
        self.assertEqual(set(result["states"]), {"done"})
        # Else the race was not there.
        rounds = CALLERS * ROUNDS
        self.assertGreater(result["refused"], rounds / 10, result)
        self.assertEqual(result["states"]["done"], 2 * rounds - result["refused"])
        print(
            "%d rounds, %d callers refused, none overtaken"
            % (rounds, result["refused"])
        )
