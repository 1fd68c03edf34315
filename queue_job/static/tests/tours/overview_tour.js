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
            content: "It is not paused any more",
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

const BACK = {trigger: ".breadcrumb-item:contains(Overview) a", run: "click"};

registry.category("web_tour.tours").add("queue_job_overview_lists", {
    steps: () => [
        {
            content: "One job waits, one is for later",
            trigger: ".o_queue_job_tile_waiting .o_queue_job_figure:contains(1)",
        },
        {trigger: ".o_queue_job_tile_waiting", run: "click"},
        {
            content: "The list has the one that waits, and not the other",
            trigger:
                ".o_list_view:not(:contains(not yet)) .o_data_row:contains(right now)",
        },
        BACK,
        {trigger: ".o_queue_job_tile_later", run: "click"},
        {
            trigger:
                ".o_list_view:not(:contains(right now)) .o_data_row:contains(not yet)",
        },
        BACK,
        {
            trigger: "tr[data-channel='root.tour_channel'] .o_queue_job_later a",
            run: "click",
        },
        {
            trigger:
                ".o_list_view:not(:contains(right now)) .o_data_row:contains(not yet)",
        },
    ],
});
