"""The proof. A package, since others that are installed bring a package of this name."""
