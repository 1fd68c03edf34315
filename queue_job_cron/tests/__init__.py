# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_every_screen
from . import test_ir_cron
from . import test_perform
from . import test_readme
from . import test_translations
