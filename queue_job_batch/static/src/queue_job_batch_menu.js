import {Component} from "@odoo/owl";

import {Dropdown} from "@web/core/dropdown/dropdown";
import {useDropdownState} from "@web/core/dropdown/dropdown_hooks";
import {registry} from "@web/core/registry";
import {useService} from "@web/core/utils/hooks";

/** The unread batches of the user: a number, and a list when it is opened. */
export class QueueJobBatchMenu extends Component {
    static components = {Dropdown};
    static props = [];
    static template = "queue_job_batch.QueueJobBatchMenu";

    setup() {
        this.store = useService("mail.store");
        this.action = useService("action");
        this.orm = useService("orm");
        this.dropdown = useDropdownState();
    }

    get batches() {
        return this.store.queueJobBatches;
    }

    beforeOpen() {
        return this.store.fetchStoreData("systray_get_queue_job_batches");
    }

    percent(ratio) {
        return `width: ${Math.round(ratio * 100)}%`;
    }

    running(batch) {
        return batch.job_count - batch.finished_job_count - batch.failed_job_count;
    }

    async markAsRead(batch) {
        await this.orm.call("queue.job.batch", "set_read", [[batch.id]]);
        await this.store.fetchStoreData("systray_get_queue_job_batches");
    }

    openBatch(batch) {
        this.dropdown.close();
        this.action.doAction(
            {
                type: "ir.actions.act_window",
                res_model: "queue.job.batch",
                res_id: batch.id,
                views: [[false, "form"]],
            },
            {clearBreadcrumbs: true}
        );
    }

    openAll() {
        this.dropdown.close();
        this.action.doAction("queue_job_batch.action_view_your_queue_job_batch", {
            clearBreadcrumbs: true,
        });
    }
}

registry
    .category("systray")
    .add(
        "queue_job_batch.QueueJobBatchMenu",
        {Component: QueueJobBatchMenu},
        {sequence: 90}
    );
