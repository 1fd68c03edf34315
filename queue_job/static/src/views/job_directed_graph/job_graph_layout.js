/**
 * Where the jobs of a graph are drawn: top to bottom, parents above children.
 *
 * Small graphs are laid out by dagre, which avoids crossings well and takes its
 * time: a second at 300 jobs, a minute at 1,000. Larger or very wide ones get
 * ranks by longest path, ordered by the middle of their parents, a wide
 * rank in several rows: 1,000 jobs and 2,000 edges in some milliseconds, and no
 * row that is 90,000 pixels wide. Both always give the same picture.
 */

export const NODE_WIDTH = 176;
export const NODE_HEIGHT = 44;
export const JOINT_RADIUS = 7;
const NODE_GAP = 24;
const ROW_GAP = 26;
const RANK_GAP = 56;
const MARGIN = 24;
const ARROW = 7;

// Beyond these dagre takes longer than a person waits, or draws too wide.
const DAGRE_NODES = 150;
const DAGRE_EDGES = 400;
const DAGRE_WIDTH = 24;

/**
 * Ids below 0 are those of joints: all jobs before one of them come before all behind it.
 *
 * @typedef {{ids: number[], edges: [number, number][]}} Graph
 */

/** Return whether a node is a joint, and not a job. */
export function isJoint(id) {
    return id < 0;
}

function halfHeight(id) {
    return isJoint(id) ? JOINT_RADIUS : NODE_HEIGHT / 2;
}

function halfWidth(id) {
    return isJoint(id) ? JOINT_RADIUS : NODE_WIDTH / 2;
}

function linked(graph, from, to) {
    const links = new Map(graph.ids.map((id) => [id, []]));
    for (const edge of graph.edges) {
        if (links.has(edge[0]) && links.has(edge[1])) {
            links.get(edge[from]).push(edge[to]);
        }
    }
    return links;
}

/**
 * Return the ranks: lists of ids, no job above one of its parents.
 *
 * @param {Graph} graph
 */
export function ranksOf(graph) {
    const children = linked(graph, 0, 1);
    const open = new Map(graph.ids.map((id) => [id, 0]));
    for (const ids of children.values()) {
        for (const id of ids) {
            open.set(id, open.get(id) + 1);
        }
    }
    const rank = new Map();
    let ready = graph.ids.filter((id) => !open.get(id));
    for (const id of ready) {
        rank.set(id, 0);
    }
    while (ready.length) {
        const next = [];
        for (const id of ready) {
            for (const child of children.get(id)) {
                rank.set(child, Math.max(rank.get(child) || 0, rank.get(id) + 1));
                open.set(child, open.get(child) - 1);
                if (!open.get(child)) {
                    next.push(child);
                }
            }
        }
        ready = next;
    }
    const ranks = [];
    for (const id of graph.ids) {
        // Only a circle, which cannot be stored, leaves a job without its turn.
        const at = open.get(id) ? 0 : rank.get(id);
        (ranks[at] = ranks[at] || []).push(id);
    }
    return Array.from(ranks, (ids) => ids || []);
}

/** Sort the ranks in place so that jobs stand below, or above, what they are tied to. */
function untangle(ranks, parents, children) {
    const place = new Map();
    const number = (ids) =>
        ids.forEach((id, index) => place.set(id, (index + 0.5) / ids.length));
    ranks.forEach(number);
    const sweep = (ids, links) => {
        const middle = new Map();
        for (const id of ids) {
            const places = links.get(id).map((other) => place.get(other));
            const sum = places.reduce((total, value) => total + value, 0);
            middle.set(id, places.length ? sum / places.length : place.get(id));
        }
        ids.sort(
            (a, b) => middle.get(a) - middle.get(b) || place.get(a) - place.get(b)
        );
        number(ids);
    };
    for (let round = 0; round < 3; round++) {
        ranks.forEach((ids) => sweep(ids, parents));
        [...ranks].reverse().forEach((ids) => sweep(ids, children));
    }
    ranks.forEach((ids) => sweep(ids, parents));
}

function columnsFor(count) {
    return Math.min(Math.max(Math.ceil(Math.sqrt(count) * 1.1), 8), 40);
}

/** Lay out by ranks of several rows each. */
export function layoutInRows(graph, ranks = ranksOf(graph)) {
    untangle(ranks, linked(graph, 1, 0), linked(graph, 0, 1));
    const columns = columnsFor(graph.ids.length);
    const widest = Math.min(columns, Math.max(0, ...ranks.map((ids) => ids.length)));
    const width = 2 * MARGIN + widest * (NODE_WIDTH + NODE_GAP) - NODE_GAP;
    const positions = new Map();
    const places = new Map();
    let top = MARGIN;
    for (const ids of ranks) {
        const rankTop = top;
        const rows = Math.ceil(ids.length / columns);
        // Filled column by column: neighbours stay neighbours.
        const perRow = Math.ceil(ids.length / rows);
        const left = (width - perRow * (NODE_WIDTH + NODE_GAP) + NODE_GAP) / 2;
        const height = rows * (NODE_HEIGHT + ROW_GAP) - ROW_GAP;
        ids.forEach((id, index) => {
            const row = index % rows;
            positions.set(id, {
                x:
                    left +
                    Math.floor(index / rows) * (NODE_WIDTH + NODE_GAP) +
                    NODE_WIDTH / 2,
                y: rankTop + row * (NODE_HEIGHT + ROW_GAP) + NODE_HEIGHT / 2,
            });
            const isLast = row === rows - 1;
            places.set(id, {
                isFirst: !row,
                isLast,
                top: rankTop,
                bottom: rankTop + height,
            });
        });
        top += height + RANK_GAP;
    }
    const routes = routesBetweenRows(graph.edges, positions, places);
    return {positions, routes, width, height: top - RANK_GAP + MARGIN};
}

