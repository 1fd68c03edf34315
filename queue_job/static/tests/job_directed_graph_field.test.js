import {beforeEach, expect, test} from "@odoo/hoot";
import {click, hover, queryAll, queryAllTexts, queryFirst} from "@odoo/hoot-dom";
import {animationFrame} from "@odoo/hoot-mock";
import {
    contains,
    defineModels,
    fields,
    mockService,
    models,
    mountView,
    onRpc,
    patchWithCleanup,
} from "@web/../tests/web_test_helpers";
import {defineMailModels} from "@mail/../tests/mail_test_helpers";

import {assets} from "@web/core/assets";

const STATES = [
    ["wait_dependencies", "Wait Dependencies"],
    ["pending", "Pending"],
    ["done", "Done"],
    ["failed", "Failed"],
];

function node(id) {
    return {
        id,
        title: `<strong>Job ${id}</strong><br/>call()`,
        color: "#D2E5FF",
        border: "#2B7CE9",
    };
}

class QueueJob extends models.Model {
    _name = "queue.job";
    name = fields.Char();
    state = fields.Selection({selection: STATES});
    dependency_graph = fields.Json();
    dependency_graph_facts = fields.Json();
    _records = [
        {
            id: 1,
            name: "First",
            state: "done",
            dependency_graph: {
                nodes: [node(1), node(2), node(3)],
                edges: [
                    [1, 2],
                    [1, 3],
                ],
            },
            dependency_graph_facts: {
                1: ["First", "done", "partner(1).first()", 2.5],
                2: ["Second", "failed", "partner(1).second()", 0],
                3: ["Third <b>", "failed", "partner(1).third()", 0],
            },
        },
        {id: 2, name: "Alone", state: "done", dependency_graph: {}},
        {
            id: 3,
            name: "Large",
            state: "done",
            dependency_graph: {
                nodes: Array.from({length: 101}, (_value, index) => node(index + 1)),
                edges: Array.from({length: 100}, (_value, index) => [1, index + 2]),
            },
        },
    ];
}

defineMailModels();
defineModels([QueueJob]);

let loaded;

beforeEach(() => {
    loaded = [];
    // The layout in rows needs no library.
    patchWithCleanup(assets, {loadBundle: async (name) => loaded.push(name)});
});

async function open(resId) {
    await mountView({
        type: "form",
        resModel: "queue.job",
        resId,
        arch: `<form><field name="dependency_graph" widget="job_directed_graph"/></form>`,
    });
    await animationFrame();
}

test("draws each job with its state, and arrows from parent to child", async () => {
    await open(1);
    expect(loaded).toEqual(["queue_job.dagre_lib"]);
    expect(".o_field_job_directed_graph").toHaveCount(1);
    expect(queryAllTexts(".o_job_graph_name")).toEqual([
        "First",
        "Second",
        "Third <b>",
    ]);
    expect(queryAllTexts(".o_job_graph_detail")).toEqual([
        "Done · 2.5 s",
        "Failed",
        "Failed",
    ]);
    expect(".o_job_graph_node.o_job_state_failed").toHaveCount(2);
    expect(
        queryFirst(".o_job_graph_heads").getAttribute("d").split("M").length - 1
    ).toBe(2);
});

test("marks the current job and counts the states", async () => {
    await open(1);
    expect(".o_job_graph_current").toHaveCount(1);
    expect(".o_job_graph_current").toHaveAttribute("data-job-id", "1");
    expect(queryAllTexts(".o_job_graph_entry")).toEqual(["Done1", "Failed2"]);
});

test("a click opens another job, not the current one", async () => {
    onRpc("queue.job", "get_formview_action", ({args}) => {
        expect.step(`action of ${args[0]}`);
        return {
            type: "ir.actions.act_window",
            res_model: "queue.job",
            res_id: args[0][0],
        };
    });
    mockService("action", {
        doAction: (action) => expect.step(`opened ${action.res_id}`),
    });
    await open(1);
    await click(".o_job_graph_current rect");
    await animationFrame();
    expect.verifySteps([]);
    await click("[data-job-id='2'] rect");
    await animationFrame();
    expect.verifySteps(["action of 2", "opened 2"]);
});

test("dragging moves the picture and opens nothing", async () => {
    onRpc("queue.job", "get_formview_action", () => expect.step("opened"));
    await open(1);
    const scene = queryFirst(".o_job_graph_picture svg > g");
    const before = scene.getAttribute("transform");
    const {drop, moveTo} = await contains("[data-job-id='2'] rect").drag({
        position: {x: 5, y: 5},
    });
    await moveTo(".o_job_graph_picture svg", {position: {x: 20, y: 30}});
    await drop();
    await animationFrame();
    expect(scene.getAttribute("transform")).not.toBe(before);
    expect(".o_job_graph_current").toHaveAttribute("data-job-id", "1");
    expect.verifySteps([]);
});

