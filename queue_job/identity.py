# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Ready-made identity functions for ``with_delay(identity_key=...)``."""

import hashlib


def identity_exact_hasher(job):
    """Return the sha1 object of :func:`identity_exact`, to be fed with more.

    Model, method, ids in any order and arguments take part; the user, the
    company, the context and the properties of the job do not.
    """
    hasher = hashlib.sha1(usedforsecurity=False)
    for part in (
        job.model_name,
        job.method_name,
        str(sorted(job.recordset.ids)),
        str(job.args),
        str(sorted(job.kwargs.items())),
    ):
        hasher.update(part.encode("utf-8"))
    return hasher


def identity_exact(job):
    """Return a key that is equal for calls with exactly equal parameters."""
    return identity_exact_hasher(job).hexdigest()
