# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What tests of the runner share: committed jobs, and a session over them."""

import select
import uuid
from contextlib import closing
from datetime import datetime, timedelta

import psycopg2

from odoo.tests import BaseCase, get_db_name

from .. import protocol
from ..channels import DatabaseTree
from ..channels.settings import stated_by
from ..jobrunner.channels import ChannelManager
from ..jobrunner.config import connection_info_for
from ..jobrunner.database import Database
from ..jobrunner.dispatch import Answer
from ..jobrunner.session import Session
from ..sql import statements

# Class of the advisory locks of keys.
KEY_LOCK_CLASS = int(statements.parts["key_lock_class"])


class RunnerCase(BaseCase):
    """Rows are committed by a connection of their own, and deleted afterwards.

    Jobs that the database has besides are left alone and out of the results.
    """

    def setUp(self):
        super().setUp()
        self.db_name = get_db_name()
        self.conn = self.connect()
        self.mine = set()
        self._db = None
        self.addCleanup(self._delete_jobs)

    def connect(self):
        """Return an autocommit connection that ends with the test."""
        conn = psycopg2.connect(**connection_info_for(self.db_name))
        conn.autocommit = True
        self.addCleanup(conn.close)
        return conn

    def sql(self, statement, *values, conn=None):
        with closing((conn or self.conn).cursor()) as cr:
            cr.execute(statement, values or None)
            return cr.fetchall() if cr.description else None

    def _delete_jobs(self):
        self.sql("DELETE FROM queue_job WHERE uuid = ANY(%s)", list(self.mine))

    def job(self, state="pending", conn=None, **columns):
        """Store a job and return its uuid."""
        values = {
            "uuid": str(uuid.uuid4()),
            "state": state,
            "priority": 10,
            "channel": "root",
            "date_created": datetime.utcnow(),
            "channel_method_name": "<test>.short",
            **columns,
        }
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        self.mine.add(values["uuid"])
        self.sql(
            f"INSERT INTO queue_job ({names}) VALUES ({marks})",
            *values.values(),
            conn=conn,
        )
        return values["uuid"]

    def old(self, seconds):
        """Return the time that many seconds ago, as Odoo stores it."""
        return datetime.utcnow() - timedelta(seconds=seconds)

    def update(self, uuid, conn=None, **columns):
        names = ", ".join(f"{name} = %s" for name in columns)
        self.sql(
            f"UPDATE queue_job SET {names} WHERE uuid = %s",
            *columns.values(),
            uuid,
            conn=conn,
        )

    def edge(self, parent=None, child=None, joint=None):
        ids = [each and self.value(each, "id") for each in (parent, child)]
        self.sql(
            "INSERT INTO queue_job_dependency (parent_id, child_id, joint) VALUES (%s, %s, %s)",
            *ids,
            joint,
        )

    def value(self, uuid, column="state"):
        return self.sql(f"SELECT {column} FROM queue_job WHERE uuid = %s", uuid)[0][0]

    def lock_row(self, uuid, in_table="queue_job_lock"):
        """Hold the liveness row of a job, as its worker does; return the connection."""
        self.sql(
            "INSERT INTO queue_job_lock (id, queue_job_id) SELECT id, id FROM queue_job "
            "WHERE uuid = %s ON CONFLICT (id) DO NOTHING",
            uuid,
        )
        conn = psycopg2.connect(**connection_info_for(self.db_name))
        self.addCleanup(conn.close)
        column = "queue_job_id" if in_table == "queue_job_lock" else "id"
        self.sql(
            f"SELECT FROM {in_table} WHERE {column} = (SELECT id FROM queue_job WHERE uuid = %s) "
            "FOR NO KEY UPDATE",
            uuid,
            conn=conn,
        )
        return conn

    def database(self):
        """Return the elected database of this test."""
        if self._db is None or self._db.conn is None:
            self._db = Database(self.db_name)
            self.addCleanup(self._db.close)
        return self._db

    def heard(self, db, count=1):
        """Wait until ``count`` jobs were told of, or with 0 until channels changed."""
        uuids, changed = db.poll()
        while len(uuids) < count or not (count or changed):
            ready, _w, _x = select.select([db.conn], [], [], 10)
            self.assertTrue(ready, f"told of {uuids} only")
            more, changed_too = db.poll()
            uuids |= more
            changed |= changed_too
        return uuids, changed

    def session(self, config="root:9", now=1000.0, begin=False, **options):
        """Return a loaded session; what it sends is in ``self.sent``.

        :param begin: take back what an earlier runner has sent; other jobs of this
            database as well
        """
        shared = ChannelManager()
        shared.simple_configure(config)
        self.sent = []
        tree = DatabaseTree(shared, stated_by(config))
        session = Session(self.database(), tree, self.sent.append, 100, **options)
        (session.begin if begin else session.load)(now)
        return session

    def dispatch(self, session, now=1000.0):
        """Do what the runner does in ``run_jobs``; return the uuids sent, by run."""
        before = len(self.sent)
        runs = []
        while (job := session.best(now)) is not None:
            if job.uuid in self.mine:
                runs.append(session.compose(job, now))
            else:
                job.channel.remove(job)
        session.send(runs, now)
        return [list(request.uuids) for request in self.sent[before:]]

    def answer(self, session, request, *outcomes, left=(), now=1001.0, **failure):
        """Let a request be answered.

        :param outcomes: ``(uuid, outcome)`` or ``(uuid, outcome, seconds)``
        """
        report = None
        if not failure:
            report = protocol.Report(left=list(left))
            for uuid_, outcome, *seconds in outcomes:
                report.add(uuid_, outcome, *seconds)
        session.answered(Answer(request, "http://test", report=report, **failure), now)
        session.apply_answers(now)


class SessionCase(RunnerCase):
    def teach(self, session, function="<test>.short", seconds=0.001):
        """Let the session know that a function is short."""
        for _ in range(50):
            session.durations.record(function, seconds)

    def tell(self, session, *uuids):
        """Let the session learn of jobs as a notification tells of them."""
        session.tracker.apply_changes(set(uuids))
