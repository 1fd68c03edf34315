"""Command lines of ``setup/bench``, ``setup/chaos`` and ``setup/soak``. Standard library only."""

import argparse


def bench_parser(add_options):
    """Return the parser of ``setup/bench``."""
    parser = argparse.ArgumentParser(
        prog="setup/bench",
        description="Measure a queue_job on a database and a PostgreSQL server of its own. "
        "With --addons-path, that of a queue_job, another one than this suite's.",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ROW",
        help="only these rows; may be repeated; 'list' shows their names",
    )
    parser.add_argument(
        "--jobs", type=int, default=1000, help="jobs of a drain (default: %(default)s)"
    )
    parser.add_argument(
        "--samples", type=int, default=100, help="of latency (default: %(default)s)"
    )
    parser.add_argument(
        "--repeat",
        type=int,
        default=3,
        help="drains; the median counts (default: %(default)s)",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write the figures there too ('-': instead of the table)",
    )
    parser.add_argument(
        "--save",
        action="store_true",
        help="write the table into setup/BENCHMARK.md and README.md",
    )
    _add_server_options(parser)
    add_options(parser)
    return parser


def chaos_parser(add_options):
    """Return the parser of ``setup/chaos``."""
    parser = argparse.ArgumentParser(
        prog="setup/chaos",
        description="Run jobs, kill at random what runs them, and count what was done.",
    )
    parser.add_argument("--jobs", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--kills", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument(
        "--max-retries",
        type=int,
        default=0,
        help="of each job, 0 for no limit (default)",
    )
    parser.add_argument(
        "--settle",
        type=float,
        default=30,
        help="seconds from the last kill to the last job (default: %(default)s)",
    )
    parser.add_argument(
        "--deadly",
        type=int,
        default=10,
        help="jobs that kill their worker at each try, before and among the others"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--in-steps",
        type=int,
        default=200,
        help="numbers that jobs insert which commit in steps (default: %(default)s)",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=30,
        help="seconds until healthy jobs beside them are done (default: %(default)s)",
    )
    parser.add_argument(
        "--job-workers",
        type=int,
        default=0,
        help="of each node, which then perform the jobs (default: none)",
    )
    parser.add_argument(
        "--show", action="store_true", help="print each kill and its time"
    )
    parser.add_argument(
        "--no-restart", action="store_true", help="never restart PostgreSQL"
    )
    _add_server_options(parser)
    add_options(parser)
    return parser


def soak_parser(add_options):
    """Return the parser of ``setup/soak``."""
    parser = argparse.ArgumentParser(
        prog="setup/soak",
        description="Put load on a prefork server for long, and note memory, rate and sizes.",
    )
    parser.add_argument(
        "--minutes", type=float, default=60, help="of load (default: %(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=40, help="jobs per second (default: %(default)s)"
    )
    parser.add_argument(
        "--drain",
        type=int,
        default=20000,
        help="jobs that wait and are drained before the load, 0 for none (default: %(default)s)",
    )
    parser.add_argument(
        "--every",
        type=float,
        default=60,
        help="seconds between two samples (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="where samples go, as .csv or .json (default: soak.json among the logs)",
    )
    _add_server_options(parser)
    add_options(parser)
    return parser


def tenants_parser(add_options):
    """Return the parser of ``setup/tenants``."""
    parser = argparse.ArgumentParser(
        prog="setup/tenants",
        description="Serve many databases, most of which sleep, and measure what they cost.",
    )
    for name, default, text in (
        ("active", 10, "real databases that perform jobs"),
        ("sleeping", 990, "databases with the tables that the runner reads"),
        ("jobs", 300, "jobs of each active database in a drain"),
        ("repeat", 3, "drains, of which the median counts"),
        ("seconds", 60, "for which all are idle while their cost is measured"),
    ):
        parser.add_argument(
            "--%s" % name,
            type=int,
            default=default,
            help="%s (default: %%(default)s)" % text,
        )
    parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
    _add_server_options(parser)
    add_options(parser)
    return parser


def _add_server_options(parser):
    parser.add_argument("--workers", type=int, default=4, help="default: %(default)s")
    parser.add_argument(
        "--pg-bin",
        metavar="FOLDER",
        help="bin folder of the PostgreSQL to start (default: the embedded one)",
    )
