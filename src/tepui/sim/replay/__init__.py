"""What a master did, from its journal."""
