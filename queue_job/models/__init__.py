# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import ir_model_fields
from . import queue_job_channel
from . import queue_job_function
from . import queue_job_function_checks
from . import queue_job_lock
from . import base
from . import queue_job
from . import queue_job_graph
from . import queue_job_store
from . import queue_job_dependency
from . import queue_job_key
from . import queue_job_attempt
from . import queue_job_explain
from . import queue_job_failure
from . import queue_job_record
from . import queue_job_timeline
