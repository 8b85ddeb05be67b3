"""Samples messages for a diagnosis: the part that both SQL stores share."""

from ...models.diagnosis import SampledMessage
from ..samples import to_sampled_message
from .reads import Reads

SAMPLES = ("sample_waiting", "sample_delayed", "sample_processing", "sample_ended")


def read_samples(reads: Reads, limit: int) -> list[SampledMessage]:
    """Return the sampled messages, inside a transaction."""
    found = reads.rows_of_each([(query, {"limit": limit}) for query in SAMPLES])
    return [to_sampled_message(row) for rows in found for row in rows]
