# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.tools import SQL

# Fields of queue.job that show edges of the whole graph.
GRAPH_FIELDS = ("dependency_graph", "dependency_graph_facts")


class QueueJobDependency(models.Model):
    """Who waits for whom, one row an edge.

    A row joins a parent and a child; or a parent and a joint; or a joint and
    a child. All parents of a joint come before any of its children, so that N
    before M costs N + M rows.
    """

    _name = "queue.job.dependency"
    _description = "Queue Job Dependency"
    _log_access = False
    _rec_name = "id"

    parent_id = fields.Many2one("queue.job", ondelete="cascade", readonly=True)
    child_id = fields.Many2one("queue.job", ondelete="cascade", readonly=True)
    joint = fields.Integer(readonly=True)

    # The child first: the planner may take this index for one of the children.
    _edge_uniq = models.UniqueIndex("(child_id, parent_id) WHERE joint IS NULL")
    # The last parent of a job or a joint ends last: whether one is left is seen there.
    # The joints that a job waits for are where there is no parent.
    _child_index = models.Index("(child_id, parent_id) WHERE child_id IS NOT NULL")
    _parent_index = models.Index("(parent_id) WHERE parent_id IS NOT NULL")
    _joint_parent_index = models.Index(
        "(joint, parent_id) WHERE joint IS NOT NULL AND parent_id IS NOT NULL"
    )
    _joint_child_index = models.Index(
        "(joint, child_id) WHERE joint IS NOT NULL AND child_id IS NOT NULL"
    )

    def init(self):
        self.env.cr.execute(
            "CREATE SEQUENCE IF NOT EXISTS queue_job_joint_seq "
            "OWNED BY queue_job_dependency.joint"
        )

    @api.model
    def _add_edges(self, pairs, joints):
        """Store edges that are not there yet, in one statement.

        :param pairs: ``(parent id, child id)``
        :param joints: ``(parent ids, child ids)`` of each joint
        """
        rows = [(parent, child, None) for parent, child in pairs]
        numbers = self._next_joints(len(joints))
        for joint, (parents, children) in zip(numbers, joints, strict=True):
            rows += [(parent, None, joint) for parent in parents]
            rows += [(None, child, joint) for child in children]
        if not rows:
            return
        parents, children, joints = map(list, zip(*rows, strict=True))
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO queue_job_dependency (parent_id, child_id, joint)
                SELECT * FROM unnest(%s::int[], %s::int[], %s::int[])
                ON CONFLICT DO NOTHING
                """,
                parents,
                children,
                joints,
            )
        )
        self._forget_links()

    @api.model
    def _drop_edges(self, parents_of, children_of):
        """Delete the edges to parents or to children of some jobs, joints excepted."""
        self.env.cr.execute(
            SQL(
                "DELETE FROM queue_job_dependency WHERE joint IS NULL "
                "AND (child_id = ANY(%s) OR parent_id = ANY(%s))",
                parents_of,
                children_of,
            )
        )
        self._forget_links()

    def _forget_links(self):
        """Let the fields of jobs that show edges be read anew."""
        names = ["dependency_ids", "dependent_ids", *GRAPH_FIELDS]
        self.env["queue.job"].invalidate_model(names, flush=False)

    def _next_joints(self, count):
        if not count:
            return []
        self.env.cr.execute(
            SQL(
                "SELECT nextval('queue_job_joint_seq') FROM generate_series(1, %s)",
                count,
            )
        )
        return [number for (number,) in self.env.cr.fetchall()]

    @api.model
    def _add_edges_of_uuids(self, pairs):
        """Store edges of jobs that exist, given as ``(parent uuid, child uuid)``."""
        if not pairs:
            return
        self.env["queue.job"].flush_model(["uuid"])
        parents, children = map(list, zip(*pairs, strict=True))
        self.env.cr.execute(
            SQL(
                """
                INSERT INTO queue_job_dependency (parent_id, child_id)
                SELECT parent.id, child.id
                FROM unnest(%s::varchar[], %s::varchar[]) AS pair(parent, child)
                JOIN queue_job parent ON parent.uuid = pair.parent
                JOIN queue_job child ON child.uuid = pair.child
                ON CONFLICT DO NOTHING
                """,
                parents,
                children,
            )
        )
        self._forget_links()