test("hovering tells what a job is, as text", async () => {
    await open(1);
    expect(".o_job_graph_tip").toHaveClass("d-none");
    await hover("[data-job-id='3'] rect");
    await animationFrame();
    expect(".o_job_graph_tip").not.toHaveClass("d-none");
    expect(".o_job_graph_tip strong").toHaveText("Third <b>");
    expect(".o_job_graph_tip code").toHaveText("partner(1).third()");
    expect(queryFirst(".o_job_graph_over").getAttribute("d")).not.toBe("");
});

test("a job without graph says so and loads nothing", async () => {
    await open(2);
    expect(loaded).toEqual([]);
    expect(".o_job_graph").toHaveText(/not part of a graph/);
    expect("svg").toHaveCount(0);
});

test("a large graph is drawn when it is asked for", async () => {
    await open(3);
    expect(loaded).toEqual([]);
    expect(".o_job_graph .alert").toHaveText(/101 jobs and 100 dependencies/);
    expect(".o_job_graph_node").toHaveCount(0);
    await click(".o_job_graph_anyway");
    await animationFrame();
    await animationFrame();
    expect(loaded).toEqual(["queue_job.dagre_lib"]);
    expect(".o_job_graph_node").toHaveCount(101);
    // Nodes of which the server tells no more are named by their title.
    expect(queryAllTexts(".o_job_graph_name")[4]).toBe("Job 5");
});

test("the legend shows one job in a state after the other", async () => {
    await open(1);
    const scene = queryFirst(".o_job_graph_picture svg > g");
    const seen = new Set([scene.getAttribute("transform")]);
    for (let round = 0; round < 2; round++) {
        await click(".o_job_graph_entry.o_job_state_failed");
        await animationFrame();
        seen.add(scene.getAttribute("transform"));
    }
    expect(seen.size).toBeGreaterThan(1);
    expect(queryAll(".o_job_graph_node")).toHaveLength(3);
});

test("a thousand jobs and two thousand edges can be looked at", async () => {
    const ids = Array.from({length: 1000}, (_value, index) => index + 1);
    const edges = ids.slice(40).flatMap((id) => [
        [id - 40, id],
        [id - 40 + (id % 40 ? 1 : -39), id],
    ]);
    expect(edges.length).toBe(1920);
    QueueJob._records.push({
        id: 4,
        name: "Huge",
        state: "done",
        dependency_graph: {nodes: ids.map(node), edges},
        dependency_graph_facts: Object.fromEntries(
            ids.map((id) => [
                id,
                [`Job ${id}`, id % 3 ? "done" : "failed", "call()", 1],
            ])
        ),
    });
    await open(4);
    expect(".alert-warning").toHaveText(/1,000 jobs and 1,920 dependencies/);
    const start = performance.now();
    await contains(".o_job_graph_anyway").click();
    await animationFrame();
    expect(".o_job_graph_node").toHaveCount(1000);
    expect(performance.now() - start).toBeLessThan(5000);
    // Zoom and pan move one group: nothing is rendered anew.
    const scene = queryFirst(".o_job_graph_picture svg > g");
    const first = queryFirst(".o_job_graph_node");
    const before = scene.getAttribute("transform");
    await click(".o_job_graph_tools button:first");
    expect(scene.getAttribute("transform")).not.toBe(before);
    expect(queryFirst(".o_job_graph_node")).toBe(first);
    await click(".o_job_graph_fit");
    expect(".o_job_graph_picture svg").toHaveClass("o_job_graph_far");
});

test("a small graph has a small picture", async () => {
    await open(1);
    const {height} = queryFirst(".o_job_graph_picture").getBoundingClientRect();
    expect(height).toBeGreaterThan(159);
    expect(height).toBeLessThan(260);
});

test("a joint is a mark between two groups, and no job", async () => {
    const jobs = Array.from({length: 20}, (_value, index) => node(index + 1));
    QueueJob._records.push({
        id: 5,
        name: "Groups",
        state: "done",
        dependency_graph: {
            nodes: [...jobs, {id: -7, title: "10 jobs before 10 jobs"}],
            edges: jobs.map(({id}) => (id <= 10 ? [id, -7] : [-7, id])),
        },
    });
    await open(5);
    expect(".o_job_graph_node").toHaveCount(20);
    expect(".o_job_graph_joint").toHaveCount(1);
    expect(".o_job_graph_joint title").toHaveText("10 jobs before 10 jobs");
    expect(".o_job_graph").toHaveText(/20 jobs, 20 dependencies/);
    expect(
        queryFirst(".o_job_graph_heads").getAttribute("d").split("M").length - 1
    ).toBe(20);
});
