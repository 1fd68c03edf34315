When Odoo neutralizes a copy of a database, the channel *root* is paused in it: waiting jobs do
not do the work of the original a second time.
