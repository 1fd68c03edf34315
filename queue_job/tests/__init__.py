# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_fields
from . import test_job_channel
from . import test_job_function
from . import test_migrations
from . import test_security
from . import test_views
from . import test_wizards
