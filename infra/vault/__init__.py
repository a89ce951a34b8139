"""Personal data is sealed with a key per person, so that destroying the key erases the person from every event."""

from emporium.infra.vault.keys import ERASED_TEXT, MISSING_TEXT, KeyNotAtHand, KeyVault, open_vault
from emporium.infra.vault.master import (
    MasterKey,
    MasterKeyError,
    Masters,
    masters_from_file,
    masters_from_text,
    masters_in_folder,
)
from emporium.infra.vault.schema import MIGRATIONS

__all__ = [
    "ERASED_TEXT",
    "MIGRATIONS",
    "MISSING_TEXT",
    "KeyNotAtHand",
    "KeyVault",
    "MasterKey",
    "MasterKeyError",
    "Masters",
    "masters_from_file",
    "masters_from_text",
    "masters_in_folder",
    "open_vault",
]
