import {Component, onMounted, onPatched, useEffect, useRef} from "@odoo/owl";

import {
    edgePaths,
    JOINT_RADIUS,
    layoutGraph,
    NODE_HEIGHT,
    NODE_WIDTH,
} from "./job_graph_layout";
import {useViewport} from "./job_graph_viewport";

// A smaller scale cannot be read: then the current job is shown instead of all.
const READABLE = 0.45;
const NAME_LENGTH = 22;
// Pixels of the picture at most, unless it is made larger, and at least.
const HIGHEST = 480;
const LOWEST = 160;

function shortened(text) {
    return text.length > NAME_LENGTH ? `${text.slice(0, NAME_LENGTH - 1)}…` : text;
}

/** The drawing of a graph of jobs. Draws each structure once; states may change. */
export class JobGraphPicture extends Component {
    static template = "queue_job.JobGraphPicture";
    static props = {
        jobs: Array,
        joints: Array,
        edges: Array,
        currentId: {type: [Number, Boolean], optional: true},
        focusId: {type: [Number, Boolean], optional: true},
        dagre: {type: Object, optional: true},
        openJob: Function,
    };

    setup() {
        this.svgRef = useRef("svg");
        this.sceneRef = useRef("scene");
        this.overRef = useRef("over");
        this.tipRef = useRef("tip");
        this.viewport = useViewport(this.svgRef, this.sceneRef);
        this.width = NODE_WIDTH;
        this.height = NODE_HEIGHT;
        this.radius = JOINT_RADIUS;
        onMounted(() => this.showStart());
        onPatched(() => {
            if (this.isNew) {
                this.showStart();
            }
        });
        useEffect(
            (id) => id && this.showJob(id),
            () => [this.props.focusId]
        );
    }

    /** Where everything stands; worked out again only when jobs or edges change. */
    get layout() {
        const {jobs, joints, edges, dagre} = this.props;
        const ids = [...jobs, ...joints].map((node) => node.id);
        const key = JSON.stringify([ids, edges]);
        if (key !== this._key) {
            this._key = key;
            this.isNew = true;
            this._layout = layoutGraph({ids, edges}, dagre);
            Object.assign(this._layout, edgePaths(this._layout, edges));
        }
        return this._layout;
    }

    get nodes() {
        const {positions} = this.layout;
        return this.props.jobs.map((job) => {
            const {x, y} = positions.get(job.id);
            return {
                ...job,
                transform: `translate(${x - NODE_WIDTH / 2} ${y - NODE_HEIGHT / 2})`,
                short: shortened(job.name),
                isCurrent: job.id === this.props.currentId,
            };
        });
    }

    get joints() {
        const {positions} = this.layout;
        return this.props.joints.map(({id, title}) => ({
            id,
            title,
            ...positions.get(id),
        }));
    }

    showStart() {
        this.isNew = false;
        this.setHeight();
        const scale = this.viewport.fit(this.layout);
        if (scale < READABLE && this.props.currentId) {
            this.showJob(this.props.currentId);
        }
    }

    /** Give the picture the height that its graph needs. */
    setHeight() {
        const {width, height} = this.layout;
        const room = this.svgRef.el.getBoundingClientRect().width || width;
        const needed = height * Math.min(1, room / width);
        const pixels = Math.round(Math.min(Math.max(needed, LOWEST), HIGHEST));
        this.svgRef.el.parentElement.style.setProperty(
            "--o-job-graph-height",
            `${pixels}px`
        );
    }

    fit() {
        this.viewport.fit(this.layout);
    }

    showJob(id) {
        const position = this.layout.positions.get(id);
        if (position) {
            const scale = Math.max(this.viewport.view.scale, 0.8);
            this.viewport.show(position, scale, this.layout);
        }
    }

    jobAt(target) {
        const id = Number(target.closest?.("[data-job-id]")?.dataset.jobId);
        return this.props.jobs.find((job) => job.id === id);
    }

    onClick(ev) {
        const job = this.jobAt(ev.target);
        if (job && job.id !== this.props.currentId && !this.viewport.wasDragged()) {
            this.props.openJob(job.id, ev.ctrlKey || ev.metaKey);
        }
    }

    onKeydown(ev) {
        if (ev.key === "Enter") {
            const job = this.jobAt(ev.target);
            if (job && job.id !== this.props.currentId) {
                this.props.openJob(job.id, ev.ctrlKey || ev.metaKey);
            }
        }
    }

    /** Mark the edges of the job below the pointer and tell what it is. */
    onOver(ev) {
        const job = this.jobAt(ev.target);
        if (job?.id === this._overId) {
            return;
        }
        this._overId = job?.id;
        const own = job ? this.props.edges.filter((edge) => edge.includes(job.id)) : [];
        const {lines, heads} = edgePaths(this.layout, own);
        this.overRef.el.setAttribute("d", lines + heads);
        const tip = this.tipRef.el;
        tip.classList.toggle("d-none", !job);
        if (job) {
            tip.querySelector("strong").textContent = job.name;
            tip.querySelector(".o_job_graph_tip_state").textContent = job.detail;
            tip.querySelector(".o_job_graph_tip_call").textContent = job.call;
            this.placeTip(ev);
        }
    }

    placeTip(ev) {
        const tip = this.tipRef.el;
        const box = this.svgRef.el.getBoundingClientRect();
        const right = ev.clientX - box.left > box.width / 2;
        const low = ev.clientY - box.top > box.height / 2;
        tip.style.left = right ? "" : `${ev.clientX - box.left + 14}px`;
        tip.style.right = right ? `${box.right - ev.clientX + 14}px` : "";
        tip.style.top = low ? "" : `${ev.clientY - box.top + 14}px`;
        tip.style.bottom = low ? `${box.bottom - ev.clientY + 14}px` : "";
    }

    onLeave() {
        this._overId = undefined;
        this.overRef.el.setAttribute("d", "");
        this.tipRef.el.classList.add("d-none");
    }
}
