"""Command lines of the entry points, and the way from one to its work. Standard library only."""

import argparse
import errno
import importlib

from . import bench_options, progress
from .bootstrap import enter_venv
from .errors import SetupError, sentence

# A disk that is full or takes no writes: such an error names no file.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def call(name, argv):
    """Run one of COMMANDS inside the venv; return its exit code.

    A SetupError, an error about a file and Ctrl-C are shown in words, without a traceback.
    """
    parser, module = COMMANDS[name]
    options = parser().parse_args(argv)
    progress.watch()
    try:
        with progress.during("setup/%s" % name):
            cache = enter_venv(options)
            return importlib.import_module(module, __package__).main(options, cache)
    except SetupError as error:
        return _fail(error, error.hint)
    except OSError as error:
        if not error.filename and error.errno not in NO_ROOM:
            raise
        if isinstance(error, FileNotFoundError) and "/" not in str(error.filename):
            return _fail("The program '%s' is missing." % error.filename, "Install it.")
        return _fail(
            sentence(error),
            "The cache has to be a folder that this user may write, on a disk with room."
            " Name another one with --cache or QUEUE_JOB_SUITE_CACHE.",
        )
    except KeyboardInterrupt:
        progress.say("\nInterrupted.")
        return 130


def _fail(text, hint):
    progress.say("\nERROR: %s" % text)
    if hint:
        progress.say("What to do: %s" % hint)
    return 2


def add_options(parser):
    """Add the options that every entry point understands."""
    group = parser.add_argument_group("where things are")
    group.add_argument("--odoo", metavar="FOLDER", help="Odoo 19 source (ODOO_SOURCE)")
    group.add_argument(
        "--cache",
        metavar="FOLDER",
        help="where everything is kept (QUEUE_JOB_SUITE_CACHE, XDG_CACHE_HOME)",
    )
    group.add_argument(
        "--pg-host", metavar="HOST", help="PostgreSQL server to use (PGHOST)"
    )
    group.add_argument("--pg-port", metavar="PORT", type=int, help="its port (PGPORT)")
    group.add_argument("--pg-user", metavar="ROLE", help="role on it (PGUSER)")
    group.add_argument(
        "--addons-path",
        metavar="FOLDER",
        action="append",
        default=[],
        help="one more folder of addons; may be repeated",
    )


def test_parser():
    """Return the parser of ``setup/test``."""
    parser = argparse.ArgumentParser(
        prog="setup/test",
        description="Run the tests. The last line says how many passed and failed.",
    )
    parser.add_argument(
        "addons",
        nargs="*",
        metavar="ADDON",
        help="addons to test, or 'setup' for the tests of setup/ (default: all)",
    )
    parser.add_argument(
        "--class",
        dest="classes",
        metavar="NAME",
        action="append",
        default=[],
        help="only this test class; may be repeated",
    )
    parser.add_argument(
        "--test",
        dest="tests",
        metavar="NAME",
        action="append",
        default=[],
        help="only this test method; may be repeated",
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="skip tests that want a browser"
    )
    parser.add_argument(
        "--keep-db", action="store_true", help="leave the database for a look"
    )
    parser.add_argument(
        "--together",
        action="store_true",
        help="test all addons in one database, as OCA does (default: one for each)",
    )
    parser.add_argument(
        "--without",
        metavar="PACKAGE",
        action="append",
        default=[],
        help="as if this Python package were not installed, such as hypothesis",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show Odoo's log")
    add_options(parser)
    return parser


def run_parser():
    """Return the parser of ``setup/run``."""
    parser = argparse.ArgumentParser(
        prog="setup/run",
        description="Start Odoo with the job queue, run a few jobs, and serve until Ctrl-C.",
    )
    parser.add_argument(
        "--port", type=int, help="HTTP port (default: 8069 or a free one)"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        help="workers for people (default: %(default)s)",
    )
    parser.add_argument(
        "--job-workers",
        type=int,
        default=4,
        help="workers for jobs only; with 0 they take the others (default: %(default)s)",
    )
    parser.add_argument(
        "--channels",
        default="root:4",
        help="channels and capacities, as ODOO_QUEUE_JOB_CHANNELS (default: %(default)s)",
    )
    _add_database_options(parser, "queue_job_demo")
    parser.add_argument(
        "--once", action="store_true", help="end when the jobs are done"
    )
    add_options(parser)
    return parser


def _add_database_options(parser, name):
    """Add the options of a database that stays after the call."""
    parser.add_argument("--database", default=name, help="default: %(default)s")
    parser.add_argument(
        "--addons",
        default="queue_job",
        metavar="NAME,...",
        help="addons to install (default: %(default)s)",
    )
    parser.add_argument("--fresh", action="store_true", help="drop the database first")


def generate_parser():
    """Return the parser of ``setup/generate``."""
    parser = argparse.ArgumentParser(
        prog="setup/generate",
        description="Fill a database with jobs of all kinds, to see how the screens bear it.",
    )
    parser.add_argument(
        "--count", type=int, default=1_000_000, help="default: %(default)s"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="another one adds other jobs (default: 1)"
    )
    _add_database_options(parser, "queue_job_million")
    add_options(parser)
    return parser


def lint_parser():
    """Return the parser of ``setup/lint``."""
    parser = argparse.ArgumentParser(
        prog="setup/lint",
        description="Check the files that git tracks, mending what can be mended.",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="default: all files")
    parser.add_argument(
        "--hook",
        metavar="NAME",
        help="only this check of .pre-commit-config.yaml",
    )
    add_options(parser)
    return parser


def i18n_parser():
    """Return the parser of ``setup/i18n``."""
    parser = argparse.ArgumentParser(
        prog="setup/i18n",
        description="Write the .pot of each addon anew, and bring the .po files in step.",
    )
    add_options(parser)
    return parser


def readme_parser():
    """Return the parser of ``setup/readme``."""
    parser = argparse.ArgumentParser(
        prog="setup/readme",
        description="Write README.rst and index.html of each addon from its readme/, and what "
        "packaging needs from the manifests.",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing, say what is out of step"
    )
    add_options(parser)
    return parser


def provision_parser():
    """Return the parser of ``setup/provision``."""
    parser = argparse.ArgumentParser(
        prog="setup/provision",
        description="Make what is missing, then run a command with the suite's Odoo, Python "
        "and PostgreSQL in its environment (default: print that environment).",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    add_options(parser)
    return parser


COMMANDS = {
    "generate": (generate_parser, ".generate"),
    "bench": (lambda: bench_options.bench_parser(add_options), ".bench"),
    "chaos": (lambda: bench_options.chaos_parser(add_options), ".chaos"),
    "i18n": (i18n_parser, ".terms"),
    "lint": (lint_parser, ".linting"),
    "provision": (provision_parser, ".provisioning"),
    "readme": (readme_parser, ".generated"),
    "soak": (lambda: bench_options.soak_parser(add_options), ".soak"),
    "tenants": (lambda: bench_options.tenants_parser(add_options), ".tenants"),
    "run": (run_parser, ".serving"),
    "test": (test_parser, ".testing"),
}
