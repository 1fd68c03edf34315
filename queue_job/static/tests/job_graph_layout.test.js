import {describe, expect, test} from "@odoo/hoot";

import {
    edgePaths,
    layoutGraph,
    layoutInRows,
    NODE_HEIGHT,
    NODE_WIDTH,
    ranksOf,
} from "@queue_job/views/job_directed_graph/job_graph_layout";

describe.current.tags("headless");

function numbers(count, from = 1) {
    return Array.from({length: count}, (_value, index) => from + index);
}

/** A graph of layers with two parents for each job, the same at each call. */
function layers(count, perLayer) {
    const ids = numbers(count);
    const edges = [];
    for (const id of ids.slice(perLayer)) {
        const layer = Math.floor((id - 1) / perLayer);
        for (const step of [1, 7]) {
            edges.push([(layer - 1) * perLayer + 1 + ((id * step) % perLayer), id]);
        }
    }
    return {ids, edges};
}

function overlaps(positions) {
    const seen = new Set();
    for (const {x, y} of positions.values()) {
        const key = `${Math.round(x / NODE_WIDTH)}/${Math.round(y / NODE_HEIGHT)}`;
        if (seen.has(key)) {
            return true;
        }
        seen.add(key);
    }
    return false;
}

test("a job is below all its parents", () => {
    const edges = [
        [1, 2],
        [1, 3],
        [2, 4],
        [3, 4],
        [1, 4],
    ];
    expect(ranksOf({ids: [4, 3, 2, 1], edges})).toEqual([[1], [3, 2], [4]]);
    const {positions} = layoutInRows({ids: [1, 2, 3, 4], edges});
    for (const [parent, child] of edges) {
        expect(positions.get(parent).y).toBeLessThan(positions.get(child).y);
    }
});

test("jobs without edges, circles and unknown ends do no harm", () => {
    expect(ranksOf({ids: [1, 2], edges: []})).toEqual([[1, 2]]);
    expect(layoutInRows({ids: [], edges: []}).positions.size).toBe(0);
    const circle = [
        [1, 2],
        [2, 1],
    ];
    expect(layoutInRows({ids: [1, 2], edges: circle}).positions.size).toBe(2);
    const layout = layoutGraph({ids: [1], edges: [[1, 99]]});
    expect(edgePaths(layout, [[1, 99]])).toEqual({lines: "", heads: ""});
});

test("a wide group stands in several rows", () => {
    const ids = numbers(1002);
    const edges = numbers(1000, 2).flatMap((id) => [
        [1, id],
        [id, 1002],
    ]);
    const {positions, width} = layoutGraph({ids, edges});
    expect(width).toBeLessThan(9000);
    expect(overlaps(positions)).toBe(false);
    const lowest = Math.max(...numbers(1000, 2).map((id) => positions.get(id).y));
    expect(positions.get(1002).y).toBeGreaterThan(lowest);
});

test("a thousand jobs and two thousand edges are laid out at once", () => {
    const graph = layers(1000, 40);
    expect(graph.edges.length).toBeGreaterThan(1900);
    const start = performance.now();
    const layout = layoutGraph(graph);
    const paths = edgePaths(layout, graph.edges);
    expect(performance.now() - start).toBeLessThan(2000);
    expect(layout.positions.size).toBe(1000);
    expect(overlaps(layout.positions)).toBe(false);
    expect(paths.heads.split("M").length - 1).toBe(graph.edges.length);
});

test("the same graph gives the same picture", () => {
    const one = layoutGraph(layers(300, 20));
    const other = layoutGraph(layers(300, 20));
    expect([...one.positions]).toEqual([...other.positions]);
});

test("two groups and a joint look like no chain", () => {
    const [parents, children] = [numbers(100), numbers(100, 101)];
    const edges = [...parents.map((id) => [id, -1]), ...children.map((id) => [-1, id])];
    const layout = layoutGraph({ids: [...parents, ...children, -1], edges});
    const {heads} = edgePaths(layout, edges);
    expect(heads.split("M").length - 1).toBe(200);
    const top = Math.min(...children.map((id) => layout.positions.get(id).y));
    for (const child of children) {
        const {x, y} = layout.positions.get(child);
        const [, endX, endY] = edgePaths(layout, [[-1, child]])
            .heads.match(/^M([\d.]+) ([\d.]+)/)
            .map(Number);
        // No arrow between jobs that stand below each other: it comes from the side.
        expect(endX).toBeCloseTo(y === top ? x : x - NODE_WIDTH / 2, {margin: 0.1});
        expect(endY).toBeCloseTo(y === top ? y - NODE_HEIGHT / 2 : y, {margin: 0.1});
    }
    const lowest = Math.max(...parents.map((id) => layout.positions.get(id).y));
    for (const parent of parents) {
        const {x, y} = layout.positions.get(parent);
        const [, startX] = edgePaths(layout, [[parent, -1]])
            .lines.match(/^M([\d.]+) /)
            .map(Number);
        expect(startX).toBeCloseTo(y === lowest ? x : x + NODE_WIDTH / 2, {
            margin: 0.1,
        });
    }
});
