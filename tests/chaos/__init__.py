"""A storm over real processes: workers killed, servers restarted, and a ledger that judges it.

The mail server (`sink`) writes down each mail that it takes before it answers. `storm` runs a
project's workers against it, breaks things at moments that a seed draws, and `ledger` compares what
was promised, what was taken, and what the rows say.
"""
