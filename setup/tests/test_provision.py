import argparse
import contextlib
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock
from urllib.error import HTTPError, URLError
from xml.etree import ElementTree

from _lib import (
    bootstrap,
    cli,
    debian,
    odoo_source,
    postgres,
    progress,
    serving,
    suite,
)
from _lib.cache import CACHE_VARIABLE, Cache
from _lib.errors import SetupError, sentence

RELEASE = "version_info = (%d, 0, 0, FINAL, 0, '')\n"


class FolderCase(unittest.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.cache = Cache(self.folder / "cache").make()

    def make_odoo(self, folder, version=19):
        """Write what tells an Odoo of a version into a folder."""
        (folder / "odoo").mkdir(parents=True)
        (folder / "odoo" / "release.py").write_text(RELEASE % version)
        return folder


class TestCache(FolderCase):
    def test_option_then_variable_then_xdg(self):
        with mock.patch.dict(
            os.environ, {CACHE_VARIABLE: "/b", "XDG_CACHE_HOME": "/c"}
        ):
            self.assertEqual(Cache.locate("/a").root, Path("/a"))
            self.assertEqual(Cache.locate().root, Path("/b"))
            del os.environ[CACHE_VARIABLE]
            self.assertEqual(Cache.locate().root, Path("/c/queue-job-suite"))

    def test_closed_to_others(self):
        self.assertEqual(self.cache.root.stat().st_mode & 0o777, 0o700)


class TestVenv(FolderCase):
    def setUp(self):
        super().setUp()
        self.requirements = self.folder / "requirements.txt"
        self.requirements.write_text("")

    def make(self):
        return bootstrap.make_venv(self.cache, sys.executable, [self.requirements])

    def test_interrupted_venv_is_made_anew(self):
        """A folder without the marker is what a killed call leaves behind."""
        broken = bootstrap.venv_folder(self.cache, sys.executable, [self.requirements])
        (broken / "bin").mkdir(parents=True)
        (broken / "bin" / "python").touch()
        with mock.patch.object(bootstrap, "run_logged") as run:
            run.side_effect = lambda *_args, **_kw: broken.mkdir(
                parents=True, exist_ok=True
            )
            self.make()
        self.assertFalse((broken / "bin" / "python").exists())
        self.assertTrue((broken / ".complete").exists())

    def test_complete_venv_is_kept(self):
        folder = bootstrap.venv_folder(self.cache, sys.executable, [self.requirements])
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
        (folder / ".complete").touch()
        with mock.patch.object(bootstrap, "run_logged") as run:
            self.make()
        run.assert_not_called()

    def test_other_requirements_other_venv(self):
        before = bootstrap.venv_folder(self.cache, sys.executable, [self.requirements])
        self.requirements.write_text("requests")
        after = bootstrap.venv_folder(self.cache, sys.executable, [self.requirements])
        self.assertNotEqual(before, after)


class TestOdooSource(FolderCase):
    def setUp(self):
        super().setUp()
        patch = mock.patch.dict(os.environ)
        patch.start()
        self.addCleanup(patch.stop)
        os.environ.pop(odoo_source.SOURCE_VARIABLE, None)
        os.environ.pop(bootstrap.CALLER_VARIABLE, None)

    def test_named_folder_wins(self):
        self.make_odoo(self.cache.odoo)
        named = self.make_odoo(self.folder / "named")
        self.assertEqual(odoo_source.locate(self.cache, named).python_path, named)

    def test_named_folder_of_another_version_is_refused(self):
        with self.assertRaisesRegex(SetupError, "no Odoo 19.0"):
            odoo_source.locate(self.cache, self.make_odoo(self.folder / "old", 18))

    def test_importable_before_cached(self):
        self.make_odoo(self.cache.odoo)
        found = self.make_odoo(self.folder / "site")
        (found / "odoo" / "__init__.py").touch()
        os.environ[bootstrap.CALLER_VARIABLE] = sys.executable
        os.environ["PYTHONPATH"] = str(found)
        self.assertEqual(odoo_source.locate(self.cache).python_path, found)

    def test_interrupted_download_starts_anew(self):
        """Half an Odoo beside the cache is removed, and the archive comes before Debian."""
        self.make_odoo(self.cache.root / "odoo.partial", 18)
        with (
            mock.patch.object(odoo_source, "_fetch_archive", side_effect=OSError("no")),
            mock.patch.object(odoo_source, "_fetch_debian") as fetch,
            mock.patch("_lib.progress.say"),
        ):
            fetch.side_effect = lambda _cache, target: self.make_odoo(target)
            source = odoo_source.locate(self.cache)
        self.assertEqual(source.python_path, self.cache.odoo)
        self.assertFalse((self.cache.root / "odoo.partial").exists())

    def test_failure_says_what_was_tried(self):
        refuse = mock.Mock(side_effect=SetupError("not here"))
        with (
            mock.patch.object(odoo_source, "_fetch_archive", refuse),
            mock.patch.object(odoo_source, "_fetch_debian", refuse),
            mock.patch("_lib.progress.say"),
            self.assertRaisesRegex(SetupError, "(?s)archive: not here.*Debian.*here"),
        ):
            odoo_source.locate(self.cache)
        self.assertFalse(self.cache.odoo.exists())

    def test_archive_loses_its_top_folder(self):
        self.make_odoo(self.folder / "odoo-19.0")
        archive = self.folder / "odoo.tar.gz"
        subprocess.run(
            ["tar", "-czf", archive, "-C", self.folder, "odoo-19.0"], check=True
        )
        target = self.folder / "target"
        odoo_source.from_archive(target, str(archive))
        self.assertEqual(odoo_source.release_of(target), (19, 0))


class TestServer(unittest.TestCase):
    def test_is_used_by_the_call_that_runs_the_tests(self):
        """One that a test started would end with the tests, under whoever else uses it."""
        if postgres.named():
            self.skipTest("the environment names a server")
        # Whoever uses the server holds this file open, and locked.
        users = str((Cache.locate().root / "postgresql.users").resolve())
        opened = {path for pid in self.ancestors() for path in self.open_files(pid)}
        self.assertIn(users, opened)

    def open_files(self, pid):
        # Of a process of another user nothing can be seen.
        with contextlib.suppress(PermissionError):
            for descriptor in os.listdir("/proc/%d/fd" % pid):
                with contextlib.suppress(FileNotFoundError):
                    yield os.readlink("/proc/%d/fd/%s" % (pid, descriptor))

    def ancestors(self):
        pid = os.getppid()
        while pid:
            yield pid
            stat = Path("/proc/%d/stat" % pid).read_text()
            pid = int(stat.rpartition(")")[2].split()[1])


class TestNamedServer(unittest.TestCase):
    """The hint fits the reason for which a named server cannot be used (D7)."""

    def refusal(self, **options):
        with self.assertRaises(SetupError) as caught:
            postgres.named(**options)
        return caught.exception.hint

    def test_role_that_does_not_exist(self):
        """ "Start it" was the hint, although the server ran."""
        provisioned = suite.Suite.without_options().server
        for role in ("nobody_of_that_name", provisioned.user):
            with (
                self.subTest(role),
                mock.patch.dict(os.environ, {"PGPASSWORD": "wrong"}),
            ):
                hint = self.refusal(
                    host=provisioned.host, port=provisioned.port, user=role
                )
                self.assertIn("createuser", hint)
                self.assertIn("'%s'" % role, hint)

    def test_role_without_createdb(self):
        provisioned = suite.Suite.without_options().server
        role = "qjs_test_%d" % os.getpid()
        options = {"host": provisioned.host, "port": provisioned.port, "user": role}
        provisioned.query("CREATE ROLE %s LOGIN PASSWORD 'x'" % role)
        self.addCleanup(provisioned.query, "DROP ROLE %s" % role)
        with mock.patch.dict(os.environ, {"PGPASSWORD": "x"}):
            self.assertIn("CREATEDB", self.refusal(**options))
            provisioned.query("ALTER ROLE %s CREATEDB" % role)
            server = postgres.named(**options)
        # Names of templates are made from it.
        self.assertTrue(
            server.query("SELECT system_identifier FROM pg_control_system()")
        )

    def test_server_that_does_not_run(self):
        for options in (
            {"host": postgres.HOST, "port": postgres.free_port()},
            {"host": "/nowhere"},
            {"host": postgres.HOST, "port": "no number"},
        ):
            with self.subTest(options):
                self.assertIn("Start it", self.refusal(user="x", **options))


class TestCall(FolderCase):
    """An entry point explains what went wrong without a traceback."""

    def call(self, *argv, command="readme", environment=()):
        return subprocess.run(
            [sys.executable, bootstrap.REPO / "setup" / (command + ".py"), *argv],
            env={**os.environ, **dict(environment)},
            capture_output=True,
            text=True,
        )

    def test_cache_that_cannot_be_made(self):
        """A cache that is a file, or lies where nothing can be written, was a traceback."""
        (self.folder / "file").touch()
        for path in (self.folder / "file", self.folder / "file" / "x", "/proc/cache"):
            with self.subTest(path):
                done = self.call("--cache", str(path))
                self.assertEqual(done.returncode, 2)
                self.assertIn("--cache", done.stderr)
                self.assertNotIn("Traceback", done.stderr)

    def test_program_that_is_missing(self):
        done = self.call(command="lint", environment={"PATH": str(self.folder)})
        self.assertEqual(done.returncode, 2)
        self.assertIn("npm", done.stderr)
        self.assertIn("Install Node.js", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_home_that_cannot_be_written(self):
        environment = {"HOME": "/proc", "XDG_CACHE_HOME": "", CACHE_VARIABLE: ""}
        done = self.call(environment=environment)
        self.assertEqual(done.returncode, 2)
        self.assertNotIn("Traceback", done.stderr)


class TestSentence(unittest.TestCase):
    def test_errors_of_the_network(self):
        for error, expected in (
            (HTTPError("http://x", 404, "Not Found", {}, None), "404 (Not Found)"),
            (URLError(socket.gaierror(-2, "Name or service")), "no network"),
            (URLError(ConnectionRefusedError(111, "Connection refused")), "refused."),
            (URLError("unknown url type: gopher"), "unknown url type: gopher."),
            (TimeoutError("timed out"), "No answer in time."),
            (ssl.SSLCertVerificationError(1, "self-signed"), "No trusted connection"),
            (ConnectionResetError(104, "Connection reset by peer"), "reset by peer."),
            (OSError(28, "No space left on device", "/x"), "/x: No space left"),
        ):
            with self.subTest(error):
                text = sentence(error)
                self.assertIn(expected, text)
                self.assertNotRegex(text, r"urlopen|Errno|<")

    def test_failed_download_is_explained_in_sentences(self):
        address = "http://127.0.0.1:%d/odoo.tar.gz" % postgres.free_port()
        with tempfile.TemporaryDirectory() as folder:
            with (
                mock.patch.dict(os.environ, {odoo_source.ARCHIVE_VARIABLE: address}),
                mock.patch.object(
                    odoo_source, "_fetch_debian", side_effect=SetupError("no Debian")
                ),
                mock.patch.object(progress, "say"),
                self.assertRaisesRegex(SetupError, "archive: Connection refused.") as e,
            ):
                odoo_source._download(Cache(folder))
        self.assertNotIn("urlopen", str(e.exception))


class TestDebian(unittest.TestCase):
    def test_mirror_is_the_machines_own(self):
        listed = "Other|Other|http://other/x\nDebian|Debian|http://mirror/debian/\n"
        with (
            mock.patch.object(debian.shutil, "which", return_value="/bin/x"),
            mock.patch.object(debian, "KEYRING", Path("/")),
            mock.patch.object(debian.subprocess, "run") as run,
        ):
            run.return_value.stdout = listed
            self.assertEqual(debian.mirror(), "http://mirror/debian")


class TestAddons(FolderCase):
    def test_installable_addons_are_found(self):
        for name, manifest in (("a", "{}"), ("b", "{'installable': False}")):
            (self.folder / name).mkdir()
            (self.folder / name / "__manifest__.py").write_text(manifest)
        self.assertEqual(list(suite.find_addons([self.folder])), ["a"])

    def test_unknown_addon_is_refused(self):
        with self.assertRaisesRegex(SetupError, "No such addon: x"):
            suite.choose_addons({"a": {}}, ["x"])


class TestAddress(unittest.TestCase):
    def test_printed_address_opens_the_overview(self):
        """It opened the list of jobs (D7)."""
        views = bootstrap.REPO / "queue_job" / "views" / "queue_job_overview_views.xml"
        action = ElementTree.parse(views).find(".//record[@model='ir.actions.client']")
        path = action.find("field[@name='path']").text
        self.assertEqual(serving.OVERVIEW, "/odoo/" + path)


class TestCommandLines(unittest.TestCase):
    def test_every_command_is_complete(self):
        for name, (parser, module) in cli.COMMANDS.items():
            with self.subTest(name):
                self.assertIsInstance(parser(), argparse.ArgumentParser)
                self.assertTrue(
                    (Path(cli.__file__).parent / (module[1:] + ".py")).exists()
                )
                self.assertTrue(os.access(bootstrap.REPO / "setup" / name, os.X_OK))
