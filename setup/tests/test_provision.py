import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from _lib import bootstrap, cli, debian, odoo_source, postgres, suite
from _lib.cache import CACHE_VARIABLE, Cache
from _lib.errors import SetupError

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


class TestCommandLines(unittest.TestCase):
    def test_every_command_is_complete(self):
        for name, (parser, module) in cli.COMMANDS.items():
            with self.subTest(name):
                self.assertIsInstance(parser(), argparse.ArgumentParser)
                self.assertTrue(
                    (Path(cli.__file__).parent / (module[1:] + ".py")).exists()
                )
                self.assertTrue(os.access(bootstrap.REPO / "setup" / name, os.X_OK))
