import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {useService} from "@web/core/utils/hooks";
import {formatFloat} from "@web/views/fields/formatters";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {usePoll} from "../poll_hook";

import {Component, useState} from "@odoo/owl";

// Milliseconds between two polls of the progress of a job that runs.
const REFRESH = 2000;

function formatNumber(value) {
    return formatFloat(value, {digits: [16, Number.isInteger(value) ? 0 : 2]});
}

/** How far a job is: a bar and a message. */
export class JobProgressField extends Component {
    static template = "queue_job.JobProgress";
    static props = {...standardFieldProps};

    setup() {
        this.state = useState({polled: undefined});
    }

    get progress() {
        if (this.state.polled !== undefined) {
            return this.state.polled;
        }
        return this.props.record.data[this.props.name] || null;
    }

    get numbers() {
        const {done, total} = this.progress;
        if (done === null || done === false) {
            return "";
        }
        return total
            ? _t("%(done)s of %(total)s", {
                  done: formatNumber(done),
                  total: formatNumber(total),
              })
            : formatNumber(done);
    }

    get hasBar() {
        return typeof this.progress.percent === "number";
    }
}

/** The same in a form, live while the job runs. */
export class JobProgressFormField extends JobProgressField {
    static template = "queue_job.JobProgressForm";

    setup() {
        super.setup();
        this.orm = useService("orm");
        usePoll(() => this.poll(), REFRESH);
    }

    async poll() {
        const {record, name} = this.props;
        if (!record.resId || record.data.state !== "started") {
            this.state.polled = undefined;
            return;
        }
        const [values] = await this.orm.silent.read(
            "queue.job",
            [record.resId],
            [name, "state"]
        );
        if (values.state === "started") {
            this.state.polled = values[name] || null;
        } else if (!(await record.isDirty())) {
            this.state.polled = undefined;
            await record.load();
        }
    }
}

const field = {
    component: JobProgressField,
    displayName: _t("Progress"),
    supportedTypes: ["json"],
    isEmpty: () => false,
    listViewWidth: [90, 130],
};

registry.category("fields").add("job_progress", field);
registry.category("fields").add("form.job_progress", {
    ...field,
    component: JobProgressFormField,
});
