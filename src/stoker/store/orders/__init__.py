"""Changes that a person or the file asks for: verbs over selections, versions, adoption."""
