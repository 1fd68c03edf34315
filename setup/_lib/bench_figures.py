"""The figures of the benchmark: what OCA's queue_job reached, and what is to be reached.

OCA's figures were measured before this suite was begun, and the aims were set by them: OCA
queue_job 19.0.2.4.0, Odoo 19, PostgreSQL 15, two cores, four prefork workers, ``root:4``.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Aim:
    """What one cell of the table shows, and what it is to reach.

    :param row: of the benchmark, which measures it
    :param form: how the value is shown
    :param most: the largest value that reaches the aim
    :param least: the smallest one
    """

    row: str
    what: str
    form: str
    oca: str = ""
    aim: str = ""
    most: float | None = None
    least: float | None = None

    def is_reached(self, value):
        """Return whether a value reaches the aim, None where there is none."""
        if self.most is not None:
            return value <= self.most
        return value >= self.least if self.least is not None else None


@dataclass
class Figure:
    """One cell of the table; ``reached`` is None where it has no aim."""

    row: str
    what: str
    oca: str
    aim: str
    value: float
    shown: str
    reached: bool | None


_LATENCY = "commit of one with_delay to done, idle server"
_GRAPH = "graph 500 before 500"
_PAGE = "page beside %s, 95th"

AIMS = {
    "rate": Aim(
        *("drain", "no-op jobs done per second", "%.0f"),
        *("86", ">= 860"),
        least=860,
    ),
    "transactions": Aim(
        *("drain", "PostgreSQL transactions per job", "%.2f", "17.4", "<= 2"), most=2
    ),
    "odoo_cpu": Aim(
        *("drain", "CPU of the Odoo processes per job", "%.2f ms"),
        *("12.7 ms", "<= 2 ms"),
        most=2,
    ),
    "runner_cpu": Aim("drain", "  of that the runner", "%.2f ms"),
    "pg_cpu": Aim(
        *("drain", "CPU of PostgreSQL per job", "%.2f ms", "7.0 ms", "<= 1 ms"), most=1
    ),
    "requests": Aim("drain", "requests per job", "%.3f"),
    "commit_rate": Aim(
        *("drain", "rows updated and committed one by one, without any queue"),
        "%.0f /s",
    ),
    "messages": Aim("counts", "messages to PostgreSQL per job", "%.2f"),
    "logged_transactions": Aim(
        *("counts", "PostgreSQL transactions per job, in its log", "%.2f"),
        *("17.4", "<= 2"),
        most=2,
    ),
    "logged_requests": Aim("counts", "requests per job, in Odoo's log", "%.3f"),
    "latency": Aim(
        *("latency", _LATENCY + ", median", "%.1f ms", "20 ms", "<= 10 ms"), most=10
    ),
    "late": Aim(
        *("latency", _LATENCY + ", 95th", "%.1f ms", "94 ms", "<= 20 ms"), most=20
    ),
    "loop": Aim(
        *("delay", "with_delay in a loop, 1,000 jobs", "%.0f /s"),
        *("400 /s", ">= 800 /s"),
        least=800,
    ),
    # Some queries are of the transaction, not of a job.
    "loop_queries": Aim(
        *("delay", "with_delay, queries per job", "%.2f", "2", "1"), most=1.05
    ),
    "group": Aim(
        *("delay", "group(1,000).delay()", "%.0f /s", "245 to 420 /s", ">= 1,960 /s"),
        least=1960,
    ),
    "group_queries": Aim(
        *("delay", "group(1,000).delay(), queries", "%.0f", "2,005", "< 20"), most=19
    ),
    "graph_stored": Aim(
        *("graph", _GRAPH + ", stored", "%.2f s", "5.0 s", "<= 0.25 s"), most=0.25
    ),
    "graph_queries": Aim("graph", _GRAPH + ", queries", "%.0f"),
    # Judged by the next.
    "graph_drained": Aim(
        *("graph", _GRAPH + ", drained", "%.0f /s", "4.9 /s", "as jobs without")
    ),
    "batches_drained": Aim(
        "graph", "  500 jobs without a graph, and 500 when they are done", "%.0f /s"
    ),
    "deaf": Aim(
        *("deaf", "one UPDATE over 20,000 waiting rows, deaf for", "%.2f s"),
        *("16.7 s", "<= 0.2 s"),
        most=0.2,
    ),
    "ready": Aim(
        *("start", "runner ready with 200,000 waiting", "%.2f s", "10.8 s", "<= 2 s"),
        most=2,
    ),
    "memory": Aim(
        *("start", "  its memory then", "%.0f MB", "203 MB", "<= 90 MB"), most=90
    ),
    "peak": Aim("start", "  its memory at most", "%.0f MB"),
    "ready_million": Aim(
        *("start", "runner ready with 1,000,000 waiting", "%.2f s", "", "<= 4 s"),
        most=4,
    ),
    "memory_million": Aim(
        *("start", "  its memory then", "%.0f MB", "", "<= 180 MB"), most=180
    ),
    "peak_million": Aim("start", "  its memory at most", "%.0f MB"),
    "own_idle": Aim("people", _PAGE % "an idle queue, job workers", "%.1f ms"),
    # Judged by the one before.
    "own_wait": Aim(
        *("people", _PAGE % "jobs that wait, job workers", "%.1f ms", ""),
        "<= 1.1 of idle",
    ),
    "own_compute": Aim("people", _PAGE % "jobs that compute, job workers", "%.1f ms"),
    "shared_idle": Aim("people", _PAGE % "an idle queue, none", "%.1f ms"),
    "shared_wait": Aim("people", _PAGE % "jobs that wait, none", "%.1f ms"),
    "shared_compute": Aim("people", _PAGE % "jobs that compute, none", "%.1f ms"),
    "first_job": Aim(
        *("warm", "first job after the first page, job workers", "%.1f s"),
        *("", "<= 2 s"),
        most=2,
    ),
    "first_jobs": Aim(
        *("warm", "first 1,000 jobs after a start, of the warm rate", "%.2f"),
        *("", ">= 0.8"),
        least=0.8,
    ),
    "warm_rate": Aim("warm", "  the warm rate", "%.0f /s"),
    "refused_queries": Aim(
        *("refused", "10,000 refused calls, queries each", "%.2f", "", "1"), most=1.01
    ),
    "refused": Aim(
        *("refused", "10,000 refused calls, time each", "%.2f ms", "", "<= 1 ms"),
        most=1,
    ),
    "connector": Aim(*("connector", "no-op jobs per second, with connector", "%.0f")),
    "cron": Aim("cron", "cron runner, 1,000 no-op jobs, each", "%.1f ms"),
    "cron_gain": Aim(
        *(
            "cron",
            "cron runner, 1,000 no-op jobs, gain of batches",
            "%.1f x",
            "",
            ">= 5",
        ),
        least=5,
    ),
}


def figure(name, value, reached=None, note=""):
    """Return the figure of a name in AIMS.

    :param reached: for an aim that depends on another figure
    :param note: is shown behind the value
    """
    aim = AIMS[name]
    shown = " ".join(filter(None, (aim.form % value, note)))
    if reached is None:
        reached = aim.is_reached(value)
    return Figure(aim.row, aim.what, aim.oca, aim.aim, value, shown, reached)
