"""How the bundled packs were made: one recipe a pack, and the command that follows it."""
