# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import models, server
from .hooks import uninstall_hook
