# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import itertools

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import SQL, html_escape

from odoo.addons.base_sparse_field.models.fields import Serialized

from ..graph import Joint
from ..states import DONE, FAILED, STARTED

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
        self._follow_uuid_lists(
            (vals.get("uuid"), vals.get("dependencies")) for vals in vals_list
        )
        return jobs

    def write(self, vals):
        result = super().write(vals)
        if "dependencies" in vals and not self.env.context.get("_edges_follow"):
            lists = vals["dependencies"] or {"depends_on": [], "reverse_depends_on": []}
            self.env["queue.job.dependency"].sudo()._drop_edges(
                parents_of=self.ids if "depends_on" in lists else [],
                children_of=self.ids if "reverse_depends_on" in lists else [],
            )
            self._follow_uuid_lists((job.uuid, lists) for job in self)
        return result

    @api.model
    def _follow_uuid_lists(self, lists):
        """Add the edges of uuid lists that were written by hand.

        A stored :class:`Job` brings its edges itself.

        :param lists: ``(uuid of a job, value of its dependencies)``
        """
        if self.env.context.get("_edges_follow"):
            return
        pairs = []
        for job_uuid, links in lists:
            links = links or {}
            pairs += [(uuid, job_uuid) for uuid in links.get("depends_on", ())]
            pairs += [(job_uuid, uuid) for uuid in links.get("reverse_depends_on", ())]
        self.env["queue.job.dependency"].sudo()._add_edges_of_uuids(pairs)

    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependency_ids(self):
        self._compute_linked("dependency_ids", "child_id", "parent_id")

    @api.depends_context("uid", "allowed_company_ids")
    def _compute_dependent_ids(self):
        self._compute_linked("dependent_ids", "parent_id", "child_id")

    def _compute_linked(self, field, here, there):
        linked = {}
        for job_id, other_id in self._select_pairs(here, self.ids):
            linked.setdefault(job_id, []).append(other_id)
        everyone = self.browse(
            {other for others in linked.values() for other in others}
        )
        visible = set(everyone._filtered_access("read").ids)
        for job in self:
            others = [other for other in linked.get(job.id, ()) if other in visible]
            job[field] = self.browse(sorted(others))

    @api.model
    def _select_pairs(self, end, ids):
        """Return ``(id, id of the other end)`` for all edges that start at ``ids``.

        :param end: ``parent_id`` or ``child_id``: which end ``ids`` are
        """
        if not ids:
            return []
        other = "child_id" if end == "parent_id" else "parent_id"
        end, other = SQL.identifier(end), SQL.identifier(other)
        self.env.cr.execute(
            SQL(
                """
                SELECT %(end)s, %(other)s FROM queue_job_dependency
                WHERE %(end)s = ANY(%(ids)s) AND joint IS NULL
                UNION
                SELECT near.%(end)s, far.%(other)s
                FROM queue_job_dependency near
                JOIN queue_job_dependency far
                  ON far.joint = near.joint AND far.%(other)s IS NOT NULL
                WHERE near.%(end)s = ANY(%(ids)s) AND near.joint IS NOT NULL
                """,
                end=end,
                other=other,
                ids=list(ids),
            )
        )
        return self.env.cr.fetchall()

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
        linked = Domain("id", "in", self._linked_to(ids, there, here))
        if operator == "in" and False in value:
            anybody = self._linked_to(self._search([]), there, here)
            return linked | Domain("id", "not in", anybody)
        return linked

    def _linked_to(self, ids, there, here):
        """Return the subquery of the jobs with an edge to one of a query.

        Goes through each joint once, however many edges it stands for.
        """
        return SQL(
            """(
            SELECT %(here)s FROM queue_job_dependency
            WHERE %(there)s IN %(ids)s AND joint IS NULL AND %(here)s IS NOT NULL
            UNION
            SELECT %(here)s FROM queue_job_dependency
            WHERE %(here)s IS NOT NULL AND joint IN (
                SELECT joint FROM queue_job_dependency
                WHERE %(there)s IN %(ids)s AND joint IS NOT NULL
            ))""",
            here=SQL.identifier(here),
            there=SQL.identifier(there),
            ids=ids.subselect(),
        )

    def _dependents(self):
        """Return the jobs that wait, or waited, for one of these."""
        children = self._linked_to(self._as_query(), "parent_id", "child_id")
        return self.browse(child for (child,) in self.env.execute_query(children))

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
        self.env.cr.execute(
            SQL(
                "SELECT parent_id, child_id, joint FROM queue_job_dependency "
                "WHERE parent_id = ANY(%(ids)s) OR child_id = ANY(%(ids)s)",
                ids=list(self.ids),
            )
        )
        edges, joints, ids = set(), {}, set(self.ids)
        for parent, child, joint in self.env.cr.fetchall():
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

    def _links_after(self):
        """Return ``{id: links}`` of those of these jobs for which others wait, or waited.

        A link is the number of a joint, or the negative id of a child.
        """
        self.env.cr.execute(
            SQL(
                "SELECT parent_id, array_agg(COALESCE(joint, -child_id)) "
                "FROM queue_job_dependency WHERE parent_id = ANY(%s) GROUP BY parent_id",
                list(self.ids),
            )
        )
        return {job_id: set(links) for job_id, links in self.env.cr.fetchall()}

    def _has_dependents(self):
        """Return whether any job waits, or waited, for this one."""
        self.env.cr.execute(
            SQL(
                "SELECT EXISTS (SELECT FROM queue_job_dependency WHERE parent_id = %s)",
                self.id or None,
            )
        )
        return self.env.cr.fetchone()[0]
