Channel options ``capacity_default`` and ``sequential_default``, and entries without a capacity, as in OCA's 18.0.
