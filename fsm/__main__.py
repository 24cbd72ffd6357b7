"""`python -m fsm` is the command `fsm`."""

from fsm.cli.main import main

if __name__ == "__main__":
    main(prog_name="fsm")
