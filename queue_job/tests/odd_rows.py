# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Rows with anything that SQL lets into the columns that schedulers read."""

from hypothesis import strategies as st

_odd_texts = st.one_of(
    st.none(),
    st.sampled_from(
        (
            *("", " ", ".", "..", "root", "root.", ".a", "root..a", "ROOT.a", "\\"),
            *(
                "a,b",
                "100%",
                "%s",
                "%(now)s",
                "{}",
                "{0}",
                "a\nb",
                "1 = 1",
                "' OR 1=1 --",
            ),
            *(
                '"',
                "ü",
                "\U0001f600",
                "\u202e",
                "\ufffe",
                "\x7f",
                "a" * 256,
                "a" * 2000,
            ),
            *("root" + ".a" * 60, "root" + ".a" * 1200, "root." + "b" * 1100),
            *('{"depends_on": "a"}', '{"depends_on": [1, null]}', "{bad", "[]", "null"),
            '{"depends_on": ["a"], "reverse_depends_on": []}',
        )
    ),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")),
)
_dates = st.one_of(
    st.none(),
    st.sampled_from(
        (
            *("infinity", "-infinity", "4713-01-01 00:00:00 BC", "0001-01-01 00:00:00"),
            *("0001-01-01 00:00:00 BC", "1970-01-01 00:00:00", "9999-12-31 23:59:59.9"),
            *("10000-01-01 00:00:00", "294276-12-31 23:59:59", "2024-02-29 12:00:00"),
        )
    ),
    st.datetimes().map(str),
)
_numbers = st.one_of(
    st.none(),
    st.sampled_from((-(2**31), 2**31 - 1, 2**31 - 2, -1, 0, 1)),
    st.integers(-(2**31), 2**31 - 1),
)
_states = st.sampled_from(
    (
        *("pending", "enqueued", "started", "failed", "wait_dependencies", "done"),
        *("cancelled", "", "PENDING", "bogus", None),
    )
)

COLUMNS = {
    "state": _states,
    **dict.fromkeys(("date_created", "eta", "date_enqueued", "date_started"), _dates),
    **dict.fromkeys(
        ("priority", "retry", "max_retries", "run_number", "worker_pid"), _numbers
    ),
    **dict.fromkeys(
        ("uuid", "channel", "identity_key", "twin_key", "twin_states", "func_string"),
        _odd_texts,
    ),
    **dict.fromkeys(
        ("channel_method_name", "model_name", "method_name", "dependencies"), _odd_texts
    ),
    "to_report": st.sampled_from((None, True, False)),
}


def odd_rows():
    """Return the strategy of rows: ``{column: value}``, mostly with few odd columns."""
    return st.fixed_dictionaries({}, optional=COLUMNS)
