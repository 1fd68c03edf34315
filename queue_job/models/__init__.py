# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import ir_model_fields
from . import queue_job_channel
from . import queue_job_function
from . import queue_job_lock
