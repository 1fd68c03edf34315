# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Picture of a graph: nodes and edges, and the facts that are drawn on the nodes.

N jobs before M jobs are drawn as they are stored, with a joint between them.
"""

import itertools

from odoo.tools import html_escape

from ..graph import Joint
from ..states import DONE, FAILED, STARTED
from ..store import links

# Characters of a call that the picture of a graph shows.
_CALL_LENGTH = 300


def pictures(jobs):
    """Return ``{graph uuid: picture}`` of the graphs of some jobs."""
    return {uuid: _picture(jobs, uuid) for uuid in _graphs_of(jobs)}


def facts(jobs):
    """Return ``{graph uuid: {job id: [name, state, call, seconds]}}``.

    They stand beside the nodes, whose form is fixed.
    """
    return {
        uuid: {str(job.id): _fact(job) for job in _jobs_of_graph(jobs, uuid)}
        for uuid in _graphs_of(jobs)
    }


def _graphs_of(jobs):
    return {job.graph_uuid for job in jobs if job.graph_uuid}


def _jobs_of_graph(jobs, graph_uuid):
    """Return the jobs of a graph that the reader may see, with what is drawn of them."""
    return jobs.search_fetch(
        [("graph_uuid", "=", graph_uuid)],
        ["name", "state", "func_string", "exec_time", "graph_uuid"],
        order="id",
    )


def _fact(job):
    call = job.func_string or ""
    return [
        job.display_name or "",
        job.state,
        call if len(call) <= _CALL_LENGTH else call[: _CALL_LENGTH - 1] + "…",
        job.exec_time,
    ]


def _picture(model, graph_uuid):
    jobs = _jobs_of_graph(model, graph_uuid)
    edges, joints = _drawn_edges(jobs)
    nodes = [job._dependency_graph_vis_node() for job in jobs]
    nodes += [_joint_node(model.env, joint, *ends) for joint, ends in joints.items()]
    return {"nodes": nodes, "edges": sorted(map(list, edges))}


def _drawn_edges(jobs):
    """Return the edges between these jobs, and the joints that are drawn as nodes.

    :return: set of ``(from id, to id)``, a joint being the negative of its number;
        and ``{joint: (ids of its parents, ids of its children)}``
    """
    edges, joints, ids = set(), {}, set(jobs.ids)
    for parent, child, joint in links.stored_links(jobs):
        if joint:
            joints.setdefault(joint, ([], []))[parent is None].append(parent or child)
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


def _joint_node(env, joint, parents, children):
    """Return the node of a joint; its id is negative."""
    title = env._(
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


def node(job):
    """Return the node of a job."""
    background, border = {
        DONE: ("#C2FABC", "#4AD63A"),
        FAILED: ("#FB7E81", "#FA0A10"),
        STARTED: ("#FFFF00", "#FFA500"),
    }.get(job.state, ("#D2E5FF", "#2B7CE9"))
    name, call = html_escape(job.display_name), html_escape(job.func_string)
    return {
        "id": job.id,
        "title": f"<strong>{name}</strong><br/>{call}",
        "color": background,
        "border": border,
        "shadow": True,
    }
