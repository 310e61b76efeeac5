"""The tables of a study's database; times are in milliseconds."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

study_info = sa.Table(
    "tintype_study",
    metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(128), nullable=False),
)

sessions = sa.Table(
    "tintype_sessions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("secret", sa.String(64), nullable=False, unique=True),  # SHA-256 of the cookie
    sa.Column("form_key", sa.String(32), nullable=False),
    sa.Column("code", sa.String(16), nullable=False, unique=True),
    sa.Column("assignment", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("last_seen_ms", sa.BigInteger, nullable=False),
    sa.Column("finished", sa.Boolean, nullable=False, default=False),
    sa.Column("withdrawn", sa.Boolean, nullable=False, default=False),
    sa.UniqueConstraint("assignment", "attempt"),
)

trials = sa.Table(
    "tintype_trials",
    metadata,
    sa.Column("session", sa.ForeignKey(sessions.c.id), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("photo", sa.Integer, nullable=False),
    sa.Column("system", sa.String(256), nullable=False),
    sa.Column("true_side", sa.String(8), nullable=False),
    sa.Column("left_token", sa.String(32), nullable=False),
    sa.Column("right_token", sa.String(32), nullable=False),
    sa.Column("presented_ms", sa.BigInteger),
    sa.Column("presentations", sa.Integer, nullable=False, default=0),
)

answers = sa.Table(
    "tintype_answers",
    metadata,
    sa.Column("session", sa.Integer, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),  # one answer for each trial
    sa.Column("choice", sa.String(8), nullable=False),
    sa.Column("answered_ms", sa.BigInteger, nullable=False),
    sa.Column("reaction_ms", sa.Integer),
    sa.Column("exposed_ms", sa.Integer),
    sa.Column("interrupted", sa.Boolean, nullable=False),
    sa.Column("layout", sa.String(8)),
    sa.ForeignKeyConstraint(
        ["session", "position"], ["tintype_trials.session", "tintype_trials.position"]
    ),
)
