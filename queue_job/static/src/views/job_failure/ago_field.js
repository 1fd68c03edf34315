import {formatDateTime} from "@web/core/l10n/dates";
import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {Component} from "@odoo/owl";

/** How long ago something was; the date itself is the title. */
export class JobAgoField extends Component {
    static template = "queue_job.JobAgo";
    static props = {...standardFieldProps};

    get date() {
        return this.props.record.data[this.props.name];
    }

    get text() {
        return this.date ? this.date.toRelative() : "";
    }

    get title() {
        return this.date ? formatDateTime(this.date, {showSeconds: true}) : "";
    }
}

export const jobAgoField = {
    component: JobAgoField,
    displayName: _t("How Long Ago"),
    supportedTypes: ["datetime"],
    isEmpty: (record, name) => !record.data[name],
    listViewWidth: [110],
};

registry.category("fields").add("job_ago", jobAgoField);
