"""The git mirror: each device's text as a file, and a commit for each run and collector group.

It is made from the database alone and can be made anew from it at any time. The database tells which commit it stands
at and which revision each file holds; what git holds beyond that commit was interrupted, and is done again.
"""

from __future__ import annotations
