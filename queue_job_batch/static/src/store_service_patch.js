import {Store} from "@mail/core/common/store_service";
import {registry} from "@web/core/registry";
import {patch} from "@web/core/utils/patch";

patch(Store.prototype, {
    setup(...values) {
        super.setup(...values);
        this.hasQueueJobBatchUserGroup = false;
        this.queueJobBatches = [];
        this.queueJobBatchCounter = 0;
        this.queueJobBatchCounterBusId = 0;
    },
});

/** Follow the batches of the user; the list itself is read when it is opened. */
export const queueJobBatchService = {
    dependencies: ["bus_service", "mail.store"],
    start(env, {bus_service: bus, "mail.store": store}) {
        bus.subscribe("queue.job.batch/updated", (payload, {id}) => {
            if (id <= store.queueJobBatchCounterBusId) {
                return;
            }
            store.queueJobBatchCounterBusId = id;
            if (payload.batch_created) {
                store.queueJobBatchCounter++;
            }
            if (payload.batch_read) {
                store.queueJobBatchCounter = Math.max(
                    store.queueJobBatchCounter - 1,
                    0
                );
            }
        });
        bus.start();
    },
};

registry.category("services").add("queue_job_batch.bus", queueJobBatchService);
