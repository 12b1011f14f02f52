"""Related initialisations: how a student's initialisation may resemble its teacher's."""
