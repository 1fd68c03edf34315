import {onMounted, onWillUnmount, status, useComponent} from "@odoo/owl";

import {browser} from "@web/core/browser/browser";

// Milliseconds until the next try after one that failed.
const AFTER_ERROR = 10000;

/**
 * Call something again and again while the page is looked at.
 *
 * The next call comes ``interval`` after the last one is answered, never while
 * the page is hidden; then at once when it is shown again. Whoever fails is
 * asked less often.
 *
 * @param {() => Promise} callback
 * @param {number} interval milliseconds
 */
export function usePoll(callback, interval) {
    const component = useComponent();
    let timer;

    async function round() {
        browser.clearTimeout(timer);
        if (document.hidden) {
            return;
        }
        let wait = interval;
        try {
            await callback();
        } catch (error) {
            if (status(component) === "destroyed") {
                return;
            }
            // eslint-disable-next-line no-console -- the page goes on with what it has
            console.warn("The job queue could not be asked for its state:", error);
            wait = AFTER_ERROR;
        }
        plan(wait);
    }

    function plan(wait) {
        browser.clearTimeout(timer);
        if (status(component) !== "destroyed") {
            timer = browser.setTimeout(round, wait);
        }
    }

    const onVisible = () => document.hidden || round();
    onMounted(() => {
        document.addEventListener("visibilitychange", onVisible);
        plan(interval);
    });
    onWillUnmount(() => {
        document.removeEventListener("visibilitychange", onVisible);
        browser.clearTimeout(timer);
    });
}
