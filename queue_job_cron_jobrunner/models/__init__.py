# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import ir_cron
from . import queue_job
from . import queue_job_channel
from . import queue_job_cron_start
from . import queue_job_explain
from . import queue_job_overview
from . import queue_job_pick
from . import res_config_settings
