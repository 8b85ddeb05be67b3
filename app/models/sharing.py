"""How messages of the same priority share the workers."""

from enum import StrEnum


class FairShare(StrEnum):
    """The parties that take turns within a priority. With NONE, messages go by the time at which they were accepted."""

    TENANT = "tenant"
    SUBJECT = "subject"
    NONE = "none"
