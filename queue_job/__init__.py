# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import controllers
from . import fields
from . import models
from . import wizards
from . import jobrunner
from .identity import identity_exact
from .post_init_hook import post_init_hook
from .uninstall_hook import uninstall_hook
