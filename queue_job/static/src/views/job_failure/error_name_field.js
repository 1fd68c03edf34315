import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {Component} from "@odoo/owl";

/** The name of an exception, without its module: that is the title. */
export class JobErrorNameField extends Component {
    static template = "queue_job.JobErrorName";
    static props = {...standardFieldProps};

    get name() {
        return this.props.record.data[this.props.name] || "";
    }

    /** Whether it came up with the last deploy. */
    get isNew() {
        return this.props.record.data.is_new;
    }

    get shortName() {
        return this.name.slice(this.name.lastIndexOf(".") + 1);
    }
}

export const jobErrorNameField = {
    component: JobErrorNameField,
    displayName: _t("Name of an Exception"),
    supportedTypes: ["char"],
    listViewWidth: [150],
};

registry.category("fields").add("job_error_name", jobErrorNameField);
