"""Mails of other packages as notifiers of this one: see docs/integrations.md.

Each module here needs its package and nothing else does: `auth` Django's own, `allauth` and
`dj_rest_auth` theirs.
"""
