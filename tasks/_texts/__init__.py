"""Texts that tasks read: tables, a corpus, labelled sets."""