/**
 * Lead the edges through the gaps beside the jobs of the same rank, in on the left and out
 * on the right side of a job: one that goes behind a job, or passes between two that stand
 * below each other, would look as if it tied those.
 */
function routesBetweenRows(edges, positions, places) {
    const routes = new Map();
    const lane = NODE_WIDTH / 2 + NODE_GAP / 3;
    for (const [parent, child] of edges) {
        const [from, to] = [positions.get(parent), positions.get(child)];
        const [above, below] = [places.get(parent), places.get(child)];
        const points = [];
        if (!above.isLast) {
            const x = from.x + lane;
            points.push({x, y: from.y}, {x, y: above.bottom});
            points.leavesAside = true;
        }
        if (!below.isFirst) {
            const x = to.x - lane;
            points.push({x, y: below.top}, {x, y: to.y});
            points.entersAside = true;
        }
        if (points.length) {
            routes.set(`${parent}-${child}`, points);
        }
    }
    return routes;
}

function layoutByDagre(graph, dagre) {
    const drawing = new dagre.graphlib.Graph();
    drawing.setGraph({
        rankdir: "TB",
        ranker: "tight-tree",
        nodesep: NODE_GAP,
        ranksep: RANK_GAP,
        marginx: MARGIN,
        marginy: MARGIN,
    });
    drawing.setDefaultEdgeLabel(() => ({}));
    for (const id of graph.ids) {
        const size = 2 * halfHeight(id);
        drawing.setNode(String(id), {
            width: isJoint(id) ? size : NODE_WIDTH,
            height: size,
        });
    }
    for (const [parent, child] of graph.edges) {
        drawing.setEdge(String(parent), String(child));
    }
    dagre.layout(drawing);
    const positions = new Map();
    for (const id of graph.ids) {
        const {x, y} = drawing.node(String(id));
        positions.set(id, {x, y});
    }
    const routes = new Map();
    for (const {v, w} of drawing.edges()) {
        // Ends, and a point between each two ranks: where it passes the ranks is what counts.
        const points = drawing.edge(v, w).points.slice(1, -1);
        routes.set(`${v}-${w}`, points.length > 1 ? points : []);
    }
    const {width, height} = drawing.graph();
    return {positions, routes, width, height};
}

/**
 * Return where the jobs stand.
 *
 * @param {Graph} graph
 * @param {Object} dagre the library
 * @returns {{positions: Map, routes: Map, width: number, height: number}}
 */
export function layoutGraph(graph, dagre) {
    const ids = new Set(graph.ids);
    const edges = graph.edges.filter(
        ([parent, child]) => ids.has(parent) && ids.has(child)
    );
    const known = {ids: graph.ids, edges};
    const ranks = ranksOf(known);
    const isSmall =
        graph.ids.length <= DAGRE_NODES &&
        edges.length <= DAGRE_EDGES &&
        Math.max(0, ...ranks.map((row) => row.length)) <= DAGRE_WIDTH;
    return isSmall && dagre ? layoutByDagre(known, dagre) : layoutInRows(known, ranks);
}

/** Return the path of one edge, from foot or side of the parent to top or side of the child. */
function edgePath(layout, parent, child) {
    const from = layout.positions.get(parent);
    const to = layout.positions.get(child);
    const inner = layout.routes.get(`${parent}-${child}`) || [];
    const {leavesAside, entersAside} = inner;
    const start = leavesAside
        ? {x: from.x + halfWidth(parent), y: from.y}
        : {x: from.x, y: from.y + halfHeight(parent)};
    const end = entersAside
        ? {x: to.x - halfWidth(child), y: to.y}
        : {x: to.x, y: to.y - halfHeight(child)};
    const points = [start, ...inner, end];
    let path = `M${points[0].x.toFixed(1)} ${points[0].y.toFixed(1)}`;
    for (let index = 1; index < points.length; index++) {
        const [a, b] = [points[index - 1], points[index]];
        const isLast = index === points.length - 1;
        const y = isLast && !entersAside ? b.y - ARROW : b.y;
        const bend = Math.abs(y - a.y) / 2;
        path +=
            `C${a.x.toFixed(1)} ${(a.y + bend).toFixed(1)} ` +
            `${b.x.toFixed(1)} ${(y - bend).toFixed(1)} ${b.x.toFixed(1)} ${y.toFixed(1)}`;
    }
    const wings = entersAside
        ? `l${-ARROW} ${-ARROW / 2}v${ARROW}z`
        : `l${-ARROW / 2} ${-ARROW}h${ARROW}z`;
    const head = `M${end.x.toFixed(1)} ${end.y.toFixed(1)}${wings}`;
    return {line: path, head};
}

/**
 * Return two paths for many edges: all lines, and all heads. Two elements draw
 * 2,000 edges faster than 2,000 elements do.
 */
export function edgePaths(layout, edges) {
    const lines = [];
    const heads = [];
    for (const [parent, child] of edges) {
        if (layout.positions.has(parent) && layout.positions.has(child)) {
            const {line, head} = edgePath(layout, parent, child);
            lines.push(line);
            heads.push(head);
        }
    }
    return {lines: lines.join(""), heads: heads.join("")};
}
