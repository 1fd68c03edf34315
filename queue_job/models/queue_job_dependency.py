# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models

from ..sql import statements as sql


class QueueJobDependency(models.Model):
    """The edges of graphs, one row each.

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
        self.env.cr.execute(sql.joint_sequence)
