"""Results on disk: files of arrays and JSON, in a folder, under the hash of what made them."""

from .entries import Store, open_store
from .files import SCHEMA, digest, read, read_info, write
from .keys import key_of

__all__ = ["SCHEMA", "Store", "digest", "key_of", "open_store", "read", "read_info", "write"]
