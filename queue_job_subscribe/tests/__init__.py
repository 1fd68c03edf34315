# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_readme
from . import test_subscribe
from . import test_translations
