# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_batch
from . import test_derive
from . import test_readme
from . import test_switch
from . import test_translations
from . import test_web
