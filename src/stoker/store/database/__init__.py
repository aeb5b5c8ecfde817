"""The store as a whole: opened, migrated, moved, checked and rebuilt."""
