"""DeviceVault under faults: what is asked for while services, daemons, ports and disks fail ends in one true row.

``campaign`` runs everything; ``nemesis`` knows the faults, ``verdict`` judges. ``test_faults`` runs it small in
``make test``, ``python -m tests.durability`` large in ``make soak``.
"""
