"""The PostgreSQL of one call's own."""

import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from _lib.bench_postgres import UNSAFE, Binaries, Lab
from _lib.cache import Cache
from _lib.databases import Databases
from _lib.suite import Suite


class TestLab(unittest.TestCase):
    @mock.patch.object(Databases, "template")
    def test_lost_password_is_no_obstacle(self, _template):
        """Whoever clears a cache as root leaves the data: it is elsewhere."""
        suite = Suite.without_options()
        pg_bin = Binaries(suite.cache).folder
        with tempfile.TemporaryDirectory() as folder:
            cache = Cache(Path(folder)).make()
            for _call in range(2):
                lab = Lab(cache, suite.odoo.source, [], pg_bin, **UNSAFE)
                self.addCleanup(shutil.rmtree, lab.binaries.home.parent, True)
                with lab:
                    self.assertEqual(lab.cluster.server.query("SELECT 1"), [(1,)])
                (lab.cache.root / "postgresql.password").unlink()
