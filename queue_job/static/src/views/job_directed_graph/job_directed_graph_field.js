import {Component, onWillUpdateProps, useState} from "@odoo/owl";

import {loadBundle} from "@web/core/assets";
import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {useService} from "@web/core/utils/hooks";
import {formatInteger} from "@web/views/fields/formatters";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {formatDuration} from "../queue_job_formats";
import {isJoint} from "./job_graph_layout";
import {JobGraphPicture} from "./job_graph_picture";

// Jobs times edges that are drawn without asking.
const ASK_BEYOND = 5000;

/** What a job of the graph is called when the server sends no facts of it. */
function plainName(node) {
    const text = new DOMParser().parseFromString(node.title || "", "text/html");
    return text.querySelector("strong")?.textContent || `#${node.id}`;
}

/** The jobs that are tied to a job, as a picture. */
export class JobDirectedGraphField extends Component {
    static template = "queue.JobDirectGraph";
    static components = {JobGraphPicture};
    static props = {...standardFieldProps};

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.state = useState({
            isForced: false,
            isLoaded: false,
            focusId: false,
            isTall: false,
        });
        this.resId = this.props.record.resId;
        this.load();
        onWillUpdateProps((next) => {
            if (next.record.resId !== this.resId) {
                this.resId = next.record.resId;
                this.state.isForced = false;
                this.state.focusId = false;
            }
            this.load(next);
        });
    }

    get graph() {
        return this.graphOf(this.props);
    }

    graphOf(props) {
        const value = props.record.data[props.name] || {};
        return {nodes: value.nodes || [], edges: value.edges || []};
    }

    /** Load the library of the layout, when there is something to show. */
    load(props = this.props) {
        if (this.isLoading || (this.mustAsk(props) && !this.state.isForced)) {
            return;
        }
        if (this.graphOf(props).nodes.length) {
            this.isLoading = true;
            loadBundle("queue_job.dagre_lib").then(
                () => (this.state.isLoaded = true),
                // Without the library the jobs are drawn in rows.
                () => (this.state.isLoaded = true)
            );
        }
    }

    mustAsk(props = this.props) {
        const {nodes, edges} = this.graphOf(props);
        return nodes.length * edges.length > ASK_BEYOND;
    }

    get isAsking() {
        return this.mustAsk() && !this.state.isForced;
    }

    get dagre() {
        return window.dagre;
    }

    get counts() {
        return {
            jobs: formatInteger(this.jobNodes.length),
            edges: formatInteger(this.graph.edges.length),
        };
    }

    get warning() {
        return _t(
            "This graph has %(jobs)s jobs and %(edges)s dependencies. Drawing it may take a moment.",
            this.counts
        );
    }

    get size() {
        return _t("%(jobs)s jobs, %(edges)s dependencies", this.counts);
    }

    get jobNodes() {
        return this.graph.nodes.filter(({id}) => !isJoint(id));
    }

    get joints() {
        return this.graph.nodes.filter(({id}) => isJoint(id));
    }

    get labels() {
        return Object.fromEntries(this.props.record.fields.state?.selection || []);
    }

    get jobs() {
        const facts = this.props.record.data.dependency_graph_facts || {};
        const labels = this.labels;
        return this.jobNodes.map((node) => {
            const [name, state, call, seconds] = facts[node.id] || [];
            const label = labels[state] || state || "";
            return {
                id: node.id,
                name: name || plainName(node),
                state: state || "unknown",
                detail: seconds ? `${label} · ${formatDuration(seconds)}` : label,
                call: call || "",
            };
        });
    }

    /** How many jobs are in each state, in the order of the states. */
    get legend() {
        const counts = {};
        for (const job of this.jobs) {
            counts[job.state] = (counts[job.state] || 0) + 1;
        }
        return Object.entries(this.labels)
            .filter(([state]) => counts[state])
            .map(([state, label]) => ({state, label, count: counts[state]}));
    }

    displayAnyway() {
        this.state.isForced = true;
        this.load();
    }

    /** Show one job in a state after the other. */
    showNext(state) {
        const ids = this.jobs.filter((job) => job.state === state).map((job) => job.id);
        this.state.focusId = ids[(ids.indexOf(this.state.focusId) + 1) % ids.length];
    }

    toggleHeight() {
        this.state.isTall = !this.state.isTall;
    }

    async openJob(jobId, newWindow) {
        const action = await this.orm.call("queue.job", "get_formview_action", [
            [jobId],
        ]);
        await this.action.doAction(action, {newWindow});
    }
}

export const jobDirectedGraphField = {
    component: JobDirectedGraphField,
    displayName: _t("Graph of jobs"),
    // No supportedTypes: the registry of fields refuses "serialized" in developer mode.
    fieldDependencies: [
        {name: "state", type: "selection"},
        {name: "dependency_graph_facts", type: "serialized"},
    ],
};

registry.category("fields").add("job_directed_graph", jobDirectedGraphField);
