import {_t} from "@web/core/l10n/translation";
import {CopyButton} from "@web/core/copy_button/copy_button";
import {registry} from "@web/core/registry";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {Component, useState} from "@odoo/owl";

/** A traceback, folded, with a button that copies it. */
export class JobTracebackField extends Component {
    static template = "queue_job.JobTraceback";
    static components = {CopyButton};
    static props = {...standardFieldProps, open: {type: Boolean, optional: true}};

    setup() {
        this.state = useState({open: Boolean(this.props.open)});
        this.copyText = _t("Copy");
        this.copiedText = _t("Copied");
    }

    get text() {
        return (this.props.record.data[this.props.name] || "").trimEnd();
    }

    get linesCount() {
        return this.text.split("\n").length;
    }

    get foldText() {
        return this.state.open
            ? _t("Hide traceback")
            : _t("Show traceback (%s lines)", this.linesCount);
    }

    toggle() {
        this.state.open = !this.state.open;
    }
}

export const jobTracebackField = {
    component: JobTracebackField,
    displayName: _t("Traceback"),
    supportedTypes: ["text"],
    supportedOptions: [{label: _t("Unfolded"), name: "open", type: "boolean"}],
    extractProps: ({options}) => ({open: Boolean(options.open)}),
};

registry.category("fields").add("job_traceback", jobTracebackField);
