# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Make the tables of older series fit, before the models are loaded.

Each step looks at what is there, so that it may run twice and on any series
from 16.0 on. Tables are those of the current schema.
"""

from odoo.tools import SQL

# Text up to 17.0, jsonb from 18.0.
SERIALIZED_COLUMNS = {
    "queue_job": ("records", "args", "kwargs"),
    "queue_job_function": ("retry_pattern", "related_action"),
}
# Crons whose code calls methods that are gone. They are noupdate: nothing
# else would remove them, and they would fail at each run.
REMNANT_CRONS = (
    "ir_cron_queue_job_garbage_collector",
    "ir_cron_autovacuum_queue_jobs",
)

COLUMN_TYPES = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = %s
"""


# Indexes of other series, and what is part of their definition where this addon has one
# of the same name. Odoo keeps an index that it finds.
REPLACED_INDEXES = {
    "queue_job_identity_key_state_partial_index": "USING hash",
    "queue_job__graph_uuid_index": "IS NOT NULL",
    "queue_job__state_index": None,
    "queue_job__channel_index": None,
}


def column_types(cr, table):
    """Return the type of each column, by name; empty for a missing table."""
    cr.execute(COLUMN_TYPES, [table])
    return dict(cr.fetchall())


def convert_serialized_columns(cr):
    """Turn text into jsonb strings, in one rewrite of each table."""
    for table, names in SERIALIZED_COLUMNS.items():
        types = column_types(cr, table)
        old = [
            name for name in names if types.get(name) in ("text", "character varying")
        ]
        if old:
            changes = SQL(", ").join(map(_change_to_jsonb, old))
            cr.execute(SQL("ALTER TABLE %s %s", SQL.identifier(table), changes))


def _change_to_jsonb(name):
    return SQL(
        "ALTER COLUMN %(name)s TYPE jsonb USING to_jsonb(NULLIF(%(name)s::text, ''))",
        name=SQL.identifier(name),
    )


def remove_remnant_crons(cr):
    """Delete the crons of older series with their server actions and XML ids."""
    cr.execute(
        """
        SELECT cron.id, cron.ir_actions_server_id
        FROM ir_model_data data JOIN ir_cron cron ON cron.id = data.res_id
        WHERE data.module = 'queue_job' AND data.model = 'ir.cron' AND data.name IN %s
        """,
        [REMNANT_CRONS],
    )
    rows = cr.fetchall()
    if rows:
        crons, actions = map(tuple, zip(*rows, strict=True))
        cr.execute("DELETE FROM ir_cron WHERE id IN %s", [crons])
        cr.execute("DELETE FROM ir_act_server WHERE id IN %s", [actions])
    names = REMNANT_CRONS + tuple(f"{name}_ir_actions_server" for name in REMNANT_CRONS)
    cr.execute(
        "DELETE FROM ir_model_data WHERE module = 'queue_job' AND name IN %s", [names]
    )


def adapt_channel_settings(cr):
    """Make the columns of late 18.0 mean what they mean here.

    There 0 on the root channel stands for a capacity that is not set, and
    sequential wins over a capacity.
    """
    types = column_types(cr, "queue_job_channel")
    if "capacity" in types:
        cr.execute(
            "UPDATE queue_job_channel SET capacity = NULL "
            "WHERE name = 'root' AND parent_id IS NULL AND capacity <= 0"
        )
    if {"capacity", "sequential"} <= types.keys():
        cr.execute(
            "UPDATE queue_job_channel SET capacity = 1 "
            "WHERE sequential AND capacity IS DISTINCT FROM 1"
        )


def drop_replaced_indexes(cr):
    """Drop the indexes that this addon makes in another way, or not at all.

    An index that no query uses costs time at each change of a job.
    """
    cr.execute(
        """
        SELECT indexname, indexdef FROM pg_indexes
        WHERE schemaname = current_schema() AND indexname = ANY(%s)
        """,
        [list(REPLACED_INDEXES)],
    )
    for name, definition in cr.fetchall():
        part = REPLACED_INDEXES[name]
        if part is None or part not in definition:
            cr.execute(SQL("DROP INDEX %s", SQL.identifier(name)))


def migrate(cr, version):
    if not version:
        return
    drop_replaced_indexes(cr)
    convert_serialized_columns(cr)
    remove_remnant_crons(cr)
    adapt_channel_settings(cr)
