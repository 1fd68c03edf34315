import {expect, test} from "@odoo/hoot";
import {queryOne} from "@odoo/hoot-dom";
import {animationFrame, mockDate} from "@odoo/hoot-mock";
import {mountWithCleanup} from "@web/../tests/web_test_helpers";
import {defineMailModels} from "@mail/../tests/mail_test_helpers";

import {Component, useState, xml} from "@odoo/owl";
import {ThroughputChart} from "@queue_job/views/overview/throughput_chart";

class Page extends Component {
    static template = xml`<ThroughputChart series="state.series"/>`;
    static components = {ThroughputChart};
    static props = {};

    setup() {
        this.state = useState({series: nothing()});
    }
}

function nothing() {
    return {width: 1, points: Array.from({length: 60}, () => [0, 0])};
}

defineMailModels();

test("the times below the bars go on while nothing ends", async () => {
    mockDate("2026-01-01 10:00:00", 0);
    const page = await mountWithCleanup(Page);
    const lastTime = () => Chart.getChart(queryOne("canvas")).data.labels.at(-1);
    expect(lastTime()).toMatch(/10:00/);
    mockDate("2026-01-01 10:05:00", 0);
    page.state.series = nothing();
    await animationFrame();
    expect(lastTime()).toMatch(/10:05/);
});
