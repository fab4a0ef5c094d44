//! SQLite and PostgreSQL behind one small SQL surface: pools, migrations, group commit, outbox.
