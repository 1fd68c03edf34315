# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Which waiting job a cron worker takes: the channels of the runner, read anew each time.

A cron worker keeps nothing in memory between two picks: other workers and nodes
move jobs too. It reads the settings of the channels, the running jobs and the first
waiting ones, puts them in the tree that the regular runner uses too, and asks
that tree. So both have the same rules, written once.
"""

from odoo.addons.queue_job.channels import ROOT, DatabaseTree

# Jobs of one bundle at most; its time budget ends it earlier if they are not short.
BUNDLE_LENGTH = 50


def stated_for_cron_workers(stated):
    """Return what a configuration states here: ``root:0`` switches off the regular runner only.

    :param stated: what :func:`stated_by` returns
    """
    root = dict(stated.get(ROOT, {}))
    if root.get("capacity") != 0:
        return stated
    del root["capacity"]
    return {**stated, ROOT: root}


class CronTree(DatabaseTree):
    """The channels of the database with their running and waiting jobs.

    Root has one slot for each runner cron, if it has no other capacity: an
    administrator who adds a cron wants it to work.

    :param stated: what :func:`stated_by` returns
    :param records: of channels, each a :class:`ChannelRecord`
    :param last_starts: ``{full name: UNIX time}`` of throttled channels
    """

    def __init__(self, stated, records=(), cron_count=1, last_starts=None):
        stated = stated_for_cron_workers(stated)
        super().__init__(None, stated, records, max(1, cron_count))
        for name in sorted(self.settings.names):
            channel = self.get_channel_by_name(name, autocreate=True)
            if channel.throttle and name in (last_starts or {}):
                channel.wait_until(last_starts[name] + channel.throttle)

    def sequential_channels(self):
        return [channel for channel in self.channels() if channel.sequential]

    def take_bundle(self, now):
        """Return the best job that may run and those to run after it, out of their queue.

        Empty when none may run. All are of one channel, so that one slot is
        enough for them, in their order; none comes before a job of another
        channel that has a better priority. In a throttled channel a bundle is one job.
        """
        best = self.root.best(now)
        if best is None:
            return []
        channel = best.channel
        channel.board(best)
        bundle = [best]
        limit = 1 if channel.is_throttled else BUNDLE_LENGTH
        rival = self._best_priority_elsewhere(channel, now)
        while len(bundle) < limit:
            job = channel.queue.peek(now)
            if job is None or (rival is not None and (job.priority or 0) > rival):
                break
            channel.board(job)
            bundle.append(job)
        return bundle

    def _best_priority_elsewhere(self, channel, now):
        heads = [
            other.queue.first(now)
            for other in self.channels()
            if other is not channel and all(node.has_capacity() for node in other.path)
        ]
        return min(
            (job.priority or 0 for job in heads if job is not None), default=None
        )

    def pass_over(self, bundle):
        """Skip a bundle of which no job can be had now.

        A sequential channel waits for its first one.
        """
        channel = bundle[0].channel
        if channel.sequential:
            for job in list(channel.queue):
                channel.board(job)

    def throttled_names(self, channel):
        return [node.fullname for node in channel.path if node.throttle]
