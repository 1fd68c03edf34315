# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which waiting job a cron worker takes: the channels of the runner, read anew each turn.

A cron worker keeps nothing in memory between two turns: other workers and nodes
move jobs too. It reads the settings of the channels, what runs and the first
of what waits, puts them in the tree that the regular runner uses too, and asks
that tree. So both have the same rules, written once.
"""

from odoo.addons.queue_job.jobrunner.channel_config import (
    ROOT,
    ChannelRecord,
    fault_of_name,
    full_name,
    settings_of,
    usable_records,
)
from odoo.addons.queue_job.jobrunner.channels import ChannelManager

# Jobs that one run takes at most; its time budget ends it earlier if they are not short.
RUN_LENGTH = 50


def stated_for_cron_workers(stated):
    """Return what a configuration states here: ``root:0`` switches off the regular runner only.

    :param stated: what :func:`stated_by` returns
    """
    root = dict(stated.get(ROOT, {}))
    if root.get("capacity") != 0:
        return stated
    del root["capacity"]
    return {**stated, ROOT: root}


def merged_settings(stated, records, cron_count):
    """Return ``{full name: (capacity, sequential, throttle, paused)}``.

    Without a capacity from anybody, root has one slot for each runner cron: who
    adds a cron wants it to work.

    :param stated: what :func:`stated_by` returns
    :param records: ``(name, capacity, sequential, throttle, paused)`` of channel records
    """
    stated = stated_for_cron_workers(stated)
    known = {name: ChannelRecord(name) for name in {ROOT, *stated}}
    for name, *settings in usable_records(ChannelRecord(*each) for each in records):
        if name:
            known[full_name(name)] = ChannelRecord(full_name(name), *settings)
    root_capacity = max(1, cron_count)
    return {
        name: settings_of(record, stated.get(name, {}), root_capacity)[1:]
        for name, record in known.items()
    }


class CronTree(ChannelManager):
    """The channels of the database with what runs and waits in them.

    :param settings: what :func:`merged_settings` returns
    :param last_starts: ``{full name: UNIX time}`` of throttled channels
    """

    def __init__(self, settings, last_starts):
        super().__init__()
        for name in sorted(settings):
            channel = self.get_channel_by_name(name, autocreate=True)
            channel.capacity, channel.sequential, channel.throttle, channel.paused = (
                settings[name]
            )
            if channel.throttle and name in last_starts:
                channel._pause_until = last_starts[name] + channel.throttle

    @property
    def root(self):
        return self._root_channel

    def _channel_for_job(self, channel_name):
        if fault_of_name(channel_name):
            # Its jobs are set aside, and no channel is made for them.
            channel_name = ROOT
        return self.get_channel_by_name(channel_name, autocreate=True)

    def sequential_channels(self):
        return [channel for channel in self.channels() if channel.sequential]

    def take_run(self, now):
        """Return the best job that may run and those to run after it, out of their queue.

        Empty when none may run. All are of one channel, so that one slot is
        enough for them, in their order; none comes before a job of another
        channel that has a better priority. In a throttled channel a run is one job.
        """
        best = self.root.best(now)
        if best is None:
            return []
        channel = best.channel
        channel.board(best)
        run = [best]
        limit = 1 if channel.is_throttled else RUN_LENGTH
        rival = self._best_priority_elsewhere(channel, now)
        while len(run) < limit:
            job = channel._queue.peek(now)
            if job is None or (rival is not None and (job.priority or 0) > rival):
                break
            channel.board(job)
            run.append(job)
        return run

    def _best_priority_elsewhere(self, channel, now):
        heads = [
            other._queue.first(now)
            for other in self.channels()
            if other is not channel and all(node.has_capacity() for node in other.path)
        ]
        return min(
            (job.priority or 0 for job in heads if job is not None), default=None
        )

    def pass_over(self, run):
        """Look past a run of which no job can be had now.

        A sequential channel waits for its first one.
        """
        channel = run[0].channel
        if channel.sequential:
            for job in list(channel._queue):
                channel.board(job)

    def throttled_names(self, channel):
        return [node.fullname for node in channel.path if node.throttle]
