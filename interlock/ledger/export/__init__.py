"""The ledger for other systems: events in five formats, to a screen, a file, a URL or syslog."""

from interlock.ledger.export.cef import Cef
from interlock.ledger.export.cursor import Cursor
from interlock.ledger.export.destination import Destination, ExportError
from interlock.ledger.export.export import Export
from interlock.ledger.export.format import Format, Message
from interlock.ledger.export.jsonl import JsonLines
from interlock.ledger.export.ocsf import Ocsf
from interlock.ledger.export.otlp import Otlp
from interlock.ledger.export.sheet import Sheet
from interlock.ledger.export.source import Source

FORMATS: dict[str, type[Format]] = {
    "jsonl": JsonLines,
    "csv": Sheet,
    "ocsf": Ocsf,
    "otlp": Otlp,
    "cef": Cef,
}

__all__ = [
    "FORMATS",
    "Cursor",
    "Destination",
    "Export",
    "ExportError",
    "Format",
    "Message",
    "Sheet",
    "Source",
]
