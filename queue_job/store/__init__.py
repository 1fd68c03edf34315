# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The rows of jobs: loaded, stored, linked, reserved, released and moved."""
