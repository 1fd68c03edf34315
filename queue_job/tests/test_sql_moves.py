# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The moves that SQL makes are those of the table: from, to, and the columns written."""

import ast
import itertools
import re
from typing import NamedTuple

from odoo.tests import BaseCase, TransactionCase, tagged

from odoo.addons.queue_job.states import MOVES, STATES, Move

from .source import ADDON, SATELLITES, name_of, sources, strings
from .test_sql import entries

ALL_STATES = {state for state, _label in STATES}
# Statements that write a state without naming that of before, and why none can slip in.
_LOCKED = "its row was locked in the same transaction, in a state that fits"
UNGUARDED = {
    "release": _LOCKED,
    "queue_job_write_done": "the worker holds the liveness lock of this very run",
    "queue_job_claim_first": "its row is locked in the state that is its parameter",
}
# Columns of a move that one statement leaves out.
LEFT_OUT = {"fail_plainly": {"exc_cause"}}  # known only where the ORM reads the cause
# Moves of which a parameter chooses one.
CHOSEN = {"queue_job_claim_first": ("claim", "claim pending")}
# Moves of the table that SQL makes; the others go through queue.job.write only.
MADE_BY_SQL = {
    *(
        "enqueue",
        "put back",
        "refuse",
        "claim",
        "claim pending",
        "finish",
        "fail",
        "release",
    ),
    *("requeue dead", "fail dead"),
}

_UPDATE = re.compile(
    r"\bUPDATE\s+queue_job(?:\s+(?:AS\s+)?(?!SET\b)\w+)?\s+SET\b", re.I
)
_WORD = re.compile(r"'(?:[^']|'')*'|\w+|.", re.S)
_FUNCTION = re.compile(r"CREATE OR REPLACE FUNCTION (\w+)")
_IS_STATE = re.compile(
    r"\bstate\s+(?:IS\s+NOT\s+DISTINCT\s+FROM|=|IN)\s*(\([^)]*\)|'\w+')", re.I
)
_LITERAL = re.compile(r"'(\w+)'")
_LOCK = re.compile(r"\bSELECT\b(?:(?!\bSELECT\b)[^;])*?\bFOR NO KEY UPDATE\b", re.S)


class Written(NamedTuple):
    """One UPDATE of a state.

    :param sources: states that the row must have, as the statement says
    :param columns: text of the new value by column, the state left out
    """

    name: str
    sources: frozenset
    targets: tuple
    columns: dict


def updates(name, text):
    """Yield what a text writes of states; ``name`` says where the text stands."""
    _before, *functions = _FUNCTION.split(text)
    if functions:
        for function, body in zip(functions[::2], functions[1::2], strict=True):
            yield from updates(function, body)
        text = _before
    text = re.sub(r"--[^\n]*", "", text)
    for match in _UPDATE.finditer(text):
        assigned, condition = assignments(text[match.end() :])
        if "state" in assigned:
            guard = {*states_in(condition)} or {
                state for lock in _LOCK.findall(text) for state in states_in(lock)
            }
            yield Written(
                name,
                frozenset(guard),
                tuple(_LITERAL.findall(assigned.pop("state"))),
                assigned,
            )


def states_in(condition):
    for found in _IS_STATE.findall(condition):
        yield from _LITERAL.findall(found)


def assignments(text):
    """Return ``{column: value}`` of a SET clause, and the text behind until its end."""
    assigned, column, value, depth, place = {}, "", "", 0, 0
    for match in _WORD.finditer(text):
        word = match[0]
        ends = depth == 0 and (
            word in (")", ";") or word.upper() in ("FROM", "WHERE", "RETURNING")
        )
        if ends or (depth == 0 and word == ","):
            column, _equals, value = value.partition("=")
            assigned[column.strip()] = value.strip()
            value = ""
            if ends:
                break
            continue
        # An expression may have a FROM or a comma of its own.
        depth += word in ("(",) or word.upper() == "CASE"
        depth -= word in (")",) or word.upper() == "END"
        value += word
        place = match.end()
    else:
        column, _equals, value = value.partition("=")
        assigned[column.strip()] = value.strip()
    rest, depth = "", 0
    for match in _WORD.finditer(text, place):
        depth += (match[0] == "(") - (match[0] == ")")
        if depth < 0 or match[0] == ";" or match[0].upper() == "RETURNING":
            break
        rest += match[0]
    return assigned, rest


