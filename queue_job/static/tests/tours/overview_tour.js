import {registry} from "@web/core/registry";
import {rpc} from "@web/core/network/rpc";
import {stepUtils} from "@web_tour/tour_utils";

const run = (method) => () =>
    rpc(`/web/dataset/call_kw/queue.job/${method}`, {
        model: "queue.job",
        method,
        args: [[odoo.queueJobTour.id]],
        kwargs: {},
    });

registry.category("web_tour.tours").add("queue_job_overview", {
    steps: () => [
        stepUtils.showAppsMenuItem(),
        {
            content: "The menu opens the overview",
            trigger: ".o_app[data-menu-xmlid='queue_job.menu_queue_job_root']",
            run: "click",
        },
        {
            content: "One job waits",
            trigger:
                "tr[data-channel='root.tour_channel'] .o_queue_job_waiting:contains(1)",
            async run() {
                const [job] = await rpc("/web/dataset/call_kw/queue.job/search_read", {
                    model: "queue.job",
                    method: "search_read",
                    args: [[["channel", "=", "root.tour_channel"]], ["id"]],
                    kwargs: {},
                });
                odoo.queueJobTour = job;
                await run("button_done")();
            },
        },
        {
            content: "The page tells by itself that it waits no more",
            timeout: 30000,
            trigger:
                "tr[data-channel='root.tour_channel'] .o_queue_job_waiting:not(:contains(1))",
        },
        {
            content: "Look at the day",
            trigger: ".o_queue_job_day",
            run: "click",
        },
        {
            content: "Pause the channel here",
            trigger: "tr[data-channel='root.tour_channel'] .o_queue_job_pause",
            run: "click",
        },
        {
            content: "It is paused",
            trigger: "tr[data-channel='root.tour_channel'] .badge:contains(Paused)",
        },
        {
            content: "Resume it",
            trigger: "tr[data-channel='root.tour_channel'] .o_queue_job_resume",
            run: "click",
        },
        {
            content: "Open its jobs",
            trigger: "tr[data-channel='root.tour_channel'] .o_queue_job_pause",
        },
        {
            content: "Open what failed",
            trigger: ".o_queue_job_tile_failed",
            run: "click",
        },
        {content: "The list of jobs is open", trigger: ".o_list_view"},
    ],
});
