# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Merge records that modules declare with records that exist already.

Two modules may declare the same channel or job function, and a person may
have made it before: the second declaration updates the first record.
"""


def create_or_reuse(create, vals_list, find):
    """Create a record for each of ``vals_list``, or reuse the one there is.

    :param create: the overridden ``create``
    :param find: returns the existing record for some values, empty if none;
        it is updated, unless its XML id says noupdate
    """
    records = []
    for vals in vals_list:
        record = find(vals)
        if not record:
            record = create([vals])
        elif not record.get_metadata()[0]["noupdate"]:
            record.write(vals)
        records.append(record)
    return records[0].concat(*records[1:]) if records else create([])
