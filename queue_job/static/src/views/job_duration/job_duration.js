import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {formatDuration} from "../queue_job_formats";

import {Component} from "@odoo/owl";

/** Seconds, shown as a duration that people read. */
export class JobDurationField extends Component {
    static template = "queue_job.JobDuration";
    static props = {...standardFieldProps};

    get text() {
        return formatDuration(this.props.record.data[this.props.name]);
    }
}

export const jobDurationField = {
    component: JobDurationField,
    displayName: _t("Duration"),
    supportedTypes: ["float", "integer"],
    isEmpty: () => false,
    listViewWidth: [95, 110],
};

registry.category("fields").add("job_duration", jobDurationField);
