# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_fields
from . import test_job_channel
from . import test_job_function
from . import test_migrations
from . import test_security
from . import test_security_rpc
from . import test_views
from . import test_wizards
from . import test_jobrunner_channel_config
from . import test_jobrunner_channels
from . import test_jobrunner_priority_queue
from . import test_jobrunner_tree
from . import test_jobrunner_database
