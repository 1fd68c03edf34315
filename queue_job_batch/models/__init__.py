# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import base
from . import queue_job
from . import queue_job_batch
from . import res_config_settings
from . import res_users
