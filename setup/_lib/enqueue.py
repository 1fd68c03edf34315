"""Fed to ``odoo shell``: make partners, delay jobs on them, give back what was stored."""

import os

companies = env["res.partner"].create(  # noqa: F821 - the shell provides env
    [
        {
            "name": "Demo company %d" % company,
            "is_company": True,
            "child_ids": [
                (0, 0, {"name": "Contact %d.%d" % (company, contact)})
                for contact in range(1, company + 1)
            ],
        }
        for company in range(1, 6)
    ]
)
jobs = companies._queue_job_demo_start()
env.cr.commit()  # noqa: F821 - from here on the jobs exist for the runner
result({"pid": os.getpid(), "jobs": jobs})  # noqa: F821
