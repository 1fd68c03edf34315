# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import itertools

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import html_escape

from odoo.addons.base_sparse_field.models.fields import Serialized

from ..graph import Joint
from ..states import DONE, FAILED, STARTED
from ..store import links

# Characters of a call that the picture of a graph shows.
_CALL_LENGTH = 300


class QueueJob(models.Model):
    """What ties jobs together, as fields."""

    _inherit = "queue.job"

    dependency_ids = fields.Many2many(
        "queue.job",
        string="Dependency Jobs",
        compute="_compute_dependency_ids",
        search="_search_dependency_ids",
    )
    dependent_ids = fields.Many2many(
        "queue.job",
        string="Dependent Jobs",
        compute="_compute_dependent_ids",
        search="_search_dependent_ids",
    )
    dependency_graph = Serialized(compute="_compute_dependency_graph")
    dependency_graph_facts = Serialized(compute="_compute_dependency_graph_facts")
    graph_jobs_count = fields.Integer(compute="_compute_graph_jobs_count")

    @api.model_create_multi
    def create(self, vals_list):
        jobs = super().create(vals_list)
        if not self.env.context.get("_edges_follow"):
            links.follow_uuid_lists(
                self,
                [(vals.get("uuid"), vals.get("dependencies")) for vals in vals_list],
            )
        return jobs

    def write(self, vals):
        result = super().write(vals)
        if "dependencies" in vals and not self.env.context.get("_edges_follow"):
            lists = vals["dependencies"] or {"depends_on": [], "reverse_depends_on": []}
            links.drop(
                self,
                parents_of=self.ids if "depends_on" in lists else [],
                children_of=self.ids if "reverse_depends_on" in lists else [],
            )
            links.follow_uuid_lists(self, [(job.uuid, lists) for job in self])
        return result

    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependency_ids(self):
        self._compute_linked("dependency_ids", "child_id", "parent_id")

    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependent_ids(self):
        self._compute_linked("dependent_ids", "parent_id", "child_id")

    def _compute_linked(self, field, here, there):
        linked = {}
        for job_id, other_id in links.pairs_of(self, here, self.ids):
            linked.setdefault(job_id, []).append(other_id)
        everyone = self.browse(
            {other for others in linked.values() for other in others}
        )
        visible = set(everyone._filtered_access("read").ids)
        for job in self:
            others = [other for other in linked.get(job.id, ()) if other in visible]
            job[field] = self.browse(sorted(others))

    def _search_dependency_ids(self, operator, value):
        return self._search_linked(operator, value, "parent_id", "child_id")

    def _search_dependent_ids(self, operator, value):
        return self._search_linked(operator, value, "child_id", "parent_id")

    def _search_linked(self, operator, value, there, here):
        """Return the domain of the jobs with an edge to what ``value`` says."""
        if operator == "any":
            ids = self._search(value) if not hasattr(value, "select") else value
        elif operator == "in":
            if not all(isinstance(item, int) for item in value):
                return NotImplemented
            ids = self.browse(item for item in value if item)._as_query()
        else:
            return NotImplemented
        linked = Domain("id", "in", links.linked_to(ids, there, here))
        if operator == "in" and False in value:
            anybody = links.linked_to(self._search([]), there, here)
            return linked | Domain("id", "not in", anybody)
        return linked

    @api.depends("graph_uuid")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_graph_jobs_count(self):
        graphs = [job.graph_uuid for job in self if job.graph_uuid]
        counts = dict(
            self._read_group(
                [("graph_uuid", "in", graphs)], ["graph_uuid"], ["__count"]
            )
            if graphs
            else ()
        )
        for job in self:
            job.graph_jobs_count = counts.get(job.graph_uuid, 0)

    @api.depends("graph_uuid")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependency_graph(self):
        graphs = {}
        for job in self:
            if not job.graph_uuid:
                job.dependency_graph = {}
                continue
            if job.graph_uuid not in graphs:
                graphs[job.graph_uuid] = self._graph_of(job.graph_uuid)
            job.dependency_graph = graphs[job.graph_uuid]

    @api.depends("graph_uuid")
    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependency_graph_facts(self):
        """Compute what the picture of the graph says of each job, by id.

        Name, state, call and seconds, beside the nodes whose form is fixed.
        """
        facts = {}
        for job in self:
            graph_uuid = job.graph_uuid
            if graph_uuid and graph_uuid not in facts:
                facts[graph_uuid] = {
                    str(other.id): other._dependency_graph_fact()
                    for other in self._jobs_of_graph(graph_uuid)
                }
            job.dependency_graph_facts = facts.get(graph_uuid, {})

    def _dependency_graph_fact(self):
        call = self.func_string or ""
        return [
            self.display_name or "",
            self.state,
            call if len(call) <= _CALL_LENGTH else call[: _CALL_LENGTH - 1] + "…",
            self.exec_time,
        ]

    @api.model
    def _jobs_of_graph(self, graph_uuid):
        """Return the jobs of a graph that the reader may see, with what is drawn of them."""
        return self.search_fetch(
            [("graph_uuid", "=", graph_uuid)],
            ["name", "state", "func_string", "exec_time", "graph_uuid"],
            order="id",
        )

    def _graph_of(self, graph_uuid):
        jobs = self._jobs_of_graph(graph_uuid)
        edges, joints = jobs._drawn_edges()
        nodes = [job._dependency_graph_vis_node() for job in jobs]
        nodes += [
            self._dependency_graph_joint_node(joint, *ends)
            for joint, ends in joints.items()
        ]
        return {"nodes": nodes, "edges": sorted(map(list, edges))}

    def _drawn_edges(self):
        """Return the edges between these jobs, and the joints that are drawn as nodes.

        :return: set of ``(from id, to id)``, a joint being the negative of its number;
            and ``{joint: (ids of its parents, ids of its children)}``
        """
        edges, joints, ids = set(), {}, set(self.ids)
        for parent, child, joint in links.stored_links(self):
            if joint:
                joints.setdefault(joint, ([], []))[parent is None].append(
                    parent or child
                )
            elif parent in ids and child in ids:
                edges.add((parent, child))
        for joint, (parents, children) in list(joints.items()):
            if Joint.pays(parents, children):
                edges.update((parent, -joint) for parent in parents)
                edges.update((-joint, child) for child in children)
            else:
                edges.update(itertools.product(parents, children))
                del joints[joint]
        return edges, joints

    @api.model
    def _dependency_graph_joint_node(self, joint, parents, children):
        """Return the node of a joint in ``dependency_graph``; its id is negative."""
        title = self.env._(
            "%(parents)s jobs before %(children)s jobs",
            parents=len(parents),
            children=len(children),
        )
        return {
            "id": -joint,
            "title": html_escape(title),
            "color": "#D2E5FF",
            "border": "#2B7CE9",
            "shadow": False,
        }

    def _dependency_graph_vis_node(self):
        """Return the node of this job in ``dependency_graph``."""
        background, border = {
            DONE: ("#C2FABC", "#4AD63A"),
            FAILED: ("#FB7E81", "#FA0A10"),
            STARTED: ("#FFFF00", "#FFA500"),
        }.get(self.state, ("#D2E5FF", "#2B7CE9"))
        name, call = html_escape(self.display_name), html_escape(self.func_string)
        return {
            "id": self.id,
            "title": f"<strong>{name}</strong><br/>{call}",
            "color": background,
            "border": border,
            "shadow": True,
        }
