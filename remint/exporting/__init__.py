"""Exports of minted images: what is kept, in which formats, with which marks and papers."""
