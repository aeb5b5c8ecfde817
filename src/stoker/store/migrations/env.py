"""Alembic's entry: runs migrations on the connection that `store/database/schema.py` hands over."""

from alembic import context

from stoker.store.indexes import complete

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=complete(),
    render_as_batch=True,
    transactional_ddl=context.config.attributes["transactional_ddl"],
)
with context.begin_transaction():
    context.run_migrations()
