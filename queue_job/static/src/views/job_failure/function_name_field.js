import {Component} from "@odoo/owl";

import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

/** What a job function does in words, and its technical name below. */
export class JobFunctionNameField extends Component {
    static template = "queue_job.JobFunctionName";
    static props = {...standardFieldProps, label: String};

    get name() {
        return this.props.record.data[this.props.name] || "";
    }

    get label() {
        return this.props.record.data[this.props.label] || "";
    }
}

export const jobFunctionNameField = {
    component: JobFunctionNameField,
    displayName: _t("Name of a Job Function"),
    supportedTypes: ["char"],
    extractProps: ({options}) => ({label: options.label || "label"}),
};

registry.category("fields").add("job_function_name", jobFunctionNameField);
