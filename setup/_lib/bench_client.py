"""Delays jobs as an addon does, on request: ``bench_client.py DATABASE ODOO-OPTIONS...``.

A script that runs in Odoo's Python. Each line of stdin is a JSON list, a function of this file
and its arguments; each line of stdout the JSON of what it returns. Only public names of
queue_job are used. Times are those of the monotonic clock, which all processes share.
"""

import json
import sys
import threading
import time

MODEL = "queue.job.bench"


class Client:
    """One transaction at a time on one database."""

    def __init__(self, database):
        from odoo import api
        from odoo.modules.registry import Registry

        self.cr = Registry(database).cursor()
        self.env = api.Environment(self.cr, api.SUPERUSER_ID, {})
        self.thread = threading.current_thread()

    def _counted(self, function):
        """Return the seconds and queries of a function, what it left to flush included."""
        self.env.flush_all()
        self.thread.query_count = self.thread.query_time = 0
        started = time.monotonic()
        function()
        self.env.flush_all()
        return [time.monotonic() - started, self.thread.query_count]

    def loop(self, count, method="noop", *args, **properties):
        """Delay jobs one by one."""

        def delay():
            model = self.env[MODEL]
            for _number in range(count):
                getattr(model.with_delay(**properties), method)(*args)

        return self._counted(delay)

    def numbered(self, blocks, properties):
        """Delay jobs that insert numbers.

        :param blocks: lists of ``[kind, numbers, seconds]``: ``quick`` and ``slow`` jobs,
            or a ``graph``: all but the last before the last; ``deadly`` jobs, which kill
            their worker, have tries in the place of seconds, ``leaking`` jobs megabytes;
            ``steps``: one job that commits each number
        """

        def delay():
            for kind, numbers, seconds in blocks:
                getattr(self, "_delay_" + kind)(numbers, seconds, properties)

        return self._counted(delay)

    def _delay_quick(self, numbers, _seconds, properties):
        for number in numbers:
            self.env[MODEL].with_delay(**properties).insert(number)

    def _delay_slow(self, numbers, seconds, properties):
        for number in numbers:
            self.env[MODEL].with_delay(**properties).insert_slowly(number, seconds)

    def _delay_deadly(self, numbers, tries, properties):
        for number in numbers:
            self.env[MODEL].with_delay(**{**properties, "max_retries": tries}).die(
                number
            )

    def _delay_steps(self, numbers, seconds, properties):
        functions = self.env["queue.job.function"].sudo()
        name = "<%s>.insert_in_steps" % MODEL
        if not functions.search([("name", "=", name)]):
            functions.create({"name": name, "commit_mode": "steps"})
        self.env[MODEL].with_delay(**properties).insert_in_steps(numbers, seconds)

    def _delay_leaking(self, numbers, megabytes, properties):
        for number in numbers:
            self.env[MODEL].with_delay(**properties).insert_and_grow(number, megabytes)

    def _delay_graph(self, numbers, _seconds, properties):
        from odoo.addons.queue_job.delay import group

        model = self.env[MODEL]
        jobs = [model.delayable(**properties).insert(number) for number in numbers]
        group(*jobs[:-1]).on_done(jobs[-1]).delay()

    def slow(self, channel, seconds):
        """Delay one job that holds a channel."""
        return self._counted(
            lambda: self.env[MODEL].with_delay(channel=channel).sleep(seconds)
        )

    def group(self, count):
        """Delay a group."""
        return self._counted(lambda: self._new_group(count).delay())

    def graph(self, parents, children):
        """Delay a group before a group."""

        def delay():
            self._new_group(parents).on_done(self._new_group(children)).delay()

        return self._counted(delay)

    def _new_group(self, count):
        from odoo.addons.queue_job.delay import group

        model = self.env[MODEL]
        return group(*(model.delayable().noop() for _number in range(count)))

    def commit(self):
        """Commit; return when it began and when it ended."""
        began = time.monotonic()
        self.cr.commit()
        self.env.transaction.reset()
        return [began, time.monotonic()]

    def rollback(self):
        self.cr.rollback()

    def latency(self, samples, pause, timeout=120):
        """Return, for each of some jobs, the seconds from its commit to its end."""
        return [self._one_latency(pause, timeout) for _sample in range(samples)]

    def _one_latency(self, pause, timeout):
        time.sleep(pause)
        job = self.env[MODEL].with_delay(priority=0).noop()
        uuid = job.uuid
        self.env.flush_all()
        began = time.monotonic()
        self.cr.commit()
        while time.monotonic() - began < timeout:
            self.cr.execute("SELECT state FROM queue_job WHERE uuid = %s", (uuid,))
            state = self.cr.fetchone()[0]
            self.cr.rollback()
            if state == "done":
                break
            time.sleep(0.001)
        return time.monotonic() - began


def main(argv):
    """Serve requests until stdin ends."""
    database, options = argv[1], argv[2:]
    sys.path.pop(0)
    # Whatever Odoo prints is not an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    from odoo.tools import config

    config.parse_config(["-d", database, *options], setup_logging=True)
    client = Client(database)
    for line in sys.stdin:
        name, *args = json.loads(line)
        print(json.dumps(getattr(client, name)(*args)), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv)
