"""Who may use a project over HTTP: users, tokens, sessions, sign-in links."""
