``python3 -m odoo.addons.queue_job.doctor`` and a button on the overview check the whole set-up.
