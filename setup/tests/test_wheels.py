import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from email import message_from_string
from pathlib import Path

from _lib import bootstrap
from _lib.bootstrap import REPO
from _lib.locks import exclusive
from _lib.odoo_command import OdooCommand
from _lib.process import Guarded, tail
from _lib.shell import run_script
from _lib.suite import Suite, find_addons
from _lib.waiting import wait_until

METAPACKAGE = REPO / "setup" / "_metapackage"
REQUIREMENTS = (REPO / "setup" / "requirements-wheel.txt",)
PATIENCE = 60  # seconds until the runner is ready
READY = "queue job runner ready for db"
SERVER_WIDE = "--load=base,rpc,web,queue_job"

# Fed to ``odoo shell``: a job, moved as the runner does, performed as a worker does.
DO_A_JOB = """
from odoo.addons import queue_job
from odoo.addons.queue_job.controllers.main import RunJobController

partner = env["res.partner"].create({"name": "before"})
job = partner.with_delay().write({"name": "after"})
env.cr.commit()
env.cr.execute("UPDATE queue_job SET state = 'enqueued' WHERE uuid = %s", [job.uuid])
env.cr.commit()
env.invalidate_all()
RunJobController._runjob(env, RunJobController._acquire_job(env, job.uuid))
result([partner.name, job.db_record().state, queue_job.__file__])
"""


class TestWheels(unittest.TestCase):
    """The addons as packages: built from their folders, and used without the checkout."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.addons = sorted(find_addons([REPO]))
        self.suite = Suite.without_options()
        self.cache = self.suite.cache
        caller = os.environ[bootstrap.CALLER_VARIABLE]
        with exclusive(self.cache.lock):
            self.python = bootstrap.make_venv(self.cache, caller, REQUIREMENTS)

    def call(self, *command, **options):
        done = subprocess.run(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            **options,
        )
        self.assertFalse(done.returncode, done.stdout[-5000:])
        return done.stdout

    def test_wheels_work_without_the_checkout(self):
        site = self.folder / "site"
        wheels = self.build()
        self.check_contents(wheels)
        self.check_requirements(wheels)
        pip = (self.python, "-m", "pip", "install", "--quiet", "--no-index")
        # Odoo itself is not a package here.
        self.call(*pip, "--no-deps", "--target", site, *wheels)
        self.use(site)

    def build(self):
        """Return the wheels of all addons, and that of the metapackage.

        Built from copies: in a git checkout only what is committed would count.
        """
        copies = [self.folder / "source" / METAPACKAGE.name]
        shutil.copytree(METAPACKAGE, copies[0])
        for name in self.addons:
            ignored = shutil.ignore_patterns("__pycache__")
            copies.append(self.folder / "source" / name)
            shutil.copytree(REPO / name, copies[-1], ignore=ignored)
        wheels = self.folder / "wheels"
        pip = (self.python, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps")
        self.call(*pip, "--no-build-isolation", "--wheel-dir", wheels, *copies)
        return sorted(wheels.iterdir())

    def check_contents(self, wheels):
        names = [wheel.name.split("-")[0] for wheel in wheels]
        addons = ["odoo_addon_%s" % name for name in self.addons]
        self.assertEqual(names, [*addons, "odoo_addons_queue_job_suite"])
        for name, wheel in zip(self.addons, wheels, strict=False):
            packed = set(zipfile.ZipFile(wheel).namelist())
            wanted = {
                "odoo/addons/%s" % path.relative_to(REPO)
                for path in (REPO / name).rglob("*.*")
                if path.is_file() and "__pycache__" not in path.parts
            }
            self.assertLessEqual(
                wanted - packed, {"odoo/addons/%s/pyproject.toml" % name}
            )

    def check_requirements(self, wheels):
        """What is required is one of these wheels, Odoo, or in requirements.txt."""
        releases, required = {}, {}
        for wheel in wheels:
            name, version, *_tags = wheel.name.split("-")
            releases[name] = ".".join(version.split(".")[:3])
            for text in self.metadata(wheel).get_all("Requires-Dist"):
                name, limits = re.fullmatch(r"([\w.-]+)(.*)", text).groups()
                required.setdefault(re.sub(r"\W", "_", name), set()).add(
                    tuple(sorted(filter(None, limits.split(","))))
                )
        ours = {name: required.pop(name) for name in required.keys() & releases.keys()}
        self.assertEqual(len(ours), 6)
        for name, limits in ours.items():
            # One of OCA's packages would do otherwise: they have the same names.
            self.assertEqual(limits, {("<19.1", ">=" + releases[name])})
        names = (REPO / "requirements.txt").read_text().splitlines()[1:]
        others = {"odoo": {("==19.0.*",)}, **{name: {()} for name in names}}
        self.assertEqual(required, others)

    def metadata(self, wheel):
        with zipfile.ZipFile(wheel) as archive:
            [path] = [p for p in archive.namelist() if p.endswith("/METADATA")]
            return message_from_string(archive.read(path).decode())

    def use(self, site):
        """Install the addons in a database and perform a job, all from a folder."""
        odoo = OdooCommand(self.suite.odoo.source, self.suite.server, self.cache, [])
        python_path = os.pathsep.join([str(odoo.source.python_path), str(site)])
        environment = odoo.environment(PYTHONPATH=python_path)
        with self.suite.database("wheels") as database:
            common = ("-d", database, SERVER_WIDE, "--no-http")
            install = odoo.command(
                *common, "-i", ",".join(self.addons), "--stop-after-init"
            )
            self.call(*install, env=environment)
            self.assertEqual(
                self.suite.databases.installed(database, self.addons), set(self.addons)
            )
            shell = odoo.command(*common, subcommand=("shell",))
            log = self.folder / "shell.log"
            name, state, path = run_script(shell, DO_A_JOB, log, environment)
            self.run_alone(odoo.command("-d", database)[2:], environment)
        self.assertEqual((name, state), ("after", "done"))
        self.assertTrue(Path(path).is_relative_to(site), path)

    def run_alone(self, options, environment):
        """Start the runner on its own, as the readme says, until it is ready."""
        log = self.folder / "runner.log"
        command = [sys.executable, "-m", "odoo.addons.queue_job.jobrunner", *options]
        with (
            open(log, "w") as output,
            Guarded(command, stdout=output, stderr=output, env=environment) as runner,
        ):
            wait_until(
                lambda: READY in log.read_text(),
                PATIENCE,
                lambda: AssertionError(tail(log)),
                process=runner,
            )
        self.assertIn("graceful stop requested", log.read_text())
