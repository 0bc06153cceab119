"""Side by side: models x seeds in processes of their own, tuning, tables and tests."""
