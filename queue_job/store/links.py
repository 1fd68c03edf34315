# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The links between jobs: which job waits for which, as rows of queue.job.dependency."""

from odoo.fields import Domain
from odoo.tools import SQL, OrderedSet

from ..sql import statements as sql
from . import release

# Fields of queue.job that show links.
LINK_FIELDS = (
    "dependency_ids",
    "dependent_ids",
    "dependency_graph",
    "dependency_graph_facts",
)

# Storing --------------------------------------------------------------------


def store(jobs, linked):
    """Store the links between these jobs and whatever is stored of the others.

    :param jobs: the model queue.job
    :param linked: objects of :class:`~..job.Job`
    """
    pairs, joints = OrderedSet(), OrderedSet()
    for job in linked:
        parents, children = job.direct_links()
        pairs.update((parent.row_id, job.row_id) for parent in parents)
        pairs.update((job.row_id, child.row_id) for child in children)
        # At either end: it is stored with the last of its jobs.
        joints.update(
            joint
            for joint in (*job.joints_before, *job.joints_after)
            if not joint.stored
        )
    ends_of_joints = []
    for joint in joints:
        ends = (
            [parent.row_id for parent in joint.parents],
            [child.row_id for child in joint.children],
        )
        if all(ends[0]) and all(ends[1]):
            joint.stored = True
            ends_of_joints.append(ends)
    pairs = [pair for pair in pairs if all(pair)]
    add(jobs, pairs, ends_of_joints)
    # A parent that was stored before may end before this is committed.
    here = {job.row_id for job in linked}
    release.after_storing(
        jobs, [child for parent, child in pairs if parent not in here]
    )


def add(jobs, pairs, joints=()):
    """Store links that are not there yet, in one statement.

    :param pairs: ``(parent id, child id)``
    :param joints: ``(parent ids, child ids)`` of each joint
    """
    links = [(parent, child, None) for parent, child in pairs]
    for joint, (parents, children) in zip(
        _next_joints(jobs.env.cr, len(joints)), joints, strict=True
    ):
        links += [(parent, None, joint) for parent in parents]
        links += [(None, child, joint) for child in children]
    if not links:
        return
    parents, children, numbers = map(list, zip(*links, strict=True))
    jobs.env.cr.execute(
        sql.add_links, {"parents": parents, "children": children, "joints": numbers}
    )
    jobs.invalidate_model(LINK_FIELDS, flush=False)


def _next_joints(cr, count):
    if not count:
        return []
    cr.execute(sql.next_joints, {"count": count})
    return [number for (number,) in cr.fetchall()]


def add_between_uuids(jobs, pairs):
    """Store links between jobs that exist, given as ``(parent uuid, child uuid)``."""
    if not pairs:
        return
    jobs.flush_model(["uuid"])
    parents, children = map(list, zip(*pairs, strict=True))
    jobs.env.cr.execute(
        sql.add_links_of_uuids, {"parents": parents, "children": children}
    )
    jobs.invalidate_model(LINK_FIELDS, flush=False)


def drop(jobs, parents_of, children_of):
    """Delete the links to parents or to children of some jobs, joints excepted."""
    values = {"parents_of": parents_of, "children_of": children_of}
    jobs.env.cr.execute(sql.drop_links, values)
    jobs.invalidate_model(LINK_FIELDS, flush=False)


def follow_uuid_lists(jobs, lists):
    """Add the links of uuid lists that were written by hand.

    :param lists: ``(uuid of a job, value of its dependencies)``
    """
    pairs = []
    for job_uuid, links in lists:
        links = links or {}
        pairs += [(uuid, job_uuid) for uuid in links.get("depends_on", ())]
        pairs += [(job_uuid, uuid) for uuid in links.get("reverse_depends_on", ())]
    add_between_uuids(jobs, pairs)


def replace_uuid_lists(jobs, lists):
    """Replace the links of jobs by those of uuid lists that were written by hand."""
    lists = lists or {"depends_on": [], "reverse_depends_on": []}
    drop(
        jobs,
        parents_of=jobs.ids if "depends_on" in lists else [],
        children_of=jobs.ids if "reverse_depends_on" in lists else [],
    )
    follow_uuid_lists(jobs, [(job.uuid, lists) for job in jobs])


# Reading --------------------------------------------------------------------


def pairs_of(jobs, end, ids):
    """Return ``(id, id of the other end)`` for all links that start at ``ids``.

    :param end: ``parent_id`` or ``child_id``: which end ``ids`` are
    """
    if not ids:
        return []
    other = "child_id" if end == "parent_id" else "parent_id"
    jobs.env.cr.execute(
        SQL(
            sql.pairs_of,
            here=SQL.identifier(end),
            there=SQL.identifier(other),
            ids=list(ids),
        )
    )
    return jobs.env.cr.fetchall()


def stored_links(jobs):
    """Return ``(parent id, child id, joint)`` of each row with one of these jobs."""
    jobs.env.cr.execute(sql.stored_links, {"jobs": jobs.ids})
    return jobs.env.cr.fetchall()


def linked_to(ids, there, here):
    """Return the subquery of the jobs with a link to one of a query.

    Goes through each joint once, however many links it stands for.
    """
    return SQL(
        sql.linked_to,
        here=SQL.identifier(here),
        there=SQL.identifier(there),
        ids=ids.subselect(),
    )


def linked_domain(jobs, operator, value, there, here):
    """Return the domain of the jobs with a link to those of a search."""
    if operator == "any":
        ids = jobs._search(value) if not hasattr(value, "select") else value
    elif operator == "in":
        if not all(isinstance(item, int) for item in value):
            return NotImplemented
        ids = jobs.browse(item for item in value if item)._as_query()
    else:
        return NotImplemented
    linked = Domain("id", "in", linked_to(ids, there, here))
    if operator == "in" and False in value:
        any_job = linked_to(jobs._search([]), there, here)
        return linked | Domain("id", "not in", any_job)
    return linked


def has_dependents(record):
    """Return whether any job waits, or waited, for this one."""
    record.env.cr.execute(sql.has_dependents, {"job": record.id or None})
    return record.env.cr.fetchone()[0]


def read_after(jobs, leases):
    """Read in one statement which jobs wait, or waited, for jobs that are about to run.

    A link is the number of a joint, or the negative id of a child.
    """
    linked = {lease.job.row_id: lease for lease in leases if lease.job.may_be_linked()}
    if not linked:
        return
    jobs.env.cr.execute(sql.links_after, {"jobs": list(linked)})
    found = dict(jobs.env.cr.fetchall())
    for job_id, lease in linked.items():
        lease.links_after = set(found.get(job_id, ()))
