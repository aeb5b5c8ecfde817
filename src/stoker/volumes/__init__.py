"""Archive volumes on disk: packed from lists of members, verified, and searched. Knows no store."""
