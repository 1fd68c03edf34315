import {_t} from "@web/core/l10n/translation";
import {formatFloat, formatInteger} from "@web/views/fields/formatters";

/** Return seconds as people say them, with two units at most. */
export function formatAge(seconds) {
    if (seconds === null || seconds === undefined || seconds === false) {
        return "";
    }
    const whole = Math.floor(seconds);
    const [days, hours, minutes] = [
        whole / 86400,
        (whole / 3600) % 24,
        (whole / 60) % 60,
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

/** Return the seconds of a run. */
export function formatRun(seconds) {
    if (seconds >= 120) {
        return formatAge(seconds);
    }
    const digits = Number.isInteger(seconds) ? 0 : seconds < 10 ? 2 : 1;
    return _t("%s s", formatFloat(seconds, {digits: [16, digits]}));
}

/** Return a count, and whether it is an estimate or only the least there can be. */
export function formatNumber({count, exact, estimated}) {
    const text = formatInteger(count);
    if (exact) {
        return text;
    }
    return estimated ? `≈ ${text}` : `${text}+`;
}
