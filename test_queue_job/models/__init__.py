# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import queue_job
from . import test_queue_channel
from . import test_queue_job
from . import test_queue_record
from . import test_related_action
from . import test_third_party
