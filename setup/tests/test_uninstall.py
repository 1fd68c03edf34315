"""The addons go without a trace, and can come again."""

import unittest

from _lib.suite import Suite
from _lib.terms import ADDONS as TRANSLATED

ADDONS = (*TRANSLATED, "test_queue_job")
USE = """
env["ir.cron"]._set_runner_count(3)
env["queue.job"]._offer_on_records("res.partner")
env["res.partner"].search([], limit=1).with_delay(identity_key="x").write({"ref": "x"})
env.cr.commit()
result(1)
"""
UNINSTALL = """
env["ir.module.module"].search([("name", "=", "queue_job")]).button_immediate_uninstall()
result(1)
"""
# What is named after the addons, or speaks of their models, wherever PostgreSQL keeps it.
LEFT = """
SELECT 'relation', relname::text FROM pg_class WHERE relname LIKE 'queue\\_%'
UNION ALL SELECT 'function', proname FROM pg_proc WHERE proname LIKE 'queue\\_job%'
UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE tgname LIKE 'queue\\_job%'
UNION ALL SELECT 'statistics', stxname FROM pg_statistic_ext WHERE stxname LIKE 'queue\\_job%'
UNION ALL SELECT 'action', name->>'en_US' FROM ir_act_server
    WHERE code LIKE '%queue.job%' OR code LIKE '%\\_job\\_runner%'
UNION ALL SELECT 'cron', cron_name FROM ir_cron WHERE cron_name ILIKE '%job%queue%'
    OR cron_name ILIKE '%queue%job%'
UNION ALL SELECT 'model', model FROM ir_model WHERE model LIKE 'queue.%'
UNION ALL SELECT 'field', model || '.' || name FROM ir_model_fields
    WHERE name LIKE 'queue\\_job%' OR ttype = 'job_serialized'
UNION ALL SELECT 'xmlid', module || '.' || name FROM ir_model_data
    WHERE module LIKE '%queue\\_job%' AND module <> 'base'
"""


class TestUninstall(unittest.TestCase):
    def test_nothing_is_left_and_all_can_come_again(self):
        suite = Suite.without_options()
        with suite.database("uninstall", ADDONS) as database:
            suite.shell(database, USE)
            suite.shell(database, UNINSTALL)
            self.assertFalse(suite.databases.installed(database, ADDONS))
            self.assertEqual(suite.server.query(LEFT, None, database=database), [])
            suite.load(database, ADDONS)
            self.assertEqual(suite.databases.installed(database, ADDONS), set(ADDONS))
            suite.shell(database, USE)
