"""The errors of exports and imports."""

from . import AgentQueueError


class ExportDamaged(AgentQueueError):
    """The lines are no export, or end early. What an import has stored before stays, and a later one goes on there."""

    code = "export_damaged"
