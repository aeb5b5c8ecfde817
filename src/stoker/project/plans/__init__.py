"""Plans: what would happen, played through, drawn and described."""
