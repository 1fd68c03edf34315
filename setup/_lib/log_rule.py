"""The log of a test run holds no WARNING and no ERROR, except those that are listed here.

What a test provokes on purpose is inside ``assertLogs`` or ``mute_logger``, which keep it
from the log. Free of imports from this package: it is loaded inside Odoo.
"""

import logging
import re

# (logger, text of the message, why it is no fault of the suite): regular expressions that
# match from the beginning.
EXCEPTIONS = (
    (
        r"odoo\.addons\..*\.tests\.",
        r"(FAIL|ERROR): ",
        "Odoo's report of a test that failed, which is counted as such",
    ),
    (
        r"odoo\.(modules\.loading|tests\.result)$",
        r"(Module \S+: )?\d+ fail|At least one test failed",
        "Odoo's sums of tests that failed, or its remark that none was selected",
    ),
    (
        r"odoo\.",
        r"Chrome executable not found",
        "a machine without a browser: the test is skipped, and named at the end",
    ),
    (
        r"odoo\.addons\.base\.models\.assetsbundle$",
        r"'?Could not get content for mail/static/lib/selfie_segmentation/",
        "a file of Odoo's addon mail that Debian's package of Odoo leaves out",
    ),
    (
        r"odoo\.addons\.queue_job\.delay$",
        r".* never delayed",
        "comes when garbage is collected, in whichever test runs then; its tests assert it",
    ),
    (
        r"odoo\.addons\.queue_job\.jobrunner\.runner$",
        r"Re-queued dead job with uuid: test_",
        "rows in the data of test_queue_job, where its addons are tested together",
    ),
    (
        r"odoo\.addons\.queue_job\.models\.queue_job_channel$",
        r"channel \S+ has no record and no setting; limited by root only",
        "once for each channel and process, so in any of the tests that need no record",
    ),
    (
        r"odoo\.addons\.queue_job\.models\.queue_job_function$",
        r"job function \w+\.job_function_(fetch_credit_rating|count_visit): ",
        "an example of a readme, whose method no module has",
    ),
    (
        r"odoo\.addons\.queue_job\.tests\.test_screens\.TestWarningsFail\.",
        r"a warning of the page",
        "the test that such a warning fails a test of a page",
    ),
    (
        r"py\.warnings$",
        r"\S+/odoo/tools/babel/\S+ DeprecationWarning",
        "Odoo's export of terms uses names that newer releases of Babel keep to themselves",
    ),
)


class LogRule(logging.Handler):
    """Call ``fault(text)`` for each record at WARNING or above that is not excepted."""

    def __init__(self, fault):
        super().__init__(logging.WARNING)
        self._fault = fault

    def emit(self, record):
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            # Its arguments do not fit: a fault, and none that may end the test.
            text = "%s %% %r" % (record.msg, record.args)
        if not is_excepted(record.name, text):
            if record.exc_info:
                text += "\n" + logging.Formatter().formatException(record.exc_info)
            self._fault("%s %s: %s" % (record.levelname, record.name, text))


def is_excepted(logger, text):
    """Tell whether a line of the log is among EXCEPTIONS."""
    return any(
        re.match(name, logger) and re.match(words, text)
        for name, words, _reason in EXCEPTIONS
    )
