# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Functions in the database keep their signature: code of two releases shares them.

While an update is rolled out, workers and runners of the release before call the
functions that the update has made. A parameter that is renamed stops the update as well.
"""

from odoo.tests import TransactionCase, tagged

FUNCTIONS = r"""
SELECT proname, pg_get_function_arguments(oid), pg_get_function_result(oid) FROM pg_proc
WHERE pronamespace = current_schema()::regnamespace AND proname = ANY(%s)
"""


class KeptFunctions:
    """Before a case that has ``released``: ``{name: (arguments, result)}``.

    Another meaning gets another name. A function that this code does not make any more
    is not dropped: it is left to the release before.
    """

    # Odoo runs no inherited test methods otherwise.
    allow_inherited_tests_method = True
    released = {}

    def test_functions_in_the_database_keep_their_signature(self):
        """A worker of the release before could claim nothing when one was changed."""
        self.env.cr.execute(FUNCTIONS, (list(self.released),))
        found = {}
        for name, arguments, result in self.env.cr.fetchall():
            found.setdefault(name, set()).add((arguments, result))
        self.assertTrue(found)
        for name, signatures in found.items():
            with self.subTest(name):
                self.assertIn(self.released[name], signatures)


@tagged("post_install", "-at_install")
class TestUpdateFunctions(KeptFunctions, TransactionCase):
    released = {
        "queue_job_channel_notify": ("", "trigger"),
        "queue_job_claim": (
            "job_uuid character varying, started timestamp without time zone, pid integer",
            "text[]",
        ),
        "queue_job_claim_first": (
            "uuids character varying[], from_state character varying, "
            "started timestamp without time zone, pid integer, sent timestamp without time zone",
            "text[]",
        ),
        "queue_job_forget_keys": ("", "trigger"),
        "queue_job_free_among": ("jobs integer[]", "SETOF integer"),
        "queue_job_free_behind": ("jobs integer[]", "SETOF integer"),
        "queue_job_frees_nobody": ("job_id integer", "boolean"),
        "queue_job_joint_is_open": ("which integer", "boolean"),
        "queue_job_keep_keys": ("", "trigger"),
        "queue_job_key_digest": ("full_key text", "text"),
        "queue_job_key_insert": (
            "key_kind text, full_key text, holder text",
            "text",
        ),
        "queue_job_key_is_free": ("lock_key text", "boolean"),
        "queue_job_key_keep": (
            "key_kind text, full_key text, holder text, is_blocking boolean",
            "void",
        ),
        "queue_job_key_lock": ("lock_key text", "integer"),
        "queue_job_key_reserve": (
            "key_kind text, lock_keys text[], full_keys text[], uuids text[], blocking text[]",
            "TABLE(job_uuid text, twin text)",
        ),
        "queue_job_key_take": ("key_kind text, full_key text, holder text", "void"),
        "queue_job_key_unreserved": (
            "key_kind text, lock_key text, full_key text, blocking text[], asker text",
            "text",
        ),
        "queue_job_lock_own_run": ("job_id integer, own_run integer", "void"),
        "queue_job_lock_run": ("job_id integer, own_run integer", "boolean"),
        "queue_job_notify": ("", "trigger"),
        "queue_job_write_done": (
            "job_id integer, done timestamp without time zone, seconds double precision, "
            "tries integer, told text",
            "void",
        ),
    }
