"""Learners at work: schemes, contest, champion, corrections. Pure: no transport, no database."""
