"""What Odoo sees of OCA's queue_job 19.0, written from the suite's description of it.

Models have fields and no behaviour. For the test of the switch from there and back.
"""

from . import models
from .post_init_hook import post_init_hook
