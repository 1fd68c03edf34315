# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import fields, models
from odoo.fields import Domain

from ..states import FAILED


class QueueJob(models.Model):
    """The columns of the kanban: failed first, then the order of a job's life.

    A phone shows one column at a time.
    """

    _inherit = "queue.job"

    state = fields.Selection(group_expand="_group_expand_state")

    def _group_expand_state(self, states, domain):
        """Return the states that have jobs, and those that the filters let have some."""
        names = [state for state, _label in self._fields["state"].selection]
        names.sort(key=lambda state: state != FAILED)
        return [
            state
            for state in names
            if state in states or self._may_be_in(state, domain)
        ]

    def _may_be_in(self, state, domain):
        both = Domain(domain) & Domain("state", "=", state)
        return not both.optimize(self.env["queue.job"]).is_false()
