"""What judges a patch inside the sandbox, with nothing but the standard library, git and pytest."""
