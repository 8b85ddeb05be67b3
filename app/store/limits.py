"""Limits that hold on every backend, for the ports in `ports`."""

OVERTAKING_COUNTED = 1_000
"""Number of messages at the start of a level of priority that are looked at to find those that overtook another."""

EXACT_POSITION_LIMIT = 10_000
"""Positions up to this one are counted exactly, higher positions are estimated."""

PAGE_TEXT_LENGTH = 4 * 1024 * 1024
"""Characters of contents, results, outputs and metadata after which a page of messages ends early."""

THREAD_METADATA_LENGTH = 64 * 1024
"""Characters of a thread's stored metadata. A message that would make them longer leaves them as they are."""

PAGE_LOG_LENGTH = 256 * 1024
"""Characters of event data after which a page of a log ends early."""

KEY_SECONDS = 24 * 3600
"""Lifetime of an Idempotency-Key."""

MAX_TOKEN_SECONDS = 24 * 3600
"""Longest life of a token."""

END_SECONDS = 2 * MAX_TOKEN_SECONDS
"""How long it is known that the tokens of a subject or a tenant were ended."""

TICKET_SECONDS = 300
"""How long it is known that a ticket was used: longer than a ticket is good."""

THROUGHPUT_MESSAGES = 50
"""Number of completed messages whose mean run time estimates the next run times."""

DRAFT_SECONDS = 600
"""Age at which the draft of a thread is abandoned: the process that was copying its memory has died."""

HELD_AT_ONCE = 100
"""Number of messages beyond its limit that a claim looks at, once it holds messages back."""

RELEASED_AT_ONCE = 500
"""Maximum number of held messages of a tenant, of one agent, that become ready in one transaction."""

MAX_CRASHES = 3
"""Number of lost leases after which a message fails: it may be the message that kills its workers."""

RECORDS_KEPT = 100_000
"""Number of records of changes that are kept at most, once they are in the stored figures."""

MINUTES_KEPT_SECONDS = 48 * 3600
"""How long figures of single minutes are kept."""
