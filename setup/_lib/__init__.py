"""Provision, run and test the suite; imported by the entry points of setup/ only.

Two stages. ``bootstrap`` needs nothing but the standard library: it makes the
virtual environment and starts the entry point again inside it. Everything else
runs there and may use what Odoo itself needs, such as psycopg2.
"""
