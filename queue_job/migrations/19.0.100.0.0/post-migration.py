# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Fill the tables that older versions do not have."""


def store_dependencies(cr):
    """Store the edges that jobs hold as lists of uuids, each of them once.

    Both ends list an edge, but a row rewritten by hand or by a race may have
    lost its half: what either end says counts.
    """
    cr.execute(
        """
        WITH lists AS MATERIALIZED (
            SELECT id, dependencies::jsonb AS lists FROM queue_job
            WHERE dependencies LIKE '{%depends_on"%'
        ), edges AS (
            SELECT parent.id AS parent_id, lists.id AS child_id
            FROM lists, jsonb_array_elements_text(lists.lists -> 'depends_on') AS edge (uuid)
            JOIN queue_job parent ON parent.uuid = edge.uuid
            UNION
            SELECT lists.id, child.id
            FROM lists,
                 jsonb_array_elements_text(lists.lists -> 'reverse_depends_on') AS edge (uuid)
            JOIN queue_job child ON child.uuid = edge.uuid
        )
        INSERT INTO queue_job_dependency (parent_id, child_id)
        SELECT parent_id, child_id FROM edges
        WHERE NOT EXISTS (
            SELECT FROM queue_job_dependency stored
            WHERE stored.parent_id = edges.parent_id AND stored.child_id = edges.child_id
        )
        """
    )


def give_up_keys(cr):
    """Give up the keys of jobs that ended while the triggers were not there.

    So it is in a database that was here, went back to OCA's addon, and comes again.
    """
    cr.execute(
        """
        DELETE FROM queue_job_key key WHERE NOT EXISTS (
            SELECT FROM queue_job job WHERE job.uuid = key.job_uuid
              AND job.state IN ('wait_dependencies', 'pending', 'enqueued')
        )
        """
    )


def note_authors(cr):
    """Take job functions that no module declares for those of persons.

    Their methods are checked; earlier versions did not keep the author.
    """
    cr.execute(
        """
        UPDATE queue_job_function AS function
        SET related_action_by_user = COALESCE(related_action_by_user, true),
            on_fail_method_by_user = COALESCE(on_fail_method_by_user, true)
        WHERE (related_action_by_user IS NULL OR on_fail_method_by_user IS NULL)
          AND NOT EXISTS (
            SELECT FROM ir_model_data AS data
            JOIN ir_module_module AS module ON module.name = data.module
            WHERE data.model = 'queue.job.function' AND data.res_id = function.id
        )
        """
    )


def migrate(cr, version):
    if version:
        store_dependencies(cr)
        give_up_keys(cr)
        note_authors(cr)
