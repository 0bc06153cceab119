"""Names of the columns in this package's files, in one place."""

USER = "user_id"
ITEM = "item_id"
TIME = "timestamp"
DOMAIN = "domain"
TITLE = "title"
