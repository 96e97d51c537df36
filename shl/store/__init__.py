"""Results on disk: files of arrays and JSON, in a folder, under the hash of what made them."""

from .entries import ALGORITHM, DEFAULT_FOLDER, Store, key_of, open_store, read_values
from .files import (
    JSON_KEY,
    SCHEMA,
    damage_of,
    digest,
    read,
    read_info,
    take,
    write,
    write_bytes,
    writer,
)

__all__ = [
    "ALGORITHM",
    "DEFAULT_FOLDER",
    "JSON_KEY",
    "SCHEMA",
    "Store",
    "damage_of",
    "digest",
    "key_of",
    "open_store",
    "read",
    "read_info",
    "read_values",
    "take",
    "write",
    "write_bytes",
    "writer",
]
