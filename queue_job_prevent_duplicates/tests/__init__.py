# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_duplicates
from . import test_every_screen
from . import test_job_function
from . import test_races
from . import test_readme
from . import test_stored_jobs
from . import test_translations
