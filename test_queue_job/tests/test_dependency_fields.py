# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import tagged

from odoo.addons.queue_job.job import Job

from .common import GraphCase


@tagged("post_install", "-at_install")
class TestDependencyFields(GraphCase):
    def setUp(self):
        super().setUp()
        a, b, c, d = self.delayables("abcd")
        a.on_done(b.on_done(d), c.on_done(d)).delay()
        self.a, self.b, self.c, self.d = self.rows(a, b, c, d)
        [self.alone] = self.delayables("x")
        self.alone.delay()
        [self.alone] = self.rows(self.alone)
        self.all = self.a | self.b | self.c | self.d | self.alone

    def search(self, *leaf):
        return self.job_model.search([("id", "in", self.all.ids), leaf])

    def test_values(self):
        self.assertFalse(self.a.dependency_ids)
        self.assertEqual(self.a.dependent_ids, self.b | self.c)
        self.assertEqual(self.d.dependency_ids, self.b | self.c)
        self.assertFalse(self.d.dependent_ids)

    def test_search_by_ids(self):
        self.assertEqual(self.search("dependency_ids", "in", self.b.ids), self.d)
        self.assertEqual(self.search("dependency_ids", "=", self.a.id), self.b | self.c)
        self.assertEqual(
            self.search("dependent_ids", "in", self.d.ids), self.b | self.c
        )
        self.assertEqual(
            self.search("dependency_ids", "not in", self.a.ids),
            self.a | self.d | self.alone,
        )

    def test_search_for_none(self):
        self.assertEqual(self.search("dependency_ids", "=", False), self.a | self.alone)
        self.assertEqual(
            self.search("dependency_ids", "!=", False), self.b | self.c | self.d
        )
        self.assertEqual(self.search("dependent_ids", "=", False), self.d | self.alone)
        self.assertEqual(
            self.search("dependency_ids", "in", [False, self.b.id]),
            self.a | self.d | self.alone,
        )

    def test_search_by_field_of_the_other_end(self):
        self.a.state = "done"
        self.assertEqual(
            self.search("dependency_ids.state", "=", "done"), self.b | self.c
        )
        self.assertEqual(
            self.search("dependent_ids.state", "!=", "wait_dependencies"),
            self.job_model,
        )

    def test_search_by_domain(self):
        self.assertEqual(
            self.search("dependency_ids", "any", [("name", "=", "a")]), self.b | self.c
        )
        self.assertEqual(
            self.search("dependent_ids", "any", [("name", "in", ["b", "d"])]),
            self.a | self.b | self.c,
        )
        self.assertEqual(
            self.search("dependency_ids", "not any", [("name", "=", "a")]),
            self.a | self.d | self.alone,
        )

    def test_uuid_lists_written_by_hand_are_followed(self):
        rows = self.job_model.with_context(
            _job_edit_sentinel=self.job_model.EDIT_SENTINEL
        )
        parent = rows.create({"uuid": "parent by hand", "state": "pending"})
        child = rows.create(
            {
                "uuid": "child by hand",
                "state": "wait_dependencies",
                "dependencies": {"depends_on": [parent.uuid, "gone"]},
            }
        )
        late = rows.create({"uuid": "late by hand", "state": "wait_dependencies"})
        child.write({"dependencies": {"reverse_depends_on": [late.uuid]}})
        self.env.invalidate_all()
        self.assertEqual(child.dependency_ids, parent)
        self.assertEqual(child.dependent_ids, late)
        found = self.job_model.search([("dependency_ids", "in", parent.ids)])
        self.assertEqual(found, child)

    def test_uuid_lists_written_anew_replace_the_links(self):
        row = self.d.with_context(_job_edit_sentinel=self.d.EDIT_SENTINEL)
        row.dependencies = {"depends_on": [self.c.uuid], "reverse_depends_on": []}
        self.env.invalidate_all()
        self.assertEqual(self.d.dependency_ids, self.c)
        self.assertEqual(
            self.search("dependency_ids", "in", self.b.ids), self.job_model
        )
        row.dependencies = False
        self.env.invalidate_all()
        self.assertFalse(self.d.dependency_ids)

    def test_fields_follow_what_the_transaction_stores(self):
        parent, child = self.make_job(), Job(self.record.testing_method)
        row = parent.db_record()
        self.assertFalse(row.dependent_ids)
        self.assertEqual((row.dependency_graph, row.graph_jobs_count), ({}, 0))
        child.add_depends({parent})
        parent.graph_uuid = child.graph_uuid = "graph"
        child.store()
        parent.store()
        self.assertEqual(row.dependent_ids, child.db_record())
        self.assertEqual(child.db_record().dependency_ids, row)
        self.assertEqual(
            row.dependency_graph["edges"], [[row.id, child.db_record().id]]
        )
        self.assertEqual(row.graph_jobs_count, 2)

    def test_missing_jobs_are_skipped(self):
        self.b.unlink()
        self.env.invalidate_all()
        self.assertEqual(self.d.dependency_ids, self.c)
        self.assertEqual(self.a.dependent_ids, self.c)

    def test_graph_jobs_count(self):
        self.assertEqual((self.a.graph_jobs_count, self.alone.graph_jobs_count), (4, 0))

    def test_dependency_graph(self):
        graph = self.a.dependency_graph
        self.assertEqual(
            {node["id"] for node in graph["nodes"]}, set((self.all - self.alone).ids)
        )
        self.assertEqual(
            sorted(graph["edges"]),
            sorted(
                [
                    [self.a.id, self.b.id],
                    [self.a.id, self.c.id],
                    [self.b.id, self.d.id],
                    [self.c.id, self.d.id],
                ]
            ),
        )
        self.assertEqual(self.alone.dependency_graph, {})

    def test_dependency_graph_as_a_whole(self):
        self.b.state = "done"
        self.c.unlink()
        self.env.invalidate_all()

        def node(job, fill, border):
            return {
                "id": job.id,
                "title": f"<strong>{job.name}</strong><br/>{job.func_string}",
                "color": fill,
                "border": border,
                "shadow": True,
            }

        graph = self.d.dependency_graph
        self.assertEqual(set(graph), {"nodes", "edges"})
        self.assertEqual(
            sorted(graph["nodes"], key=lambda node: node["id"]),
            [
                node(self.a, "#D2E5FF", "#2B7CE9"),
                node(self.b, "#C2FABC", "#4AD63A"),
                node(self.d, "#D2E5FF", "#2B7CE9"),
            ],
        )
        self.assertEqual(
            sorted(graph["edges"]),
            [[self.a.id, self.b.id], [self.b.id, self.d.id]],
        )

    def test_dependency_graph_node(self):
        self.a.with_context(_job_edit_sentinel=self.a.EDIT_SENTINEL).name = "<a>"
        self.assertEqual(
            self.a._dependency_graph_vis_node(),
            {
                "id": self.a.id,
                "title": (
                    "<strong>&lt;a&gt;</strong><br/>"
                    f"test.queue.job({self.record.id},).testing_method()"
                ),
                "color": "#D2E5FF",
                "border": "#2B7CE9",
                "shadow": True,
            },
        )

    def test_dependency_graph_colours(self):
        colours = {
            "done": ("#C2FABC", "#4AD63A"),
            "failed": ("#FB7E81", "#FA0A10"),
            "started": ("#FFFF00", "#FFA500"),
            "pending": ("#D2E5FF", "#2B7CE9"),
            "cancelled": ("#D2E5FF", "#2B7CE9"),
        }
        for state, (fill, border) in colours.items():
            with self.subTest(state):
                self.a.state = state
                node = self.a._dependency_graph_vis_node()
                self.assertEqual((node["color"], node["border"]), (fill, border))

    def test_open_graph_jobs(self):
        action = self.a.open_graph_jobs()
        self.assertEqual(action["name"], f"Jobs for graph {self.a.graph_uuid}")
        self.assertEqual(action["res_model"], "queue.job")
        self.assertFalse(action["context"])
        self.assertEqual(self.job_model.search(action["domain"]), self.all - self.alone)
