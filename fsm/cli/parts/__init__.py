"""What the verbs share; a verb imports of it what it needs when it is called."""
