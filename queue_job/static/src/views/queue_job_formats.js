import {_t} from "@web/core/l10n/translation";
import {formatFloat, formatInteger} from "@web/views/fields/formatters";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * Return the age of what goes on, which needs no seconds beside minutes: they
 * would change at each look.
 */
export function formatAge(seconds) {
    if (seconds === null || seconds === undefined || seconds === false) {
        return "";
    }
    const whole = Math.floor(seconds);
    const [days, hours, minutes] = [
        whole / DAY,
        (whole / HOUR) % 24,
        (whole / MINUTE) % 60,
    ].map(Math.floor);
    if (days) {
        return hours ? _t("%(days)s d %(hours)s h", {days, hours}) : _t("%s d", days);
    }
    if (hours) {
        return minutes
            ? _t("%(hours)s h %(minutes)s min", {hours, minutes})
            : _t("%s h", hours);
    }
    return minutes ? _t("%s min", minutes) : _t("%s s", whole);
}

/**
 * Return how long something took, with two units at most; nothing for no time at all.
 *
 * @param {number|false|null} seconds
 * @returns {string}
 */
export function formatDuration(seconds) {
    if (!seconds || seconds < 0) {
        return "";
    }
    if (seconds < 0.1) {
        return _t("%s ms", Math.max(Math.round(seconds * 1000), 1));
    }
    if (seconds < 10) {
        const digits = Number.isInteger(Math.round(seconds * 10) / 10) ? 0 : 1;
        return _t("%s s", formatFloat(seconds, {digits: [16, digits]}));
    }
    const whole = Math.round(seconds);
    if (whole > MINUTE && whole < HOUR && whole % MINUTE) {
        return _t("%(minutes)s min %(seconds)s s", {
            minutes: Math.floor(whole / MINUTE),
            seconds: whole % MINUTE,
        });
    }
    return formatAge(whole);
}

/** Return a count, and whether it is an estimate or only the least there can be. */
export function formatNumber({count, exact, estimated}) {
    const text = formatInteger(count);
    if (exact) {
        return text;
    }
    return estimated ? `≈ ${text}` : `${text}+`;
}
