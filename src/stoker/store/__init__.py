"""The store: all SQL of Stoker, as the verbs of the system. Everything durable is in here.

Each module is a group of verbs on a `Store`; every verb is one transaction unless it says otherwise,
and what it says is true afterwards has been committed when it returns.
"""
