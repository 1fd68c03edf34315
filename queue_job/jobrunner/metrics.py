# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Counters and histograms of the runner, in memory.

They outlive the session of a database, so that a lost connection resets nothing, and end
with the database. The runner counts a job when the answer to its request arrives.
"""

from collections import Counter

from .. import protocol
from ..exposition import Histogram

# Upper bounds in seconds. Fixed: a query over several servers needs equal buckets.
BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200)
# Job functions with series of their own, over all databases: each has about thirty.
MAX_FUNCTIONS = 200
OTHER = "other"
# Channels counted in one database; channels of jobs may be named without end.
MAX_CHANNELS = 1_000

STARTED = "started"
# Outcomes of an attempt: a job that was held or refused was not begun.
ENDED = (protocol.DONE, protocol.FAILED, protocol.POSTPONED)
ANSWERED = "ok"


class FunctionHistograms:
    """Histograms by database and job function, the first ones apart.

    :param limit: functions with a histogram of their own
    """

    def __init__(self, limit=MAX_FUNCTIONS):
        self._limit = limit
        self._by_name = {}
        self._functions = 0

    def observe(self, db_name, function, seconds):
        function = function or OTHER
        histogram = self._by_name.get((db_name, function))
        if histogram is None:
            histogram = self._new(db_name, function)
        histogram.observe(seconds)

    def _new(self, db_name, function):
        if function != OTHER and self._functions >= self._limit:
            function = OTHER
        if (db_name, function) not in self._by_name:
            self._functions += function != OTHER
            self._by_name[db_name, function] = Histogram(BUCKETS)
        return self._by_name[db_name, function]

    def forget(self, db_name):
        for known, function in list(self._by_name):
            if known == db_name:
                del self._by_name[known, function]
                self._functions -= function != OTHER

    def samples(self):
        for (db_name, function), histogram in self._by_name.items():
            yield {"database": db_name, "function": function}, histogram


class DatabaseMetrics:
    """Counters of one database.

    :param owner: :class:`Metrics` of the process
    """

    def __init__(self, db_name, owner):
        self.db_name = db_name
        self._owner = owner
        # By event and full name of the channel.
        self.jobs = Counter()
        self.requests = Counter()
        self.elections = Counter()
        self.dead = 0
        self.errors = 0

    def sent(self, job, now):
        """Count a job that is sent to a worker.

        It waited since its eta, or since the runner learned that it is ready, or else
        since its creation.
        """
        since = job.waits_since
        if since is not None:
            waited = max(now - since, 0)
            self._owner.waits.observe(self.db_name, job.function, waited)

    @property
    def is_served(self):
        """Whether the page of metrics is served."""
        return self._owner.is_served

    def ended(self, job, outcome, seconds):
        """Count an attempt that a worker reports."""
        if outcome not in ENDED:
            return
        channel = job.channel.fullname
        if len(self.jobs) >= MAX_CHANNELS * (1 + len(ENDED)):
            self.jobs.clear()
        self.jobs[STARTED, channel] += 1
        self.jobs[outcome, channel] += 1
        self._owner.durations.observe(self.db_name, job.function, seconds)

    def answered(self, kind):
        """Count the answer to a request.

        :param kind: of :mod:`.dispatch`, None for a report
        """
        self.requests[kind or ANSWERED] += 1

    def elected(self, is_won):
        self.elections["won" if is_won else "lost"] += 1


class Metrics:
    """The counters of all databases of a runner.

    ``is_served`` lets sessions read by the clock what only metrics need.
    """

    def __init__(self):
        self.waits, self.durations = FunctionHistograms(), FunctionHistograms()
        self.databases = {}
        self.is_served = False

    def of(self, db_name):
        """Return the counters of a database."""
        found = self.databases.get(db_name)
        if found is None:
            found = DatabaseMetrics(db_name, self)
            self.databases[db_name] = found
        return found

    def forget(self, db_name):
        """End the series of a database that is gone."""
        self.databases.pop(db_name, None)
        self.waits.forget(db_name)
        self.durations.forget(db_name)
