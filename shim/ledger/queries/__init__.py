"""What a `LedgerReader` is asked, as SQL that SQLite and PostgreSQL both understand.

Each question is written once. The stores differ only in how a `Snapshot` is opened.
"""
