from alembic import op
from stoker.store.tables import metadata
revision = "0001"
down_revision = None
def upgrade():
    metadata.create_all(op.get_bind())
