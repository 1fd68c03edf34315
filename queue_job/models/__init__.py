# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import ir_model_fields
from . import queue_job_channel
from . import queue_job_function
from . import queue_job_lock
from . import base
from . import queue_job
from . import queue_job_move
from . import queue_job_dependency
from . import queue_job_key
from . import queue_job_attempt
from . import queue_job_failure
from . import queue_job_record_mixin
from . import queue_job_minute
from . import queue_job_hour
from . import queue_job_runner
from . import queue_job_deploy
from . import queue_job_overview
