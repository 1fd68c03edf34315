# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Facts for the screens: why a job waits, figures of channels, timelines, pictures."""
