import {registry} from "@web/core/registry";

const ROW = "tr[data-channel='root.tour_live']";
const DONE = ".o_queue_job_tile_done .o_queue_job_figure";
// Milliseconds: the page asks a server that is slow, as under tests, every ten seconds.
const PATIENCE = 30000;
const LIST_ROW = ".o_data_row:contains(tour_live)";

/** Delay a job, as a module would; the server does so for tests only. */
async function delay(description, channel) {
    const query = new URLSearchParams({description, channel});
    const answer = await fetch(`/queue_job/create_test_job?${query}`);
    if (!answer.ok) {
        throw new Error(`No job was made: ${answer.status}`);
    }
}

// A runner and workers are alive: what the pages tell, they tell by themselves.
registry.category("web_tour.tours").add("queue_job_live", {
    steps: () => [
        {
            content: "A runner is alive",
            trigger: ".o_queue_job_alive",
            run: () => delay("live runs", "root.tour_live"),
        },
        {
            content: "The overview tells that the job runs",
            trigger: `${ROW} .o_queue_job_slots_text:contains(/^1/)`,
            timeout: PATIENCE,
        },
        {
            content: "The overview tells that it is done",
            trigger: `${DONE}:contains(/^1$/)`,
            timeout: PATIENCE,
        },
        {trigger: `${ROW} .o_queue_job_pause`, run: "click"},
        {
            content: "The channel is paused: a job waits, and another one passes it",
            trigger: `${ROW} .badge:contains(Paused)`,
            async run() {
                await delay("live waits", "root.tour_live");
                await delay("live passes", "root.tour_other");
            },
        },
        {
            content: "The other one is done",
            trigger: `${DONE}:contains(/^2$/)`,
            timeout: PATIENCE,
        },
        {
            content: "The job of the paused channel waits",
            trigger: `${ROW} .o_queue_job_waiting a:contains(1)`,
            run: "click",
        },
        {
            content: "The list tells why",
            trigger:
                ".o_data_row:contains(live waits):contains(tour_live is paused) [name=name]",
            run: "click",
        },
        {
            content: "So does the form",
            trigger:
                ".o_job_explanation[data-kind=paused]:contains(root.tour_live is paused)",
        },
        {trigger: ".breadcrumb a:contains(Overview)", run: "click"},
        {trigger: ".o_queue_job_overview a:contains(Set up)", run: "click"},
        {
            content: "The list of channels tells that a job waits",
            trigger: `${LIST_ROW}:contains(Paused) [name=waiting_text]:contains(1)`,
        },
        {trigger: `${LIST_ROW} .o_queue_job_resume`, run: "click"},
        {
            content: "It goes as soon as the channel is resumed",
            trigger: `${LIST_ROW} [name=waiting_text]:not(:contains(1))`,
            timeout: PATIENCE,
        },
        {trigger: `${LIST_ROW} button[name=action_open_jobs]`, run: "click"},
        {trigger: ".o_facet_remove", run: "click"},
        {
            content: "And it is done",
            trigger: ".o_data_row:contains(live waits) .badge:contains(Done)",
        },
    ],
});