def moves_of(written):
    """Return the names of moves that an UPDATE makes, one for each target; or None."""
    chosen = CHOSEN.get(written.name)
    if chosen:
        moves = [MOVES[name] for name in chosen]
        columns = set().union(*(move.sets for move in moves))
        fits = written.columns.keys() == columns and all(
            written.targets == (move.target,) for move in moves
        )
        return chosen if fits else None
    columns = written.columns.keys() | LEFT_OUT.get(written.name, set())
    by_target = [
        [
            name
            for name, move in MOVES.items()
            if move.target == target and written.sources <= set(move.sources)
        ]
        for target in written.targets
    ]
    for names in itertools.product(*by_target):
        moves = [MOVES[name] for name in names]
        cleared = {column for move in moves for column in move.clears}
        if columns == cleared.union(*(move.sets for move in moves)) and all(
            written.columns[column] == "NULL" for column in cleared
        ):
            return names
    return None


def all_written():
    for _file, _kind, name, text in entries():
        yield from updates(name, text)
    for path in sources(ADDON, *SATELLITES):
        for function, text in strings(ast.parse(path.read_text())):
            yield from updates(f"{name_of(path)}: {function}", text)


class MovesCase:
    def check(self, found):
        for written in found:
            with self.subTest(written.name, targets=written.targets):
                self.assertTrue(written.targets)
                self.assertEqual(
                    not written.sources, written.name in UNGUARDED, "no state of before"
                )
                self.assertIsNotNone(
                    moves_of(written), f"not in the table of moves: {written}"
                )


@tagged("standard", "at_install")
class TestMovesOfStatements(BaseCase, MovesCase):
    def test_statements_make_moves_of_the_table(self):
        self.check(all_written())

    def test_moves_of_sql_are_made_from_all_their_states(self):
        """Each move that SQL is to make is made, from all of its states."""
        made, sources_of = set(), {}
        for written in all_written():
            for name in moves_of(written) or ():
                made.add(name)
                sources_of.setdefault(name, set()).update(
                    written.sources or MOVES[name].sources
                )
        self.assertEqual(made, MADE_BY_SQL)
        for name, states in sources_of.items():
            with self.subTest(name):
                self.assertEqual(states, set(MOVES[name].sources))

    def test_table_is_sound(self):
        for name, move in MOVES.items():
            with self.subTest(name):
                self.assertIsInstance(move, Move)
                self.assertLessEqual({move.target, *move.sources}, ALL_STATES)
                self.assertNotIn(move.target, move.sources)
                self.assertNotIn("state", {*move.sets, *move.clears})

    def test_comparison_finds_what_differs(self):
        """Another column, target, source or value than the table's is found."""
        right = (
            "UPDATE queue_job SET state = 'pending', date_enqueued = NULL "
            "WHERE uuid = %s AND state IS NOT DISTINCT FROM 'enqueued' RETURNING uuid"
        )
        (written,) = updates("x", right)
        self.assertEqual(moves_of(written), ("put back",))
        for old, new in (
            ("'enqueued'", "'done'"),
            ("'pending'", "'failed'"),
            ("= NULL", "= now()"),
            (", date_enqueued = NULL", ""),
            ("= NULL", "= NULL, retry = 0"),
            ("NULL WHERE", "NULL, eta = (SELECT a, b FROM c) WHERE"),
        ):
            with self.subTest(new):
                (written,) = updates("x", right.replace(old, new))
                self.assertIsNone(moves_of(written))
        (written,) = updates("x", right.replace("state IS", "true OR eta IS"))
        self.assertFalse(written.sources)


@tagged("post_install", "-at_install")
class TestMovesOfFunctions(TransactionCase, MovesCase):
    def test_functions_in_the_database_make_moves_of_the_table(self):
        """As they are installed, by this addon and by all others."""
        self.env.cr.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE prosrc ~* 'update\\s+queue_job\\y'"
        )
        found = [
            written
            for name, source in self.env.cr.fetchall()
            for written in updates(name, source)
        ]
        self.assertLessEqual(
            {"queue_job_claim_first", "queue_job_write_done"},
            {each.name for each in found},
        )
        self.check(found)
