Databases without due jobs go dormant after five minutes of silence (``dormant_after``): they cost the
runner no connection, and are woken by their next job or eta. ``max_capacity`` and
``db_max_capacity`` limit all databases together and each.
