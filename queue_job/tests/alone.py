# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What this addon does by itself, tested in a database that has others of the suite."""


def without_extensions(add_cleanup, model, *names):
    """Take some methods of a model from the addons that build on this one."""
    for definition in type(model).__mro__:
        if definition.__module__.startswith("odoo.addons.queue_job_"):
            for name in names:
                if name in vars(definition):
                    add_cleanup(setattr, definition, name, vars(definition)[name])
                    delattr(definition, name)


def rename_channels_of_others(env):
    """Let a test make channels of any name: other addons of the database declare some."""
    for channel in env["queue.job.channel"].search([("parent_id.name", "=", "root")]):
        channel.name = f"other {channel.id}"
