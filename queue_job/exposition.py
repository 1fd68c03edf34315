# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A page of metrics as text: Prometheus 0.0.4, or OpenMetrics 1.0 when asked for.

Both formats are lines of ``name{labels} value``. No library is used: the one that exists
keeps its own registry of counters, and a page is made here from figures in memory.
"""

OPENMETRICS = "application/openmetrics-text"
CONTENT_TYPES = {
    False: "text/plain; version=0.0.4; charset=utf-8",
    True: f"{OPENMETRICS}; version=1.0.0; charset=utf-8",
}

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def label_text(labels):
    """Return ``a="x",b="y"`` for a dict of labels."""
    return ",".join(
        f'{name}="{str(value).translate(_ESCAPES)}"' for name, value in labels.items()
    )


def number_text(value):
    """Return a number as both formats write it."""
    if value == float("inf"):
        return "+Inf"
    return repr(float(value)) if isinstance(value, float) else str(int(value))


class Histogram:
    """Counts of observations by bucket.

    :param bounds: upper bounds of the buckets, ascending; +Inf is added
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds):
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value):
        self.total += value
        for number, bound in enumerate(self.bounds):
            if value <= bound:
                self.counts[number] += 1
                return
        self.counts[-1] += 1


class Page:
    """A page of metrics, family by family.

    :param is_openmetrics: the second format of :data:`CONTENT_TYPES`
    """

    def __init__(self, is_openmetrics=False):
        self.is_openmetrics = is_openmetrics
        self._lines = []

    def gauge(self, name, purpose, samples):
        """Add a family; one without samples is left out.

        :param samples: pairs of a dict of labels and a number
        """
        self._family(name, "gauge", purpose, name, samples)

    def counter(self, name, purpose, samples):
        """Add a family of counters; the name ends with ``_total``."""
        family = name.removesuffix("_total") if self.is_openmetrics else name
        self._family(family, "counter", purpose, name, samples)

    def histogram(self, name, purpose, samples):
        """Add a family of histograms.

        :param samples: pairs of a dict of labels and a :class:`Histogram`
        """
        samples = list(samples)
        if not samples:
            return
        self._head(name, "histogram", purpose)
        for labels, histogram in samples:
            text, count = label_text(labels), 0
            bounds = (*histogram.bounds, float("inf"))
            for bound, number in zip(bounds, histogram.counts, strict=True):
                count += number
                le = number_text(float(bound))
                self._lines.append(f'{name}_bucket{{{text},le="{le}"}} {count}')
            self._lines.append(f"{name}_sum{{{text}}} {number_text(histogram.total)}")
            self._lines.append(f"{name}_count{{{text}}} {count}")

    def text(self):
        """Return the page."""
        end = ["# EOF", ""] if self.is_openmetrics else [""]
        return "\n".join(self._lines + end)

    def _family(self, family, kind, purpose, name, samples):
        samples = list(samples)
        if not samples:
            return
        self._head(family, kind, purpose)
        for labels, value in samples:
            self._lines.append(f"{name}{{{label_text(labels)}}} {number_text(value)}")

    def _head(self, family, kind, purpose):
        self._lines.append(f"# HELP {family} {purpose.translate(_ESCAPES)}")
        self._lines.append(f"# TYPE {family} {kind}")
