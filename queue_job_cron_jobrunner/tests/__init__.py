# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_alarm
from . import test_cron_pass
from . import test_every_screen
from . import test_hooks
from . import test_job_runner
from . import test_limits
from . import test_lost_backends
from . import test_outcomes
from . import test_readme
from . import test_rows
from . import test_screens
from . import test_server
from . import test_translations
from . import test_tree
from . import test_pick
